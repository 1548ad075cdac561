"""How a wish is told to the hardware: the config's `write`, and the bytes that come of it. Pure."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Literal

from gateway.measurement import Value

MAX_TEMPLATE_CHARACTERS = 1_000

Write = str | Mapping[str, str] | Literal[True]
"""A template with `{value}`, a text for each value, or True where the reader knows how."""


def check_write(given: object) -> Write | None:
    """What the config says as it is kept; raises ValueError."""
    if given is None or isinstance(given, bool):
        return given or None
    if isinstance(given, str):
        return _check_template(given)
    if isinstance(given, dict) and given:
        texts = {_name(value): text for value, text in given.items()}
        if all(
            isinstance(text, str) and 0 < len(text) <= MAX_TEMPLATE_CHARACTERS
            for text in texts.values()
        ):
            return texts
    raise ValueError(
        'must be a text with {value} in it, as in "PUMP {value}\\n", or a section from values to'
        ' texts, as in {true: "PUMP ON\\n", false: "PUMP OFF\\n"}; for reader modbus it is true'
    )


def written(write: str | Mapping[str, str], value: Value, raw: Value) -> bytes:
    """The bytes for a wish: `value` as the point has it, `raw` as the hardware does.

    Raises ValueError where the config has no text for this value.
    """
    if isinstance(write, str):
        return write.format(value=_plain(raw)).encode()
    text = write.get(_name(value))
    if text is None:
        raise ValueError(f"the config has nothing to write for {_name(value)}")
    return text.encode()


def _check_template(template: str) -> str:
    if not 0 < len(template) <= MAX_TEMPLATE_CHARACTERS:
        raise ValueError(f"must have 1 to {MAX_TEMPLATE_CHARACTERS} characters")
    try:
        parts = list(string.Formatter().parse(template))
        fields = {name for _, name, _, _ in parts if name is not None}
        if not fields <= {"value"} or any(conversion for *_, conversion in parts):
            raise ValueError("only {value} can be filled in")
        template.format(value=1)
    except (ValueError, KeyError, IndexError) as error:
        raise ValueError(
            f"is no template: {error}; a brace that is meant as one is written twice"
        ) from None
    return template


def _name(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _plain(raw: Value) -> Value:
    """Hardware reads 1 and 0 more often than true and false, and 21 more often than 21.0."""
    if isinstance(raw, bool):
        return int(raw)
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw

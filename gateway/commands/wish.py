"""What somebody wishes of a device, judged against the config of its points. Pure."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from gateway.measurement import Value
from gateway.points.config import PointConfig
from gateway.points.conversion import FALSE, PRESS, TRUE, Conversion
from gateway.points.writing import written
from gateway.readers import Content

MAX_PAYLOAD_BYTES = 16_384
MAX_TEXT_CHARACTERS = 1_000
MAX_TRANSACTION_CHARACTERS = 128
MAX_WISHES = 32
"""Of one message: each has its receipts, and no device has more commands under way."""


class RefusedError(Exception):
    """A wish that can't be fulfilled; the message says why, for a person."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One point is to have this value."""

    point: str
    value: object
    """As it came: not judged yet."""

    bare: str | None = None
    """The payload itself, where it is the value: `1.50` is a text as well as a number."""


@dataclass(frozen=True, slots=True)
class Request:
    """All that one message asks for."""

    transaction: str
    """Empty where the message names none."""

    wishes: tuple[Wish, ...]


def requested(point: str | None, payload: bytes) -> Request:
    """What a payload on `set` asks for, or one on `set/<point>`. Raises RefusedError."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise RefusedError(f"the payload has {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES}")
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        raise RefusedError("the payload is no UTF-8 text") from None
    if point is not None:
        return Request("", (Wish(point, _bare(text), bare=text),))
    content = _json(text)
    if not isinstance(content, dict):
        raise RefusedError('the payload is no JSON object, as in {"pump":true}')
    transaction = content.pop("transaction", "")
    if not isinstance(transaction, str | int) or isinstance(transaction, bool):
        raise RefusedError("the transaction is neither text nor a whole number")
    if len(str(transaction)) > MAX_TRANSACTION_CHARACTERS:
        raise RefusedError(
            f"the transaction is longer than {MAX_TRANSACTION_CHARACTERS} characters"
        )
    if not content:
        raise RefusedError("the payload names no point")
    if len(content) > MAX_WISHES:
        raise RefusedError(f"the payload names {len(content)} points; at most {MAX_WISHES}")
    return Request(str(transaction), tuple(Wish(name, value) for name, value in content.items()))


def judged(config: PointConfig | None, wish: Wish) -> tuple[Value, Content]:
    """The value that the point is to have, and what to give the reader. Raises RefusedError."""
    if config is None or config.write is None:
        raise RefusedError(f"{wish.point} can't be written: its config says no `write`")
    value = _value(config, wish)
    try:
        raw = Conversion(config).raw(value)
        if config.write is True:
            return value, raw
        return value, written(config.write, value, raw)
    except (ValueError, OverflowError) as error:
        raise RefusedError(str(error) or f"{value} is too large") from None


def _value(config: PointConfig, wish: Wish) -> Value:
    given = wish.value
    match config.kind:
        case "number":
            return _number(config, given)
        case "boolean":
            return _boolean(given)
        case "enum":
            assert config.options is not None
            options = list(dict.fromkeys(config.options.values()))
            if (word := _word(wish)) not in options:
                raise RefusedError(f"{_shown(word)} is none of {', '.join(options)}")
            return word
        case "button":
            return PRESS
        case "text":
            return _text(_word(wish))
        case _:
            return _text(given) if isinstance(given, str) else _scalar(given)


def _number(config: PointConfig, given: object) -> Value:
    number = given
    if isinstance(given, str):
        number = _json(given.strip())
    if not isinstance(number, int | float) or isinstance(number, bool) or not _is_finite(number):
        raise RefusedError(f"{_shown(given)} is no number")
    rounded = number
    if config.decimals is not None:
        rounded = round(number, config.decimals) if config.decimals else round(number)
    for each in (number, rounded):  # rounding must not lead out of the range
        if config.min is not None and each < config.min:
            raise RefusedError(f"{_shown(each)} is less than {config.min:g}")
        if config.max is not None and each > config.max:
            raise RefusedError(f"{_shown(each)} is more than {config.max:g}")
    return rounded


def _boolean(given: object) -> Value:
    word = _shown(given).lower()
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise RefusedError(f"{_shown(given)} is neither true nor false")


def _text(text: str) -> str:
    """A line end in it could be a second command to the hardware."""
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise RefusedError("the text holds control characters")
    if not 0 < len(text) <= MAX_TEXT_CHARACTERS:
        raise RefusedError(f"the text must have 1 to {MAX_TEXT_CHARACTERS} characters")
    return text


def _word(wish: Wish) -> str:
    """The value as a text."""
    if wish.bare is not None:
        return wish.bare
    return wish.value if isinstance(wish.value, str) else json.dumps(_scalar(wish.value))


def _scalar(given: object) -> Value:
    if isinstance(given, bool) or (isinstance(given, int | float) and _is_finite(given)):
        return given
    raise RefusedError(f"{_shown(given)} is no value")


def _bare(text: str) -> object:
    """A bare value: JSON where it is a scalar of JSON, else the text itself."""
    content = _json(text)
    return content if isinstance(content, bool | int | float) else text


def _json(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_float)
    except (ValueError, RecursionError):  # a number of too many digits is a ValueError, too
        return None


def _float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _shown(given: object) -> str:
    if isinstance(given, str):
        return given[:80]
    return json.dumps(given, ensure_ascii=False)[:80]

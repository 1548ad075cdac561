"""One thing that is wrong with the config: where it stands, which key, and a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from gateway.errors import ConfigError

KeyPath: TypeAlias = tuple[str | int, ...]
"""The way to a value: `("devices", 0, "name")`."""

MAX_SHOWN = 60

SECRET_KEYS = frozenset({"password"})
"""Keys whose values no error shows."""


@dataclass(frozen=True, slots=True)
class Problem:
    """`place` is a file:line, a file or an environment variable; `path` may be empty."""

    place: str
    path: KeyPath
    sentence: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, dotted(self.path), self.sentence) if part)


class UnreadableError(ConfigError):
    """A text that gives no tree at all."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def config_error(problems: Iterable[Problem]) -> ConfigError:
    """The error for all of them, a line each, every line once."""
    return ConfigError("\n".join(dict.fromkeys(map(str, problems))))


def dotted(path: KeyPath) -> str:
    """A path as people write it: `devices.0.name`."""
    return ".".join(str(part) if _is_plain(part) else shown(part) for part in path)


def shown(value: object) -> str:
    """A value of the config as an error shows it: short, on one line, without a login in a URL."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            text = re.sub(r"(://)[^/\s]*@", r"\1***@", value)
            return repr(text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "...")
        case dict():
            return "a section" if value else "an empty section"
        case list():
            return f"a list of {len(value)}" if value else "an empty list"
        case _:
            return str(value)


def _is_plain(part: str | int) -> bool:
    return isinstance(part, int) or (
        len(part) <= MAX_SHOWN and re.fullmatch(r"[\w$/-]+", part) is not None
    )

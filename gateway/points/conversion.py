"""From what the hardware says to what a point means: invalid, type, scale, decimals. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from gateway.decoders.decoder import value_of
from gateway.measurement import Value
from gateway.points.config import PointConfig

TRUE = frozenset({"true", "on", "yes", "1"})
FALSE = frozenset({"false", "off", "no", "0"})
"""Words of the hardware that are truth values, in any case of letters."""

PRESS = "press"
"""The event of a point that names none."""


class _RefusedError(ValueError):
    """A value that makes no sense; the message is the reason as it is counted."""


class Conversion:
    """One point's way from the hardware's values to its own.

    A value that is invalid, or makes no sense for the point's type, is no value (None), and
    counted in `refused` by its reason.
    """

    __slots__ = ("_config", "_convert", "_invalid", "refused")

    def __init__(self, config: PointConfig, refused: Counter[str] | None = None) -> None:
        self._config = config
        self._invalid = frozenset(map(_identity, config.invalid))
        self._convert: Callable[[Value], Value] = {
            "number": self._number,
            "boolean": self._boolean,
            "text": _text,
            "enum": self._option,
            "event": self._event,
            "button": lambda _raw: None,
            None: lambda raw: raw,
        }[config.kind]
        self.refused = Counter() if refused is None else refused

    def __call__(self, raw: Value) -> Value:
        if raw is None or raw == "" or (isinstance(raw, float) and not math.isfinite(raw)):
            return None
        try:
            if self._invalid and self._is_invalid(raw):
                raise _RefusedError("invalid")
            return self._convert(raw)
        except _RefusedError as error:
            self.refused[str(error)] += 1
        except (OverflowError, ValueError):  # more digits than a float holds, or Python prints
            self.refused["too_large"] += 1
        return None

    def raw(self, value: Value) -> Value:
        """What the hardware calls a value of the point's: the way back.

        Raises OverflowError for a number that has no finite counterpart.
        """
        config = self._config
        if config.kind == "enum":
            assert config.options is not None
            word = next(word for word, option in config.options.items() if option == value)
            return value_of(word)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        if config.scale == 1 and not config.offset:
            return value
        number = float(f"{(value - config.offset) / config.scale:.15g}")
        if not math.isfinite(number):
            raise OverflowError
        return int(number) if number.is_integer() else number

    def _is_invalid(self, raw: Value) -> bool:
        if _identity(raw) in self._invalid:
            return True
        return isinstance(raw, str) and _identity(value_of(raw)) in self._invalid

    def _number(self, raw: Value) -> Value:
        number = value_of(raw) if isinstance(raw, str) else raw
        if not isinstance(number, int | float):
            raise _RefusedError("no_number")
        number = self._scaled(int(number) if isinstance(number, bool) else number)
        decimals = self._config.decimals
        if decimals is None:
            return number
        return round(number, decimals) if decimals else round(number)

    def _scaled(self, number: float) -> float:
        scale, offset = self._config.scale, self._config.offset
        if scale == 1 and not offset:
            return number
        if isinstance(number, int) and scale.is_integer() and offset.is_integer():
            return number * int(scale) + int(offset)
        # A double holds 15 decimal digits: what lies behind them is noise of the arithmetic.
        scaled = float(f"{number * scale + offset:.15g}")
        if not math.isfinite(scaled):
            raise OverflowError
        return scaled

    def _boolean(self, raw: Value) -> Value:
        truth = _truth(_text(raw))
        if truth is None:
            raise _RefusedError("no_boolean")
        return truth

    def _option(self, raw: Value) -> Value:
        assert self._config.options is not None
        option = self._config.options.get(_text(raw))
        if option is None:
            raise _RefusedError("no_option")
        return option

    def _event(self, raw: Value) -> Value:
        """The type of the event; None where nothing happened, as for false."""
        word = _text(raw)
        options = self._config.options or {PRESS: PRESS}
        if word in options:
            return options[word]
        truth = _truth(word)
        if truth is None:
            raise _RefusedError("no_option")
        return next(iter(options.values())) if truth else None


def _truth(word: str) -> bool | None:
    if word.lower() in TRUE:
        return True
    return False if word.lower() in FALSE else None


def _identity(value: Value) -> tuple[bool, Value]:
    """Equal for 85 and 85.0, but not for 1 and true."""
    return isinstance(value, bool), value.strip() if isinstance(value, str) else value


def _text(value: Value) -> str:
    """As the point's payload has it."""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()

"""What the bench sends: payloads of one length that say when they were published.

A mark is the same bytes in MQTT and in JSON, so that whoever receives counts marks in the raw
stream and parses nothing: the generator must cost less than what it measures.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence

MARK = b"bench@"
PAYLOAD_BYTES = 64

_STAMPED = re.compile(MARK + rb"(\d{19})")
_LONGEST_PART = len(MARK) + 18


def text(time_ns: int) -> bytes:
    """The mark and a moment of the monotonic clock, 25 bytes."""
    return b"%b%019d" % (MARK, time_ns)


def payload(time_ns: int) -> bytes:
    """The same, filled up to the length of every payload."""
    return text(time_ns).ljust(PAYLOAD_BYTES, b".")


def latencies_ns(chunks: Iterable[tuple[int, bytes]], since_ns: int) -> Iterator[int]:
    """How long each message took that was published since then; chunks as they arrived, and when.

    A message that was cut in two arrived with its second half.
    """
    rest = b""
    for arrived_ns, chunk in chunks:
        data = rest + chunk
        end = 0
        for found in _STAMPED.finditer(data):
            end = found.end()
            published_ns = int(found[1])
            if published_ns >= since_ns:
                yield arrived_ns - published_ns
        rest = data[max(end, len(data) - _LONGEST_PART) :]


def percentile(values: Sequence[float], percent: float) -> float:
    """Of sorted values: the smallest that so many percent of them don't exceed."""
    return values[max(0, math.ceil(len(values) * percent / 100) - 1)] if values else math.nan

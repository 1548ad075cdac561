"""Publishing from a browser: the same checks over WebSocket and HTTP."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from broker.access import source_of
from broker.errors import LinkAwayError, LinkFullError
from broker.link import Link
from webui.errors import RefusedError
from webui.identity import Identity
from webui.wire import Publication, to_message

MAX_PER_S = 1_000
BURST = 2_000
"""Messages of one address: what a page or a script may well need, and a fraction of what it takes
to keep the broker from everybody else."""

MAX_SOURCES = 10_000
"""Addresses whose rate is remembered; the one that was silent for the longest is forgotten."""

PublishAs = Callable[[Identity, Publication, int], None]
"""Publish what somebody asks for, under the id of their frame; raises RefusedError."""


def publisher(link: Link) -> PublishAs:
    """What publishes over a link for whoever may."""

    def publish(identity: Identity, publication: Publication, frame_id: int = 0) -> None:
        message = to_message(publication, frame_id)
        if not identity.may_publish(message.topic):
            sentence = f"{identity.who} may not publish to {message.topic}"
            raise RefusedError("forbidden", sentence, frame_id)
        try:
            link.publish(message)
        except LinkAwayError as error:
            raise RefusedError("unavailable", str(error), frame_id) from None
        except LinkFullError as error:
            raise RefusedError("rate_limited", str(error), frame_id) from None

    return publish


class PublishRate:
    """How fast each address publishes: a token bucket for each. Pure."""

    def __init__(self, per_s: float = MAX_PER_S, burst: int = BURST) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, source: str, now_s: float) -> bool:
        """Whether one more message may go, now."""
        left, at_s = self._left.pop(source, (self._burst, now_s))
        left = min(self._burst, left + (now_s - at_s) * self._per_s)
        is_allowed = left >= 1
        self._left[source] = (left - 1 if is_allowed else left, now_s)
        if len(self._left) > MAX_SOURCES:
            del self._left[next(iter(self._left))]
        return is_allowed


def limited(publish: PublishAs, rate: PublishRate, address: str) -> PublishAs:
    """The same for somebody at an address, as fast as one address may."""
    source = source_of(address)

    def publish_limited(identity: Identity, publication: Publication, frame_id: int) -> None:
        if not rate.take(source, monotonic()):
            raise RefusedError(
                "rate_limited",
                f"more than {MAX_PER_S} messages a second from {address}: wait a moment",
                frame_id,
            )
        publish(identity, publication, frame_id)

    return publish_limited

"""What a web server tells on `<base>/bridge/event`: how it is written and sent."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec

from broker.errors import LinkError
from broker.link import Link, Message

log = logging.getLogger(__name__)


def event_message(base_topic: str, event: msgspec.Struct) -> Message:
    """An event as a message: of QoS 0 and not retained, for those who listen at that moment."""
    return Message(f"{base_topic}/bridge/event", msgspec.json.encode(event))


def published(link: Link, message: Message) -> bool:
    """Whether the link took it."""
    try:
        link.publish(message)
    except LinkError as error:
        log.debug("Not published for now: %s", error)
        return False
    return True


def iso_time(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601, UTC, to the millisecond."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

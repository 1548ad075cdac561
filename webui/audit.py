"""The audit: who published what from the web, in the log and on `<base>/bridge/event`.

Every publish over HTTP and `/api/ws` is in it, with its outcome and never with its payload; `/mqtt`
is MQTT and not in it. It is told once a second: what somebody did to a topic in that second is one
event with a `count`. There is room for so many of them; the rest is told as numbers, so that nobody
floods bus and log with refusals. Events are QoS 0: what the link doesn't take is in the log alone.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from broker.link import Link
from webui.errors import RefusedError
from webui.event import event_message, iso_time, published
from webui.identity import Identity
from webui.publishing import PublishAs
from webui.wire import Publication

ACCEPTED = "accepted"
MAX_REFUSED = 50
MAX_ACCEPTED = 1_000
"""Topics that are told one by one in a second: of refusals few; of what was accepted, which is on
the bus already, as many as one address may publish."""

MAX_SUMMED_UP = 20
"""Users at an address of whom the rest is told as a number; all others' is one number."""

MAX_TOPIC_CHARACTERS = 500

log = logging.getLogger(__name__)


class WebPublish(msgspec.Struct, frozen=True):
    """One on `<base>/bridge/event`: somebody published, or was refused with an error's code.

    `count` is how often in that second, and `time` (ISO 8601, UTC) when first. Where `topic` is
    null these are what there was no room for one by one, and where `address` is, those of several.
    """

    type: Literal["web_publish"]
    time: str
    node: str
    user: str | None
    token: str | None
    address: str | None
    topic: str | None
    outcome: str
    count: int


@dataclass(frozen=True, slots=True)
class _Deed:
    """What is told as one: the same somebody, the same topic, the same outcome."""

    who: str
    user: str | None
    token: str | None
    address: str | None
    topic: str | None
    outcome: str

    @property
    def is_accepted(self) -> bool:
        return self.outcome == ACCEPTED

    def __str__(self) -> str:
        topic = "further topics" if self.topic is None else ascii(self.topic)
        return f"{self.who} from {self.address or 'somewhere'} to {topic}: {self.outcome}"


@dataclass(slots=True)
class _Tally:
    first_s: float
    count: int = 0


class Audit:
    """Collects what is published in a second, and tells it. Pure, but for `tell`."""

    def __init__(self, base_topic: str, node: str) -> None:
        self._base_topic = base_topic
        self._node = node
        self._tallies: dict[_Deed, _Tally] = {}
        self._one_by_one: Counter[bool] = Counter()
        self._summed_up = 0

    def note(self, identity: Identity, topic: str, outcome: str, now_s: float) -> None:
        """Somebody asked to publish, and this came of it: `accepted` or an error's code."""
        shown = topic if len(topic) <= MAX_TOPIC_CHARACTERS else f"{topic[:MAX_TOPIC_CHARACTERS]}…"
        deed = _Deed(
            identity.who, identity.user, identity.token_name, identity.address, shown, outcome
        )
        tally = self._tallies.get(deed) or self._new_tally(deed, now_s)
        tally.count += 1

    def tell(self, link: Link) -> None:
        """Once a second: tell what there was."""
        tallies, self._tallies = self._tallies, {}
        self._one_by_one.clear()
        self._summed_up = 0
        is_taken = True
        for deed, tally in tallies.items():
            level = logging.INFO if deed.is_accepted else logging.WARNING
            times = f" ({tally.count} times)" if tally.count > 1 else ""
            log.log(level, "Web publish by %s%s", deed, times)
            is_taken = is_taken and published(
                link, event_message(self._base_topic, self._event(deed, tally))
            )

    def _new_tally(self, deed: _Deed, now_s: float) -> _Tally:
        """Of this deed, or where there is no room of all like it."""
        if self._one_by_one[deed.is_accepted] < (MAX_ACCEPTED if deed.is_accepted else MAX_REFUSED):
            self._one_by_one[deed.is_accepted] += 1
            return self._tallies.setdefault(deed, _Tally(now_s))
        deed = replace(deed, topic=None)
        if deed not in self._tallies:
            if self._summed_up >= MAX_SUMMED_UP:
                deed = replace(deed, who="others", user=None, token=None, address=None)
            self._summed_up += 1
        return self._tallies.setdefault(deed, _Tally(now_s))

    def _event(self, deed: _Deed, tally: _Tally) -> WebPublish:
        return WebPublish(
            "web_publish",
            iso_time(tally.first_s),
            self._node,
            deed.user,
            deed.token,
            deed.address,
            deed.topic,
            deed.outcome,
            tally.count,
        )


def audited(publish: PublishAs, audit: Audit) -> PublishAs:
    """The same, written down whatever comes of it."""

    def publish_audited(identity: Identity, publication: Publication, frame_id: int) -> None:
        try:
            publish(identity, publication, frame_id)
        except RefusedError as refusal:
            audit.note(identity, publication.topic, refusal.code, time.time())
            raise
        audit.note(identity, publication.topic, ACCEPTED, time.time())

    return publish_audited

from __future__ import annotations

import json
from typing import Any

import pytest

from broker.access import OPEN
from broker.errors import LinkAwayError
from broker.link import Message, QoS
from tests.webui.serving import RecordingLink
from webui import presence
from webui.identity import EVERYBODY, Identity
from webui.presence import PresenceTeller, node_name, will
from webui.roster import OpenSession, Roster

TOPIC = "fieldgate/bridge/web/n1"


class Telling:
    """A teller over a link that records, beside a broker that holds what it was told."""

    def __init__(self) -> None:
        self.roster = Roster()
        self.link = RecordingLink()
        self.teller = PresenceTeller("fieldgate", "n1", self.roster)
        self.link_ups = 1
        self.held: bytes | None = None

    def tick(self) -> list[Message]:
        """One period later: what it published meanwhile."""
        self.link.published.clear()
        self.teller.tick(self.link, link_ups=self.link_ups, held=self.held)
        for message in self.link.published:
            if message.topic == TOPIC:
                self.held = message.payload
        return list(self.link.published)

    def presence(self) -> list[dict[str, Any]]:
        return [json.loads(each.payload) for each in self.tick() if each.topic == TOPIC]

    def events(self) -> list[dict[str, Any]]:
        topic = "fieldgate/bridge/event"
        return [json.loads(each.payload) for each in self.tick() if each.topic == topic]

    def enter(self, user: str | None = None) -> OpenSession:
        identity = Identity(user, frozenset(), OPEN) if user else EVERYBODY
        return self.roster.enter(identity, "127.0.0.1", "websocket")


def test_it_says_who_is_here_once_a_period_and_only_what_is_new() -> None:
    telling = Telling()
    assert telling.presence() == [{"state": "online", "sessions": 0, "users": []}]
    assert telling.tick() == []
    first = telling.enter("wall")
    for user in ("ada", "wall", None):
        telling.enter(user)
    assert telling.presence() == [{"state": "online", "sessions": 4, "users": ["ada", "wall"]}]
    telling.roster.leave(first)
    telling.roster.leave(telling.enter("eve"))
    assert telling.presence() == [{"state": "online", "sessions": 3, "users": ["ada", "wall"]}]
    assert telling.tick() == []


def test_presence_is_retained_and_its_will_says_that_nobody_is_here() -> None:
    (message,) = Telling().tick()
    assert (message.topic, message.qos, message.retain) == (TOPIC, QoS.AT_LEAST_ONCE, True)
    gone = will("fieldgate", "n1")
    assert (gone.topic, gone.qos, gone.retain) == (TOPIC, QoS.AT_LEAST_ONCE, True)
    assert json.loads(gone.payload) == {"state": "offline", "sessions": 0, "users": []}


def test_names_are_bounded_and_sessions_counted_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presence, "MAX_USERS", 2)
    telling = Telling()
    for user in ("c", "b", "a"):
        telling.enter(user)
    assert telling.presence() == [{"state": "online", "sessions": 3, "users": ["a", "b"]}]


def test_it_is_said_again_when_the_link_was_away_and_not_before() -> None:
    telling = Telling()
    telling.tick()
    telling.link.is_up = False
    telling.enter()
    telling.enter()
    assert telling.presence() == []
    telling.link.is_up = True
    telling.link_ups = 2
    assert telling.presence() == [{"state": "online", "sessions": 2, "users": []}]
    telling.link_ups = 3
    assert len(telling.presence()) == 1


def test_what_the_link_does_not_take_is_said_a_period_later_and_events_are_lost() -> None:
    telling = Telling()
    telling.link.trouble = LinkAwayError("it is away")
    telling.enter()
    assert telling.tick() == []
    telling.link.trouble = None
    (message,) = telling.tick()
    assert json.loads(message.payload)["sessions"] == 1


def test_our_own_will_of_the_past_is_put_right() -> None:
    telling = Telling()
    telling.tick()
    assert telling.tick() == []
    telling.held = will("fieldgate", "n1").payload
    assert len(telling.presence()) == 1
    telling.tick()
    telling.held = b"no JSON"
    assert len(telling.presence()) == 1


def test_another_node_of_the_same_name_is_told_of_once_and_not_fought(
    caplog: pytest.LogCaptureFixture,
) -> None:
    telling = Telling()
    telling.tick()
    telling.tick()
    for sessions in range(3):
        telling.held = b'{"state":"online","sessions":%d,"users":["other"]}' % sessions
        assert telling.tick() == []
    (warning,) = caplog.records
    assert "web.node" in warning.getMessage()
    assert TOPIC in warning.getMessage()


def test_what_an_earlier_life_left_there_is_no_other_node(
    caplog: pytest.LogCaptureFixture,
) -> None:
    telling = Telling()
    earlier = b'{"state":"online","sessions":5,"users":[]}'
    telling.held = earlier
    telling.tick()
    telling.held = earlier  # the broker is slow
    telling.tick()
    assert caplog.records == []


def test_what_it_said_a_while_ago_is_its_own(caplog: pytest.LogCaptureFixture) -> None:
    telling = Telling()
    telling.tick()
    telling.tick()
    first = telling.held
    telling.enter()
    telling.tick()
    telling.held = first  # the broker is slow
    assert telling.tick() == []
    assert caplog.records == []


def test_sessions_that_come_and_go_are_events() -> None:
    telling = Telling()
    telling.tick()
    telling.roster.leave(telling.enter("ada"))
    opened, closed = telling.events()
    assert opened | {"time": ""} == {
        "type": "session_opened", "time": "", "node": "n1", "session": 1, "user": "ada",
        "token": None, "transport": "websocket",
    }  # fmt: skip
    assert closed | {"time": "", "type": "session_opened"} == opened | {"time": ""}
    assert closed["type"] == "session_closed"
    assert opened["time"] <= closed["time"]
    assert opened["time"].endswith("Z")
    assert telling.events() == []


def test_of_a_storm_of_sessions_only_so_many_are_told_one_by_one() -> None:
    telling = Telling()
    for _ in range(presence.MAX_EVENTS + 7):
        telling.enter()
    *single, rest = telling.events()
    assert len(single) == presence.MAX_EVENTS
    assert (rest["type"], rest["count"]) == ("sessions_changed", 7)
    assert telling.events() == []


def test_events_are_not_retained_and_come_at_most_once() -> None:
    telling = Telling()
    telling.enter()
    event, _ = telling.tick()
    assert (event.qos, event.retain) == (QoS.AT_MOST_ONCE, False)


def test_a_farewell_says_that_nobody_is_here() -> None:
    telling = Telling()
    telling.enter("ada")
    telling.teller.farewell(telling.link)
    assert telling.link.published == [will("fieldgate", "n1")]


@pytest.mark.parametrize(
    ("host", "port", "name"),
    [
        ("raspberrypi", 8088, "raspberrypi-8088"),
        ("Plant PC.example.org", 80, "plant-pc-example-org-80"),
        ("Ünïcode", 8088, "n-code-8088"),
        ("---", 8088, "web-8088"),
        ("x" * 300, 8088, "x" * 59 + "-8088"),
    ],
)
def test_the_default_name_is_the_machine_and_the_port(host: str, port: int, name: str) -> None:
    assert node_name(host, port) == name

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.access import OPEN
from broker.errors import LinkAwayError
from broker.link import QoS
from tests.webui.serving import RecordingLink
from webui import audit
from webui.audit import Audit, audited
from webui.errors import RefusedError
from webui.identity import EVERYBODY, Identity
from webui.wire import Publication

NOW = 1_763_690_523.25
TIME = "2025-11-21T02:02:03.250Z"


def somebody(user: str | None = "ada", address: str = "192.0.2.1") -> Identity:
    return Identity(user, frozenset(), OPEN, address)


def told(audit: Audit, link: RecordingLink | None = None) -> list[dict[str, Any]]:
    """What one second's end publishes."""
    link = link or RecordingLink()
    audit.tell(link)
    for message in link.published:
        assert message.topic == "fieldgate/bridge/event"
        assert (message.qos, message.retain) == (QoS.AT_MOST_ONCE, False)
    return [json.loads(message.payload) for message in link.published]


def event(**differing: object) -> dict[str, object]:
    return {
        "type": "web_publish",
        "time": TIME,
        "node": "n1",
        "user": "ada",
        "token": None,
        "address": "192.0.2.1",
        "topic": "lamp/set",
        "outcome": "accepted",
        "count": 1,
        **differing,
    }


def test_each_publish_is_told_with_who_when_where_and_what_came_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    audit = Audit("fieldgate", "n1")
    audit.note(somebody(), "lamp/set", "accepted", NOW)
    audit.note(somebody(None), "safe/set", "forbidden", NOW)
    audit.note(EVERYBODY, "lamp/set", "accepted", NOW)
    with caplog.at_level(logging.INFO, "webui.audit"):
        assert told(audit) == [
            event(),
            event(user=None, topic="safe/set", outcome="forbidden"),
            event(user=None, address=""),
        ]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "Web publish by user 'ada' from 192.0.2.1 to 'lamp/set': accepted"),
        (
            "WARNING",
            "Web publish by somebody without a login from 192.0.2.1 to 'safe/set': forbidden",
        ),
        ("INFO", "Web publish by somebody without a login from somewhere to 'lamp/set': accepted"),
    ]
    assert told(audit) == []


def test_what_is_the_same_within_a_second_is_one_event_with_a_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    audit = Audit("fieldgate", "n1")
    for late_s in range(3):
        audit.note(somebody(), "lamp/set", "accepted", NOW + late_s / 10)
    audit.note(somebody(), "lamp/set", "forbidden", NOW)
    assert told(audit) == [event(count=3), event(outcome="forbidden")]
    with caplog.at_level(logging.INFO, "webui.audit"):
        audit.note(somebody(), "lamp/set", "accepted", NOW)
        audit.note(somebody(), "lamp/set", "accepted", NOW)
        assert told(audit) == [event(count=2)]
    assert caplog.messages[-1].endswith("to 'lamp/set': accepted (2 times)")


def test_a_flood_of_refusals_is_summed_up_and_hides_nothing_that_was_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit, "MAX_REFUSED", 2)
    monkeypatch.setattr(audit, "MAX_SUMMED_UP", 1)
    trail = Audit("fieldgate", "n1")
    for number in range(100):
        trail.note(somebody(), f"t/{number}", "forbidden", NOW)
        trail.note(somebody(address=f"192.0.2.{number}"), "t", "forbidden", NOW)
    trail.note(somebody(), "lamp/set", "accepted", NOW)
    one_by_one = [
        event(topic="t/0", outcome="forbidden"),
        event(topic="t", outcome="forbidden", address="192.0.2.0"),
    ]
    assert told(trail) == [
        *one_by_one,
        event(topic=None, outcome="forbidden", count=100),  # its own 99, and one by that address
        event(topic=None, outcome="forbidden", user=None, address=None, count=98),
        event(),
    ]


def test_a_second_later_there_is_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAX_REFUSED", 1)
    trail = Audit("fieldgate", "n1")
    for _ in range(2):
        for topic in ("a", "b"):
            trail.note(somebody(), topic, "forbidden", NOW)
        assert [each["topic"] for each in told(trail)] == ["a", None]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "ada", "eve", "wall"]),
            st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3"]),
            st.integers(0, 200).map(str),
            st.sampled_from(["accepted", "forbidden", "bad_topic"]),
        ),
        max_size=500,
    )
)
def test_whatever_comes_is_counted_once_and_the_events_of_a_second_are_bounded(
    deeds: list[tuple[str | None, str, str, str]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit, "MAX_REFUSED", 5)
        patch.setattr(audit, "MAX_ACCEPTED", 20)
        patch.setattr(audit, "MAX_SUMMED_UP", 3)
        trail = Audit("fieldgate", "n1")
        for user, address, topic, outcome in deeds:
            trail.note(somebody(user, address), topic, outcome, NOW)
        events = told(trail)
    for outcome in ("accepted", "forbidden", "bad_topic"):
        counted = sum(each["count"] for each in events if each["outcome"] == outcome)
        assert counted == sum(1 for deed in deeds if deed[3] == outcome)
    assert len(events) <= 5 + 20 + 3 + 3


def test_an_endless_or_nasty_topic_harms_neither_bus_nor_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    audit = Audit("fieldgate", "n1")
    audit.note(somebody("e\nve"), "x" * 100_000, "bad_topic", NOW)
    audit.note(somebody(), "a\n12:00:00 INFO all is well\x1b[0m", "bad_topic", NOW)
    with caplog.at_level(logging.INFO, "webui.audit"):
        events = told(audit)
    assert events[0]["topic"] == "x" * 500 + "…"
    assert all(message.isprintable() and len(message) < 700 for message in caplog.messages)


def test_while_the_link_is_away_the_log_has_it(caplog: pytest.LogCaptureFixture) -> None:
    audit, link = Audit("fieldgate", "n1"), RecordingLink()
    link.trouble = LinkAwayError("the broker is away")
    for topic in ("a", "b"):
        audit.note(somebody(), topic, "unavailable", NOW)
    with caplog.at_level(logging.INFO, "webui.audit"):
        assert told(audit, link) == []
    assert len(caplog.messages) == 2
    link.trouble = None
    assert told(audit, link) == []


def test_what_is_published_is_written_down_whatever_comes_of_it() -> None:
    audit = Audit("fieldgate", "n1")

    def refuse(_identity: Identity, _publication: Publication, _frame_id: int) -> None:
        raise RefusedError("forbidden", "no")

    audited(lambda *_: None, audit)(somebody(), Publication("a", "secret"), 1)
    with pytest.raises(RefusedError):
        audited(refuse, audit)(somebody(), Publication("b", "secret"), 2)
    events = told(audit)
    assert [(each["topic"], each["outcome"]) for each in events] == [
        ("a", "accepted"),
        ("b", "forbidden"),
    ]
    assert "secret" not in str(events)

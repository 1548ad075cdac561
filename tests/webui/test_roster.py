from __future__ import annotations

import contextlib

import pytest

from webui import roster as roster_module
from webui.errors import RefusedError
from webui.identity import EVERYBODY
from webui.roster import OpenSession, Roster


def test_whoever_comes_and_goes_is_told_to_listeners_and_counted() -> None:
    roster = Roster()
    told: list[tuple[int, bool, int]] = []
    roster.on_change(lambda session, came: told.append((session.id, came, len(roster))))
    first = roster.enter(EVERYBODY, "192.0.2.1", "websocket")
    second = roster.enter(EVERYBODY, "192.0.2.2", "events")
    assert list(roster) == [first, second]
    roster.leave(first)
    third = roster.enter(EVERYBODY, "192.0.2.2", "events")
    assert told == [(1, True, 1), (2, True, 2), (1, False, 1), (3, True, 2)]
    assert roster.opened == {"websocket": 1, "events": 2}
    assert third.id == 3


def test_one_session_too_many_in_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster_module, "MAX_SESSIONS", 2)
    roster = Roster()
    first, _ = (roster.enter(EVERYBODY, "127.0.0.1", "websocket") for _ in range(2))
    with pytest.raises(RefusedError, match="too many sessions") as refusal:
        roster.enter(EVERYBODY, "127.0.0.1", "websocket")
    assert refusal.value.code == "unavailable"
    assert roster.refused == {"all": 1}
    roster.leave(first)
    roster.enter(EVERYBODY, "127.0.0.1", "websocket")


@pytest.mark.parametrize(
    ("addresses", "admitted"),
    [
        (["192.0.2.1"] * 4, 2),
        (["192.0.2.1", "192.0.2.2"] * 2, 4),
        (["2001:db8::1", "2001:db8::2", "2001:db8::3"], 2),
        (["127.0.0.1", "::1"] * 4, 8),
        (["", ""], 2),
    ],
)
def test_one_address_has_its_share_and_this_machine_all(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], admitted: int
) -> None:
    monkeypatch.setattr(roster_module, "MAX_PER_ADDRESS", 2)
    roster = Roster()
    entries: list[OpenSession] = []
    for address in addresses:
        with contextlib.suppress(RefusedError):
            entries.append(roster.enter(EVERYBODY, address, "tail"))
    assert len(entries) == admitted
    assert roster.refused["address"] == len(addresses) - admitted
    for entry in entries:
        roster.leave(entry)
    assert len(roster) == 0
    assert len([roster.enter(EVERYBODY, address, "tail") for address in addresses[:2]]) == 2


def test_nobody_is_let_in_while_the_server_stops() -> None:
    roster = Roster()
    roster.is_stopping = True
    with pytest.raises(RefusedError, match="come back in a moment") as refusal:
        roster.enter(EVERYBODY, "127.0.0.1", "websocket")
    assert refusal.value.code == "unavailable"
    assert roster.refused == {"stopping": 1}

from __future__ import annotations

import json

import pytest

from broker.link import Message
from gateway.leftovers import Leftovers

TOPIC = "base/bridge/devices"


def listed(*devices: tuple[str, list[str]]) -> bytes:
    entries = [{"name": name, "points": {key: {} for key in points}} for name, points in devices]
    return json.dumps({"base": "base", "devices": entries}).encode()


def cleared(payload: bytes) -> list[str]:
    leftovers = Leftovers("base", {"boiler"})
    leftovers.begin()
    assert leftovers.receive(Message(TOPIC, payload, retain=True))
    found = list(leftovers.clearing())
    assert all(one.retain and not one.payload for one in found)
    return [one.topic for one in found]


def test_topics_of_devices_that_the_config_no_longer_has_are_cleared() -> None:
    assert cleared(listed(("boiler", ["t"]), ("room", ["t", "h"]))) == [
        "base/room",
        "base/room/availability",
        "base/room/t",
        "base/room/h",
    ]


def test_they_are_cleared_once_after_each_connection() -> None:
    leftovers = Leftovers("base", {"boiler"})
    old = Message(TOPIC, listed(("room", [])), retain=True)
    leftovers.receive(old)
    assert len(list(leftovers.clearing())) == 2
    leftovers.receive(old)  # an echo of what we have published since
    assert not list(leftovers.clearing())
    leftovers.begin()
    leftovers.receive(old)
    assert len(list(leftovers.clearing())) == 2


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"devices":5}',
        b'{"devices":[{"name":"a"}]}',
        b'{"devices":[{"name":5,"points":{}}]}',
        listed(("bridge", ["state"])),
        listed(("a/b", [])),
        listed(("a", ["#"])),
        listed(("", [])),
        b"[" * 100_000,
    ],
)
def test_a_list_that_is_not_ours_clears_nothing(payload: bytes) -> None:
    assert cleared(payload) == []


def test_other_topics_are_not_its_business() -> None:
    assert not Leftovers("base", ()).receive(Message("base/bridge/state", b""))

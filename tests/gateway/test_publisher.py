"""The publisher over a link of the test's own, which takes or refuses what it is told to."""

import json
import math

import pytest

from broker.errors import LinkAwayError, LinkFullError
from broker.link import Message
from gateway.device import Device
from gateway.handoff import DeviceMeasurement
from gateway.measurement import Measurement, Value
from gateway.points.config import PointConfig
from gateway.points.names import MAX_UNLISTED_POINTS, PointNames
from gateway.points.report import ReportConfig
from gateway.publisher import (
    HEALTH_EVERY_S,
    MAX_EVENTS_PER_S,
    MAX_VALUES_OF_ALL_PER_S,
    MAX_VALUES_PER_S,
    Publisher,
    subscriptions,
    will,
)
from gateway.rivalry import Rivalry

BASE = "fieldgate"
NOW_S = 100.0


class Wire:
    """A link whose other end is a list; it echoes what the publisher subscribes to."""

    def __init__(self) -> None:
        self.is_up = True
        self.reason = ""
        self.waiting = 0
        self.room = 10_000
        self.published: list[Message] = []

    def publish(self, message: Message) -> None:
        if not self.is_up:
            raise LinkAwayError("away")
        if not self.room:
            raise LinkFullError("full")
        self.room -= 1
        self.published.append(message)

    def take(self) -> dict[str, bytes]:
        taken = {message.topic: message.payload for message in self.published}
        self.published.clear()
        return taken


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def publisher(wire: Wire) -> Publisher:
    points = {"button": PointConfig(type="event")}
    devices = {
        "boiler": Device(
            f"{BASE}/boiler", PointNames(points), description={"name": "boiler"}, points=points
        ),
        "meter": Device(f"{BASE}/meter", PointNames(), description={"name": "meter"}),
        "tank": Device(
            f"{BASE}/tank",
            PointNames(),
            description={"name": "tank"},
            report=ReportConfig(max_per_s=2),
        ),
    }
    publisher = Publisher(BASE, devices, Rivalry(BASE, "a"), counts=lambda _name: {"opened": 1})
    publisher.attach(wire)
    return publisher


def come_up(publisher: Publisher, wire: Wire) -> None:
    wire.is_up = True
    publisher.link_up()
    publisher.receive([m for m in wire.published if m.topic == f"{BASE}/bridge/request/ping"])


def said(device: str, **fields: Value) -> DeviceMeasurement:
    return DeviceMeasurement(device, Measurement(1_000, fields))


def test_nothing_is_published_before_it_is_clear_that_nobody_else_does(
    publisher: Publisher, wire: Wire
) -> None:
    publisher.link_up()
    publisher.came_online("boiler")
    publisher.measured([said("boiler", t=1)], NOW_S)
    assert list(wire.take()) == [f"{BASE}/bridge/request/ping"]


def test_birth_comes_first_and_then_everything_that_is_known(
    publisher: Publisher, wire: Wire
) -> None:
    publisher.came_online("boiler")
    publisher.measured([said("boiler", t=1)], NOW_S)
    come_up(publisher, wire)
    taken = wire.take()
    assert list(taken)[1:4] == [f"{BASE}/bridge/{below}" for below in ("state", "info", "devices")]
    assert taken[f"{BASE}/boiler/availability"] == b'{"state":"online"}'
    assert taken[f"{BASE}/meter/availability"] == b'{"state":"offline"}'
    assert taken[f"{BASE}/boiler/t"] == b"1"
    health = json.loads(taken[f"{BASE}/bridge/health"])
    assert health["devices"]["boiler"] == {
        "state": "online",
        "reason": "",
        "opened": 1,
        "dropped": {},
    }


def test_a_burst_publishes_every_point_and_one_state(publisher: Publisher, wire: Wire) -> None:
    come_up(publisher, wire)
    wire.take()
    publisher.measured([said("boiler", t=number) for number in range(5)], NOW_S)
    assert [message.topic for message in wire.published] == [
        *[f"{BASE}/boiler/t"] * 5,
        f"{BASE}/boiler",
    ]


def test_what_changed_while_the_link_was_away_is_published_when_it_is_back(
    publisher: Publisher, wire: Wire
) -> None:
    come_up(publisher, wire)
    wire.is_up = False
    publisher.link_down("away")
    publisher.measured([said("boiler", t=1), said("boiler", t=2)], NOW_S)
    publisher.came_online("meter")
    wire.take()
    come_up(publisher, wire)
    taken = wire.take()
    assert taken[f"{BASE}/boiler/t"] == b"2"
    assert taken[f"{BASE}/meter/availability"] == b'{"state":"online"}'


def test_what_a_full_link_refused_is_published_a_second_later(
    publisher: Publisher, wire: Wire
) -> None:
    come_up(publisher, wire)
    wire.take()
    wire.room = 0
    publisher.measured([said("boiler", t=1)], NOW_S)
    publisher.tick(NOW_S)
    assert wire.take() == {}
    wire.room = 10_000
    publisher.tick(NOW_S)
    taken = wire.take()
    assert taken[f"{BASE}/boiler/t"] == b"1"
    assert f"{BASE}/boiler" in taken
    publisher.tick(NOW_S)
    assert wire.take() == {}


def test_of_a_device_that_floods_the_newest_values_are_published_once_a_second(
    publisher: Publisher, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    come_up(publisher, wire)
    wire.room = 1_000_000
    for _ in range(2):
        wire.published.clear()
        publisher.measured([said("boiler", t=n) for n in range(3 * MAX_VALUES_PER_S)], NOW_S)
        publisher.measured([said("boiler", t=-1)], NOW_S)
        topics = [message.topic for message in wire.published]
        assert topics.count(f"{BASE}/boiler/t") == MAX_VALUES_PER_S
        publisher.measured([said("meter", t=1)], NOW_S)
        assert f"{BASE}/meter/t" in wire.take(), "the other device doesn't wait"
        publisher.tick(NOW_S)
        taken = wire.take()
        assert taken[f"{BASE}/boiler/t"] == b"-1"
        assert json.loads(taken[f"{BASE}/boiler"])["t"] == -1
    assert caplog.text.count("boiler says more than") == 1


def test_where_all_say_too_much_each_has_its_share(wire: Wire) -> None:
    names = [f"meter{number}" for number in range(100)]
    devices = {name: Device(f"{BASE}/{name}", PointNames()) for name in names}
    publisher = Publisher(BASE, devices, Rivalry(BASE, "a"))
    publisher.attach(wire)
    come_up(publisher, wire)
    wire.room = 1_000_000
    wire.published.clear()
    for number in range(1_000):
        publisher.measured([said(name, t=number) for name in names], NOW_S)
    values = [message for message in wire.published if message.topic.endswith("/t")]
    assert len(values) == MAX_VALUES_OF_ALL_PER_S
    wire.take()
    publisher.tick(NOW_S)
    taken = wire.take()
    assert all(taken[f"{BASE}/{name}/t"] == b"999" for name in names)


def test_a_new_point_is_announced(publisher: Publisher, wire: Wire) -> None:
    come_up(publisher, wire)
    wire.take()
    publisher.measured([said("boiler", t=1)], NOW_S)
    publisher.tick(NOW_S)
    devices = json.loads(wire.take()[f"{BASE}/bridge/devices"])["devices"]
    points = {"button": {"type": "event"}, "t": {"type": "number"}}
    assert devices[0] == {"name": "boiler", "points": points}


def test_what_was_learned_of_a_point_is_announced(publisher: Publisher, wire: Wire) -> None:
    come_up(publisher, wire)
    for seconds in range(10):
        publisher.measured([said("boiler", t=seconds)], NOW_S + seconds)
        publisher.tick(NOW_S + seconds)
    announced = [one for one in wire.published if one.topic == f"{BASE}/bridge/devices"]
    assert len(announced) == 3, "at first, when the point was seen, and when it was learned"
    points = json.loads(announced[-1].payload)["devices"][0]["points"]
    assert points["t"] == {"type": "number", "expire_after_s": 5, "interval_s": 1}


def test_a_silent_point_is_stale_in_the_state_a_second_later_at_most(
    publisher: Publisher, wire: Wire
) -> None:
    come_up(publisher, wire)
    for seconds in range(10):
        publisher.measured([said("boiler", t=1)], NOW_S + seconds)
    wire.take()
    publisher.tick(NOW_S + 14)
    assert f"{BASE}/boiler" not in wire.take()
    publisher.tick(NOW_S + 15)
    assert json.loads(wire.take()[f"{BASE}/boiler"])["stale"] == ["t"]


def test_what_a_device_holds_back_is_published_when_it_is_due(
    publisher: Publisher, wire: Wire
) -> None:
    come_up(publisher, wire)
    wire.take()
    assert publisher.due_s == math.inf
    for number in range(5):
        publisher.measured([said("tank", t=number)], NOW_S)
    assert wire.take()[f"{BASE}/tank/t"] == b"0"
    assert publisher.due_s == NOW_S + 0.5
    publisher.release(NOW_S + 0.4)
    assert wire.take() == {}
    publisher.release(NOW_S + 0.5)
    taken = wire.take()
    assert taken[f"{BASE}/tank/t"] == b"4"
    assert json.loads(taken[f"{BASE}/tank"])["t"] == 4
    assert publisher.due_s == math.inf


def test_a_device_that_could_not_be_published_is_not_due_before_the_next_tick(
    publisher: Publisher, wire: Wire
) -> None:
    come_up(publisher, wire)
    publisher.measured([said("tank", t=1), said("tank", t=2)], NOW_S)
    wire.room = 0
    publisher.release(NOW_S + 0.5)
    assert publisher.due_s == math.inf
    wire.room = 10_000
    wire.take()
    publisher.tick(NOW_S + 1)
    assert json.loads(wire.take()[f"{BASE}/tank"])["t"] == 2


def test_a_press_is_published_at_once_and_one_that_can_not_be_is_lost_and_counted(
    publisher: Publisher, wire: Wire
) -> None:
    def health() -> object:
        publisher.went_offline("meter", f"at {len(wire.published)}")
        return json.loads(wire.take()[f"{BASE}/bridge/health"])["devices"]["boiler"]["dropped"]

    publisher.measured([said("boiler", button=True)], NOW_S)
    come_up(publisher, wire)
    assert f"{BASE}/boiler/button" not in wire.take()
    assert health() == {"event_lost": 1}
    publisher.measured([said("boiler", button=True)] * 2, NOW_S)
    assert [one.topic for one in wire.published] == [f"{BASE}/boiler/button"] * 2
    wire.take()
    publisher.measured([said("boiler", button=True)] * MAX_EVENTS_PER_S, NOW_S)
    assert len(wire.published) == MAX_EVENTS_PER_S - 2
    assert health() == {"event_lost": 3}
    publisher.tick(NOW_S + 1)
    wire.take()
    publisher.measured([said("boiler", button=True)], NOW_S)
    assert f"{BASE}/boiler/button" in wire.take()


def test_a_flood_of_values_holds_back_no_press(publisher: Publisher, wire: Wire) -> None:
    come_up(publisher, wire)
    wire.room = 1_000_000
    publisher.measured([said("boiler", t=n) for n in range(2 * MAX_VALUES_PER_S)], NOW_S)
    wire.take()
    publisher.measured([said("boiler", button=True, t=-1)], NOW_S)
    assert list(wire.take()) == [f"{BASE}/boiler/button"]


def test_health_says_why_and_is_repeated(publisher: Publisher, wire: Wire) -> None:
    come_up(publisher, wire)
    wire.take()
    publisher.went_offline("boiler", "the port is gone")
    health = json.loads(wire.take()[f"{BASE}/bridge/health"])
    assert health["devices"]["boiler"] == {
        "state": "offline",
        "reason": "the port is gone",
        "opened": 1,
        "dropped": {},
    }
    for _ in range(HEALTH_EVERY_S):
        publisher.tick(NOW_S)
    assert f"{BASE}/bridge/health" in wire.take()


def test_health_counts_the_values_that_have_no_point(publisher: Publisher, wire: Wire) -> None:
    come_up(publisher, wire)
    publisher.measured(
        [said("boiler", **{f"t{n}": n for n in range(MAX_UNLISTED_POINTS + 3)})], NOW_S
    )
    publisher.went_offline("boiler", "the port is gone")
    health = json.loads(wire.take()[f"{BASE}/bridge/health"])["devices"]
    assert health["boiler"]["dropped"] == {"too_many_points": 3}
    assert health["meter"]["dropped"] == {}


def test_an_orderly_end_says_that_everything_is_offline(publisher: Publisher, wire: Wire) -> None:
    publisher.came_online("boiler")
    come_up(publisher, wire)
    wire.take()
    publisher.farewell()
    taken = wire.take()
    assert taken[f"{BASE}/boiler/availability"] == b'{"state":"offline"}'
    assert list(taken)[-1] == f"{BASE}/bridge/state" == will(BASE).topic
    publisher.measured([said("boiler", t=1)], NOW_S)
    assert wire.take() == {}


def test_one_that_yields_to_another_gateway_leaves_its_topics_alone(
    publisher: Publisher, wire: Wire
) -> None:
    publisher.came_online("boiler")
    come_up(publisher, wire)
    wire.take()
    stronger = Rivalry(BASE, "0")
    stronger.receive(stronger.question())
    publisher.receive([stronger.question()])
    publisher.measured([said("boiler", t=1)], NOW_S)
    publisher.tick(NOW_S)
    publisher.farewell()
    assert wire.take() == {}


def test_an_offline_that_is_not_ours_is_put_right(publisher: Publisher, wire: Wire) -> None:
    """A broker publishes the will of one that lost its power long after that one is back."""
    come_up(publisher, wire)
    wire.take()
    publisher.receive([will(BASE)])
    assert wire.take() == {f"{BASE}/bridge/state": b'{"state":"online"}'}


def test_the_echo_of_its_farewell_does_not_bring_it_back(publisher: Publisher, wire: Wire) -> None:
    come_up(publisher, wire)
    publisher.farewell()
    wire.take()
    publisher.receive([will(BASE)])
    come_up(publisher, wire)
    assert list(wire.take()) == [f"{BASE}/bridge/request/ping"]


def test_it_subscribes_to_what_it_answers() -> None:
    below = ("bridge/state", "bridge/request/ping", "bridge/response/ping")
    commands = ("+/set", "+/set/+", "+/get")
    assert {one.topic_filter for one in subscriptions(BASE)} == {
        f"{BASE}/{each}" for each in (*below, *commands)
    }


def test_commands_are_handed_on_once_nobody_else_is_there(wire: Wire) -> None:
    taken: list[Message] = []
    device = Device(f"{BASE}/boiler", PointNames(()))
    publisher = Publisher(BASE, {"boiler": device}, Rivalry(BASE, "a"), command=taken.append)
    publisher.attach(wire)
    command = Message(f"{BASE}/boiler/set", b"{}")
    publisher.receive([command])
    assert not taken
    come_up(publisher, wire)
    publisher.receive([command])
    assert taken == [command]


def test_whoever_asks_for_a_device_gets_all_of_it_with_the_next_tick(
    publisher: Publisher, wire: Wire
) -> None:
    come_up(publisher, wire)
    publisher.measured([said("boiler", temperature=21.5)], 0)
    wire.take()
    publisher.receive([Message(f"{BASE}/boiler/get", b""), Message(f"{BASE}/none/get", b"")])
    publisher.tick(1)
    taken = wire.take()
    assert taken[f"{BASE}/boiler/temperature"] == b"21.5"
    assert f"{BASE}/boiler" in taken
    publisher.tick(2)
    assert not wire.take()


def test_a_receipt_is_published_only_where_nobody_else_does(
    publisher: Publisher, wire: Wire
) -> None:
    receipt = Message(f"{BASE}/boiler/result", b"{}")
    publisher.publish(receipt)
    assert not wire.take()
    come_up(publisher, wire)
    wire.take()
    publisher.publish(receipt)
    assert wire.take() == {receipt.topic: receipt.payload}


def test_a_gateway_without_devices_says_so_too(wire: Wire) -> None:
    publisher = Publisher(BASE, {}, Rivalry(BASE, "a"))
    publisher.attach(wire)
    come_up(publisher, wire)
    taken = wire.take()
    assert json.loads(taken[f"{BASE}/bridge/devices"]) == {"base": BASE, "devices": []}
    assert json.loads(taken[f"{BASE}/bridge/health"]) == {"devices": {}}

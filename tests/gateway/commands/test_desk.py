from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest

from broker.link import Message, QoS, Request
from gateway.commands.desk import MAX_WAITING, REMEMBERED, Desk, Order, Writable
from gateway.measurement import Value
from gateway.points.config import PointConfig

POINTS = {
    "pump": {"type": "boolean", "write": "PUMP {value}\n"},
    "level": {"unit": "m", "decimals": 1, "write": "LEVEL {value}\n"},
    "flow": {"unit": "m³/h", "write": "FLOW {value}\n"},
    "mode": {"options": ["auto", "manual"], "write": "MODE {value}\n"},
    "reset": {"type": "button", "write": "RESET\n"},
    "blind": {"type": "boolean", "write": "B {value}\n", "confirm": False},
    "silent": {"unit": "m"},
}


class Boiler:
    is_online = True
    reason = ""

    def __init__(self) -> None:
        self.said: dict[str, tuple[Value, int]] = {}

    def newest(self, point: str) -> tuple[Value, int]:
        return self.said.get(point, (None, 0))


class Office:
    """A desk, with all that it handed out."""

    def __init__(self) -> None:
        self.boiler = Boiler()
        self.published: list[Message] = []
        self.orders: list[Order] = []
        points = {name: PointConfig.model_validate(keys) for name, keys in POINTS.items()}
        self.desk = Desk(
            "base",
            {
                "boiler": Writable(self.boiler, points, timeout_s=5, line="bus"),
                "pump": Writable(self.boiler, points, timeout_s=5, line="bus"),
            },
            publish=self.published.append,
            carry_out=self.orders.append,
            clock=lambda: 1_763_690_523_123,
        )

    def ask(self, topic: str, payload: str, **keys: Any) -> None:
        assert self.desk.receive(Message(f"base/{topic}", payload.encode(), **keys), now_s=0)

    def write(self, order: Order, now_s: float = 0, why_not: str = "") -> None:
        order.begun_ms = 1_000
        self.desk.written(order, why_not, now_s)

    def say(self, *, at_ms: int = 1_001, **points: Value) -> None:
        for point, value in points.items():
            self.boiler.said[point] = (value, at_ms)
        self.desk.measured("boiler")

    def receipts(self) -> list[Mapping[str, Any]]:
        found = [json.loads(one.payload) for one in self.published if one.topic.endswith("result")]
        self.published.clear()
        return found

    def stages(self) -> list[str]:
        return [receipt["stage"] for receipt in self.receipts()]


@pytest.fixture
def office() -> Office:
    return Office()


def test_a_command_is_accepted_written_and_confirmed(office: Office) -> None:
    office.ask("boiler/set/pump", "true")
    (accepted,) = office.receipts()
    assert accepted == {
        "transaction": accepted["transaction"],
        "point": "pump",
        "stage": "accepted",
        "value": True,
        "time": "2025-11-21T02:02:03.123Z",
    }
    (order,) = office.orders
    assert (order.device, order.point, order.content) == ("boiler", "pump", b"PUMP 1\n")
    office.write(order)
    assert office.stages() == ["written"]
    office.say(pump=False)
    assert office.stages() == []
    office.say(pump=True)
    (confirmed,) = office.receipts()
    assert confirmed["stage"] == "confirmed"
    assert confirmed["transaction"] == accepted["transaction"]
    office.say(pump=True)
    assert office.stages() == []
    assert office.desk.due_s == math.inf


def test_receipts_are_sure_to_arrive_and_not_retained(office: Office) -> None:
    office.ask("boiler/set/pump", "true")
    (message,) = office.published
    assert message.topic == "base/boiler/result"
    assert (message.qos, message.retain) == (QoS.AT_LEAST_ONCE, False)


def test_what_was_said_before_the_writing_confirms_nothing(office: Office) -> None:
    office.say(pump=True, at_ms=999)
    office.ask("boiler/set/pump", "true")
    office.write(office.orders[0])
    assert office.stages() == ["accepted", "written"]


def test_an_answer_that_overtakes_the_news_of_the_writing_confirms_it(office: Office) -> None:
    office.ask("boiler/set/pump", "true")
    office.say(pump=True, at_ms=1_000)
    assert office.stages() == ["accepted"]
    office.write(office.orders[0])
    assert office.stages() == ["written", "confirmed"]


@pytest.mark.parametrize(
    ("point", "wish", "said", "is_it"),
    [
        ("level", "2.04", 2.0, True),
        ("level", "2.04", 2.1, False),
        ("flow", "0.3", 0.1 + 0.2, True),
        ("flow", "0.3", 0.31, False),
        ("flow", "0.3", 10**400, False),
        ("mode", "manual", "manual", True),
        ("pump", "true", 1, False),
        ("pump", "true", None, False),
    ],
)
def test_confirmed_is_equal_after_rounding(
    office: Office, point: str, wish: str, said: Value, is_it: bool
) -> None:
    office.ask(f"boiler/set/{point}", wish)
    office.write(office.orders[0])
    office.boiler.said[point] = (said, 1_001)
    office.desk.measured("boiler")
    assert (office.stages()[-1] == "confirmed") is is_it


def test_hardware_that_stays_silent_is_a_timeout_that_says_what_it_says(office: Office) -> None:
    office.ask("boiler/set/level", "2")
    office.write(office.orders[0], now_s=10)
    office.say(level=1.5)
    assert office.desk.due_s == 15
    office.desk.release(14.9)
    assert office.stages() == ["accepted", "written"]
    office.desk.release(15)
    (receipt,) = office.receipts()
    assert receipt["stage"] == "timeout"
    assert receipt["error"] == "the hardware has not said it back; it says 1.5"
    office.say(level=2.0)
    assert office.stages() == []


def test_what_can_not_be_written_in_time_is_given_up(office: Office) -> None:
    office.ask("boiler/set/level", "2")
    (order,) = office.orders
    office.desk.release(5)
    (_, receipt) = office.receipts()
    assert (receipt["stage"], receipt["error"]) == ("timeout", "it could not be written in time")
    assert order.is_over
    office.write(order)
    assert office.stages() == []


def test_what_the_reader_can_not_write_is_refused_with_its_reason(office: Office) -> None:
    office.ask("boiler/set/level", "2")
    office.write(office.orders[0], why_not="/dev/ttyUSB0 is gone")
    (_, receipt) = office.receipts()
    assert (receipt["stage"], receipt["error"]) == ("refused", "/dev/ttyUSB0 is gone")


@pytest.mark.parametrize("point", ["reset", "blind"])
def test_what_the_hardware_never_says_back_is_done_once_written(office: Office, point: str) -> None:
    office.ask(f"boiler/set/{point}", "true")
    office.write(office.orders[0])
    assert office.stages() == ["accepted", "written"]
    assert office.desk.due_s == math.inf


def test_one_message_gives_each_of_its_points_a_receipt_with_its_transaction(
    office: Office,
) -> None:
    office.ask("boiler/set", '{"pump":true,"nope":1,"level":"x","transaction":"abc"}')
    receipts = office.receipts()
    assert {receipt["transaction"] for receipt in receipts} == {"abc"}
    assert [(receipt["point"], receipt["stage"]) for receipt in receipts] == [
        ("pump", "accepted"),
        ("nope", "refused"),
        ("level", "refused"),
    ]
    assert receipts[2]["error"] == "x is no number"


def test_a_request_that_makes_no_sense_is_refused(office: Office) -> None:
    office.ask("boiler/set", "on")
    (receipt,) = office.receipts()
    assert (receipt["point"], receipt["stage"]) == ("", "refused")
    assert "no JSON object" in receipt["error"]


def test_a_retained_command_is_ignored(office: Office) -> None:
    office.ask("boiler/set/pump", "true", retain=True)
    (receipt,) = office.receipts()
    assert (receipt["point"], receipt["stage"]) == ("pump", "refused")
    assert "retained" in receipt["error"]
    assert not office.orders


def test_a_device_that_is_offline_takes_no_command(office: Office) -> None:
    office.boiler.is_online, office.boiler.reason = False, "/dev/ttyUSB0 is gone"
    office.ask("boiler/set/pump", "true")
    (receipt,) = office.receipts()
    assert receipt["error"] == "boiler is offline: /dev/ttyUSB0 is gone"


def test_more_commands_than_a_device_may_have_waiting_are_refused(office: Office) -> None:
    for _ in range(MAX_WAITING + 1):
        office.ask("boiler/set/pump", "true")
    assert len(office.orders) == MAX_WAITING
    assert office.receipts()[-1]["error"] == "32 commands to boiler are under way already"
    office.write(office.orders[0])
    office.say(pump=True)
    office.ask("boiler/set/pump", "true")
    assert len(office.orders) == MAX_WAITING + 1


def test_a_transaction_that_comes_twice_is_carried_out_once(office: Office) -> None:
    for _ in range(2):
        office.ask("boiler/set", '{"pump":true,"transaction":"abc"}')
    assert len(office.orders) == 1
    assert office.stages() == ["accepted"]


@pytest.mark.parametrize("again", ["true", "false"])
def test_a_transaction_that_was_used_before_is_refused_and_not_passed_over(
    office: Office, again: str
) -> None:
    office.ask("boiler/set", '{"pump":true,"transaction":"abc"}')
    if again == "true":
        office.write(office.orders[0])
        office.say(pump=True)
    office.receipts()
    office.ask("boiler/set", f'{{"pump":{again},"transaction":"abc"}}')
    (receipt,) = office.receipts()
    assert (receipt["stage"], receipt["transaction"]) == ("refused", "abc")
    assert "abc was used before" in receipt["error"]
    assert len(office.orders) == 1


def test_an_old_transaction_is_forgotten(office: Office) -> None:
    for number in [*range(REMEMBERED + 1), 0]:
        office.ask("boiler/set", f'{{"silent":1,"transaction":{number}}}')
    assert all("write" in receipt["error"] for receipt in office.receipts())


def test_a_command_has_time_for_those_before_it_on_its_line(office: Office) -> None:
    office.ask("pump/set/pump", "true")
    office.ask("boiler/set/pump", "true")
    assert [order.deadline_s for order in office.orders] == [5, 10]


def test_at_the_end_nobody_is_left_without_a_last_word(office: Office) -> None:
    office.ask("boiler/set/pump", "true")
    office.ask("boiler/set/level", "2")
    office.write(office.orders[0])
    office.receipts()
    office.desk.close()
    assert [(one["point"], one["stage"]) for one in office.receipts()] == [
        ("pump", "timeout"),
        ("level", "refused"),
    ]
    office.ask("boiler/set/pump", "true")
    (receipt,) = office.receipts()
    assert (receipt["stage"], receipt["error"]) == ("refused", "the gateway is stopping")
    assert len(office.orders) == 2
    assert office.desk.due_s == math.inf


@pytest.mark.parametrize(
    "topic", ["room/set", "boiler/level", "boiler/set/level/now", "boiler", "boiler/result"]
)
def test_other_topics_are_no_commands(office: Office, topic: str) -> None:
    assert not office.desk.receive(Message(f"base/{topic}", b"1"), now_s=0)
    assert not office.published


def test_whoever_names_a_response_topic_hears_there_what_it_asked_with(office: Office) -> None:
    request = Request(
        "base/boiler/set/pump",
        b"true",
        response_topic="clients/7/answer",
        correlation_data=b"\x00\x07",
    )
    assert office.desk.receive(request, now_s=0)
    office.write(office.orders[0])
    answers = [one for one in office.published if one.topic == "clients/7/answer"]
    assert [json.loads(one.payload)["stage"] for one in answers] == ["accepted", "written"]
    for answer in answers:
        assert isinstance(answer, Request)
        assert (answer.correlation_data, answer.response_topic) == (b"\x00\x07", "")
        assert not answer.retain


@pytest.mark.parametrize(
    "response_topic",
    ["base/room/set/pump", "$SYS/x", "homeassistant/device/x/config", "a/#", "a/+", "a\0b"],
)
def test_nobody_gets_the_gateway_to_publish_where_it_must_not(
    office: Office, response_topic: str
) -> None:
    request = Request("base/boiler/set/pump", b"true", response_topic=response_topic)
    assert office.desk.receive(request, now_s=0)
    assert [one.topic for one in office.published] == ["base/boiler/result"]

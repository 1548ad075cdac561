from __future__ import annotations

import json
import random
from typing import Any

import pytest

from broker.link import Message
from gateway.home_assistant.announcer import KEEP_UNSEEN_S, Announcer, config_id, difference
from gateway.home_assistant.config import HomeAssistantConfig
from gateway.home_assistant.discovery import Payload, Site, discovery, parsed, site_of
from gateway.points.config import PointConfig

TOP_KEYS = {"device", "origin", "availability", "availability_mode", "components"}
DEVICE_KEYS = {
    *("identifiers", "name", "manufacturer", "model", "sw_version", "via_device"),
    "configuration_url",
}


def boiler(*points: str, name: str = "boiler", **more: Any) -> dict[str, Any]:
    known = {"type": "number", "unit": "°C", **more}
    return {
        "name": name,
        "id": "boiler",
        "reader": "serial",
        "points": dict.fromkeys(points, known),
    }


class Broker:
    """Holds what is retained, and tells an announcer of it when the link comes up."""

    def __init__(self, **config: Any) -> None:
        self.held: dict[str, bytes] = {}
        self.published: list[Message] = []
        self.config = HomeAssistantConfig(enabled=True, **config)
        self.said_all = 0

    def start(self, site: Site | None = None) -> Announcer:
        announcer = Announcer(
            self.config,
            site or Site("base"),
            publish=self.take,
            say_all=self.say_all,
            chance=random.Random(1),
        )
        self.come_up(announcer)
        return announcer

    def come_up(self, announcer: Announcer) -> None:
        announcer.begin()
        for topic, payload in self.held.items():
            assert announcer.receive(Message(topic, payload, retain=True), 0)
        self.published.clear()

    def take(self, message: Message) -> None:
        assert message.retain
        self.published.append(message)
        self.held[message.topic] = message.payload
        if not message.payload:
            del self.held[message.topic]

    def say_all(self) -> None:
        self.said_all += 1

    @property
    def names(self) -> list[str]:
        return [message.topic.split("/")[2] for message in self.published]

    def payload(self, name: str) -> Payload:
        found = parsed(self.held[f"homeassistant/device/{name}/config"])
        assert found is not None
        return found


@pytest.fixture
def broker() -> Broker:
    return Broker()


def test_a_device_is_one_message_with_all_its_entities(broker: Broker) -> None:
    announcer = broker.start()
    announcer.update([boiler("temperature", "flow")], 0)
    assert broker.names == ["base_boiler", "base_bridge"]
    payload = broker.payload("base_boiler")
    assert payload.keys() == TOP_KEYS
    assert payload["device"].keys() <= DEVICE_KEYS
    assert payload["device"]["identifiers"] == ["base_boiler"]
    assert payload["device"]["via_device"] == "base_bridge"
    assert payload["origin"]["name"] == "Fieldgate"
    assert [one["topic"] for one in payload["availability"]] == [
        "base/bridge/state",
        "base/boiler/availability",
    ]
    assert payload["availability_mode"] == "all"
    assert payload["components"].keys() == {"temperature", "flow"}
    ids = {one["unique_id"] for one in payload["components"].values()}
    assert ids == {"base_boiler_temperature", "base_boiler_flow"}


def test_the_bridge_tells_whether_the_gateway_is_there(broker: Broker) -> None:
    broker.start().update([], 0)
    payload = broker.payload("base_bridge")
    assert payload.keys() == TOP_KEYS
    (state,) = payload["components"].values()
    assert state["device_class"] == "connectivity"
    assert state["availability"] == []  # else it would never say off


def test_a_device_s_own_words_are_said() -> None:
    site = site_of(
        "plant/hall",
        HomeAssistantConfig(configuration_url="http://gw:8088/"),
        {"boiler": {"flow": PointConfig(home_assistant={"icon": "mdi:pump"})}},
    )
    device = boiler("flow", "x") | {"title": "Hot", "manufacturer": "ACME", "model": "B2"}
    payload = discovery(site, [device])["plant_hall_boiler"]
    assert payload["device"]["name"] == "Hot"
    assert (payload["device"]["manufacturer"], payload["device"]["model"]) == ("ACME", "B2")
    assert payload["device"]["configuration_url"] == "http://gw:8088/"
    assert payload["components"]["flow"]["icon"] == "mdi:pump"


def test_a_device_with_one_entity_gives_it_its_name(broker: Broker) -> None:
    broker.start().update([boiler("temperature")], 0)
    assert broker.payload("base_boiler")["components"]["temperature"]["name"] is None


def test_nothing_is_said_that_the_broker_holds_already(broker: Broker) -> None:
    broker.start().update([boiler("temperature")], 0)
    announcer = broker.start()
    announcer.update([boiler("temperature")], 0)
    announcer.update([boiler("temperature")], 1)
    assert broker.names == []


def test_what_the_broker_lost_is_said_again(broker: Broker) -> None:
    announcer = broker.start()
    announcer.update([boiler("temperature")], 0)
    broker.held.clear()
    broker.come_up(announcer)
    announcer.update([boiler("temperature")], 0)
    assert broker.names == ["base_boiler", "base_bridge"]


def test_a_device_that_is_gone_is_taken_away_and_others_gateways_are_left_alone(
    broker: Broker,
) -> None:
    broker.start(Site("other")).update([boiler("temperature")], 0)
    broker.held["homeassistant/device/zigbee/config"] = b'{"origin":{"name":"Zigbee2MQTT"}}'
    broker.held["homeassistant/device/broken/config"] = b"{"
    broker.held["homeassistant/device/alien/config"] = json.dumps(
        {"origin": {"name": "Fieldgate"}, "availability": {"topic": "base/bridge/state"}}
    ).encode()
    theirs = dict(broker.held)
    broker.start().update([boiler("temperature")], 0)
    broker.start().update([], 0)
    assert broker.held.keys() == theirs.keys() | {"homeassistant/device/base_bridge/config"}
    assert broker.names == ["base_boiler"]


def test_a_component_is_named_by_its_platform_alone_once_and_then_left_out(
    broker: Broker,
) -> None:
    broker.start().update([boiler("temperature", "flow")], 0)
    announcer = broker.start(Site("base", only_listed=frozenset({"boiler"})))
    announcer.update([boiler("temperature")], 0)
    first, second = (parsed(one.payload) for one in broker.published)
    assert first is not None
    assert second is not None
    assert first["components"]["flow"] == {"platform": "sensor"}
    assert second["components"].keys() == {"temperature"}
    announcer.update([boiler("temperature")], 1)
    assert len(broker.published) == 2


def test_a_point_that_was_not_heard_yet_since_the_start_keeps_its_entity_for_a_day(
    broker: Broker,
) -> None:
    broker.start().update([boiler("temperature", "flow")], 0)
    announcer = broker.start()
    announcer.update([boiler()], 100)
    announcer.update([boiler("temperature")], 101)
    assert broker.names == []
    announcer.update([boiler("temperature")], 100 + KEEP_UNSEEN_S)
    assert broker.payload("base_boiler")["components"].keys() == {"temperature"}


def test_a_point_that_the_config_leaves_out_is_taken_away_at_once(broker: Broker) -> None:
    broker.start().update([boiler("temperature", "flow")], 0)
    points = {"boiler": {"flow": PointConfig.model_validate({"home_assistant": False})}}
    site = site_of("base", broker.config, points)
    broker.start(site).update([boiler("temperature", "flow")], 0)
    assert broker.payload("base_boiler")["components"].keys() == {"temperature"}


def test_a_rename_moves_the_topics_and_takes_no_entity_away(broker: Broker) -> None:
    broker.start().update([boiler("temperature", "flow")], 0)
    before = broker.payload("base_boiler")["components"]
    broker.start().update([boiler("temperature", name="kessel")], 0)
    (change,) = broker.published
    after = broker.payload("base_boiler")["components"]
    assert change.topic == "homeassistant/device/base_boiler/config"
    assert [one["unique_id"] for one in after.values()] == [
        one["unique_id"] for one in before.values()
    ]
    assert after["temperature"]["state_topic"] == "base/kessel/temperature"
    assert after["flow"]["state_topic"] == "base/kessel/flow"


def test_one_that_is_asked_for_is_held_back_until_somebody_says_yes() -> None:
    broker = Broker(announce="ask")
    announcer = broker.start()
    announcer.update([boiler("temperature")], 0)
    assert broker.names == ["base_bridge"]
    assert announcer.waiting([boiler("temperature")]) == ["base_boiler"]
    announcer.approve("boiler")
    announcer.update([boiler("temperature")], 1)
    assert broker.names == ["base_bridge", "base_boiler"]
    assert announcer.waiting([boiler("temperature")]) == []
    again = broker.start()
    again.update([boiler("temperature", "flow")], 0)
    assert broker.names == ["base_boiler"]  # once is enough


def test_its_birth_has_everything_said_again_a_little_later(broker: Broker) -> None:
    announcer = broker.start()
    announcer.receive(Message("homeassistant/status", b"offline"), 10)
    announcer.receive(Message("homeassistant/status", b"online", retain=True), 10)
    assert announcer.due_s == float("inf")
    announcer.receive(Message("homeassistant/status", b"online"), 10)
    assert 11 <= announcer.due_s <= 15
    announcer.release(10.9)
    assert broker.said_all == 0
    announcer.release(15)
    announcer.release(16)
    assert broker.said_all == 1
    assert announcer.due_s == float("inf")


@pytest.mark.parametrize(
    "topic", ["homeassistant/device/x/y/config", "homeassistant/sensor/x/config", "base/boiler"]
)
def test_other_topics_are_not_its_business(broker: Broker, topic: str) -> None:
    assert not broker.start().receive(Message(topic, b"{}"), 0)


def test_a_difference_names_what_is_created_changed_and_removed() -> None:
    found = difference({"a": {"x": 1}, "b": {"x": 1}}, {"b": {"x": 2}, "c": {}})
    assert (found.create, found.change, found.remove) == (("c",), ("b",), ("a",))


def test_the_discovery_id_is_in_the_topic() -> None:
    assert config_id("ha/x", "ha/x/device/base_boiler/config") == "base_boiler"
    assert config_id("ha", "ha/device/config") is None


def test_whatever_stands_in_the_list_of_devices_is_survived() -> None:
    assert discovery(Site("base"), None).keys() == {"base_bridge"}
    assert discovery(Site("base"), [1, {"id": "a", "name": "a", "points": 5}]).keys() == {
        "base_bridge"
    }

"""A Mosquitto that bridges to the native broker: with a will on a `$`-topic, as all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from argon2 import PasswordHasher

from tests.broker.native.listening import listening
from tests.mqtt_packets import connected, publish
from tests.real_ends import mosquitto

HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("right")
USERS = f"""
users:
  plant: {{password: "{HASH}"}}
rules:
  - {{user: "*", allow: [publish, subscribe], topics: ["#"]}}
"""


@pytest.mark.parametrize(
    ("version", "login"), [("mqttv31", ""), ("mqttv311", "plant"), ("mqttv50", "plant")]
)
async def test_messages_go_both_ways_over_its_bridge(
    version: str, login: str, tmp_path: Path
) -> None:
    async with listening("mqtt", users=USERS if login else None) as broker:
        bridge = [
            "connection ours",
            f"address 127.0.0.1:{broker.ports[0]}",
            f"bridge_protocol_version {version}",
            "topic # both 1",
            "restart_timeout 1",  # before 5 it is refused once, for claiming to be a bridge
        ]
        if login:
            bridge += [f"remote_username {login}", "remote_password right"]
        with mosquitto(tmp_path, *bridge) as theirs:
            async with (
                connected(broker.ports[0], "here", login=("plant", "right")) as here,
                connected(theirs.port, "there") as there,
            ):
                await here.subscribe("from/there")
                await there.subscribe("from/here")
                await here.send(publish("from/here", b"hello", packet_id=7, retain=True))
                assert (await there.read_until_topic("from/here"))[-1].payload == b"hello"
                await there.send(publish("from/there", b"hello", packet_id=7))
                assert (await here.read_until_topic("from/there"))[-1].payload == b"hello"

"""The topic tree of the AsyncAPI document, held to what the running program says on a broker."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path

import httpx
import jsonschema_rs

from broker import link
from broker.link import Endpoint, Message, QoS, Subscription
from tests.browser_session import browsing
from tests.program import running
from tests.real_ends import DEADLINE_S, mosquitto, until
from tests.serial_line import serial_line
from webui import presence
from webui.asyncapi import asyncapi_document
from webui.topic_tree import TOPIC_TREE, Branch, Said

BASE = "plant/gate"
CONFIG = """
base_topic: plant/gate
broker: {{engine: external, url: '{url}'}}
web: {{listen: 127.0.0.1:0, node: hall}}
home_assistant: {{enabled: true}}
devices:
  - name: boiler
    reader: {{type: serial, port: {port}}}
    decoder: {{type: key_value}}
    points:
      temperature: {{unit: "°C"}}
      button: {{type: event}}
      pump: {{type: boolean, write: "PUMP {{value}}\n", confirm: false}}
"""


QUESTION = Message(
    f"{BASE}/bridge/request/ping",
    b'{"transaction":"t1","instance":"~","established":false}',
    QoS.AT_LEAST_ONCE,
)
"""As a gateway asks it that will yield, being the younger one."""

ASKED = {
    "boiler/set": b'{"pump":true,"transaction":"t1"}',
    "boiler/set/pump": b"false",
    "boiler/get": b"",
    "bridge/request/announce": b'{"device":"boiler","transaction":"t2"}',
}
"""What others want of the gateway, below its base topic."""

DOCUMENT = asyncapi_document(version="1", base_topic=BASE, host="127.0.0.1:8088")


def branch_of(topic: str) -> Branch | None:
    """The branch of a topic; one that spells its levels out goes before one that doesn't."""
    for branch in sorted(TOPIC_TREE, key=lambda branch: branch.topic.count("{")):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", branch.address(BASE)), topic):
            return branch
    return None


def misfit(message: Message, said: Said) -> str:
    """Why this is no message of that kind; empty if it is one."""
    if (message.qos, message.retain) != (said.qos, said.retain):
        return f"{said.name}: QoS {message.qos}, retain {message.retain}"
    text = message.payload.decode()
    value = json.loads(text) if said.media_type == "application/json" else text
    payload = DOCUMENT["components"]["messages"][said.name]["payload"]
    schema = {**payload, "components": DOCUMENT["components"]}
    errors = jsonschema_rs.validator_for(schema).iter_errors(value)
    return "; ".join(f"{said.name}: {error.message}" for error in errors)


def kind(message: Message) -> str:
    """Which kind of message of the tree this is: exactly one."""
    branch = branch_of(message.topic)
    assert branch is not None, f"{message.topic} is not in the tree"
    misfits = [misfit(message, said) for said in branch.said]
    fitting = [said.name for said, why in zip(branch.said, misfits, strict=True) if not why]
    assert len(fitting) == 1, f"{message}: {misfits}"
    return fitting[0]


class Listener:
    """Everything that is published, as it is published: with its own retain flag and QoS."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self._kinds: set[str] = set()

    def link_up(self) -> None: ...
    def link_down(self, _reason: str) -> None: ...

    def receive(self, messages: Sequence[Message]) -> None:
        self.heard += messages

    def topics(self) -> set[str]:
        return {message.topic for message in self.heard}

    def kinds(self) -> set[str]:
        """The kinds of all that was heard so far."""
        while self.heard:
            self._kinds.add(kind(self.heard.pop()))
        return self._kinds


async def test_all_that_the_program_says_is_in_the_tree_and_all_of_the_tree_is_said(
    tmp_path: Path,
) -> None:
    listener = Listener()
    filters = (f"{BASE}/#", "homeassistant/device/#")
    everything = [Subscription(one, QoS.EXACTLY_ONCE) for one in filters]
    with mosquitto(tmp_path) as broker, serial_line(tmp_path) as boiler:
        async with link.connect(
            Endpoint(broker.url, version="5"), listener, role="test", subscriptions=everything
        ) as connection:
            await until(lambda: connection.is_up, "it listens")
            config = CONFIG.format(url=broker.url, port=boiler.path)
            with running(tmp_path, config) as fieldgate:
                await until(lambda: f"{BASE}/bridge/health" in listener.topics(), "it is up")
                boiler.say(b"ignored\ntemperature=21.5 button=press other=on\n")
                await until(lambda: f"{BASE}/boiler/button" in listener.topics(), "it was read")
                question = {"transaction": "t1", "instance": "~", "established": False}
                ask = Message(
                    f"{BASE}/bridge/request/ping", json.dumps(question).encode(), QoS.AT_LEAST_ONCE
                )
                connection.publish(ask)
                for below, payload in ASKED.items():
                    topic = f"{BASE}/{below}"
                    connection.publish(Message(topic, payload, QoS.AT_LEAST_ONCE))
                async with httpx.AsyncClient(base_url=fieldgate.page_url) as http:
                    body = {"topic": "elsewhere", "payload": "1"}
                    assert (await http.post("/api/publish", json=body)).status_code == 202
                async with asyncio.timeout(DEADLINE_S):
                    await asyncio.gather(*(visit(fieldgate.page_url) for _ in range(60)))
                kinds = {said.name for branch in TOPIC_TREE for said in branch.said}
                await until(lambda: kinds <= listener.kinds(), "all of the tree is said")
    assert listener.kinds() == kinds


async def visit(page_url: str) -> None:
    """One of more sessions than are told one by one."""
    async with browsing(page_url):
        pass


def test_there_are_more_sessions_in_this_test_than_are_told_one_by_one() -> None:
    assert presence.MAX_EVENTS < 60

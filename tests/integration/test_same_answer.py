"""The web and MQTT give the same answer to who may do what: both asked, over their own ports."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from websockets.asyncio.client import ClientConnection, connect

from broker.access import Action, Users, parse_users
from broker.link import QoS
from broker.native.packet import Puback, Publish
from tests.broker.native.peer import Peer, Served, served
from tests.real_ends import DEADLINE_S
from tests.webui.serving import Web, serving

HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("right")
GROUPS = {"ada": ["admin"], "eve": ["staff", "hall"], "wall": ["hall"], "ha": []}
NOBODY = ""
LEVELS = ("a", "b", "ada", "wall", "$SYS")
QUESTIONS = 500


def random_filter(chance: random.Random, *more: str, many: float = 0.4) -> str:
    """A topic filter that ends in # as often as `many` says."""
    levels = [chance.choice([*LEVELS, "+", *more]) for _ in range(chance.randint(1, 3))]
    if chance.random() < many:
        levels[-1] = "#"
    return "/".join(levels)


def random_rule(chance: random.Random) -> dict[str, Any]:
    """One that denies is narrow, else it would leave nothing to ask for."""
    whose = [
        *({"user": name} for name in GROUPS),
        *({"group": name} for name in ("admin", "staff", "hall")),
        {"user": "*"},
    ]
    verb, many = chance.choice([("allow", 0.7), ("allow", 0.7), ("deny", 0.1)])
    actions = chance.sample([str(action) for action in Action], chance.randint(1, 2))
    filters = [random_filter(chance, "%u", many=many) for _ in range(chance.randint(1, 3))]
    return {**chance.choice(whose), verb: actions, "topics": filters}


def random_users_file(chance: random.Random) -> str:
    users = {name: {"password": HASH, "groups": groups} for name, groups in GROUPS.items()}
    rules = [random_rule(chance) for _ in range(20)]
    rules.insert(0, {"user": "*", "allow": ["subscribe"], "topics": ["a/b"]})  # lets nobody in
    return json.dumps({"users": users, "rules": rules})  # JSON is YAML


@asynccontextmanager
async def browser(web: Web, name: str) -> AsyncIterator[ClientConnection]:
    """A page whose user has logged in, or nobody's."""
    async with httpx.AsyncClient(base_url=web.url) as http:
        if name:
            login = await http.post("/api/login", json={"user": name, "password": "right"})
            assert login.status_code == 200
        cookies = "; ".join(f"{key}={value}" for key, value in http.cookies.items())
    url = web.url.replace("http", "ws") + "/api/ws"
    headers = {"Cookie": cookies} if cookies else {}
    async with connect(url, additional_headers=headers) as connection:
        yield connection


@asynccontextmanager
async def device(broker: Served, name: str) -> AsyncIterator[Peer]:
    login: dict[str, Any] = {"username": name, "password": b"right"} if name else {}
    async with broker.peer(f"client-{name}", **login) as peer:
        yield peer


async def web_lets(page: ClientConnection, action: Action, topic: str) -> bool:
    frame: dict[str, Any] = {"op": "subscribe", "filters": [topic], "since": "now"}
    if action is Action.PUBLISH:
        frame = {"op": "publish", "topic": topic}
    await page.send(json.dumps(frame))
    answer = json.loads(await asyncio.wait_for(page.recv(), DEADLINE_S))
    assert answer["op"] in ("published", "subscribed") or answer["code"] in (
        ("forbidden", "bad_topic") if topic.startswith("$") else ("forbidden",)
    )
    return bool(answer["op"] != "error")


async def mqtt_lets(peer: Peer, action: Action, topic: str) -> bool:
    if action is Action.SUBSCRIBE:
        answer = await peer.subscribe(topic, qos=QoS.AT_MOST_ONCE)
        return not answer.reasons[0].is_failure
    peer.send(Publish(topic, b"x", QoS.AT_LEAST_ONCE, packet_id=1))
    (puback,) = [each for each in await peer.settled() if isinstance(each, Puback)]
    return not puback.reason.is_failure


@pytest.mark.parametrize("seed", [4, 5, 6])
async def test_both_sides_answer_alike_whoever_asks_whatever(seed: int) -> None:
    chance = random.Random(seed)
    users = Users(parse_users(random_users_file(chance)))
    answers: Counter[tuple[Action, bool]] = Counter()
    try:
        async with served(users) as broker, serving(users=users) as web:
            for name in (*GROUPS, NOBODY):
                async with browser(web, name) as page, device(broker, name) as peer:
                    for _ in range(QUESTIONS // 5):
                        action = chance.choice(list(Action))
                        if action is Action.SUBSCRIBE:
                            topic = random_filter(chance)
                        else:
                            topic = "/".join(chance.choices(LEVELS, k=chance.randint(1, 3)))
                        on_the_web = await web_lets(page, action, topic)
                        over_mqtt = await mqtt_lets(peer, action, topic)
                        assert on_the_web == over_mqtt, (name, action, topic)
                        answers[action, on_the_web] += 1
    finally:
        users.close()
    assert answers.total() == QUESTIONS
    assert min(answers[action, let] for action in Action for let in (True, False)) >= 10, answers

"""Logins that fail: what their clients are told, and what is counted."""

from __future__ import annotations

from argon2 import PasswordHasher

from broker.access import Users, parse_users
from broker.attempts import MAX_WRONG_OF_NAME
from broker.native.packet import Connack, Connect, Version
from broker.native.reason import Reason
from tests.broker.native.peer import V5, V311, Served, served

HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("right")
USERS = f"""
users: {{ada: {{password: "{HASH}"}}}}
rules: [{{user: ada, allow: [publish, subscribe], topics: ["#"]}}]
"""


async def answer(broker: Served, password: bytes, version: Version = V5) -> Reason:
    async with broker.opened(version) as peer:
        peer.send(Connect(version, "one", username="ada", password=password))
        return (await peer.expect(Connack)).reason


async def test_after_some_wrong_passwords_none_is_looked_at_for_a_while() -> None:
    users = Users(parse_users(USERS))
    try:
        async with served(users) as broker:
            rights = broker.core.rights
            assert await answer(broker, b"right") is Reason.SUCCESS
            for _ in range(MAX_WRONG_OF_NAME):
                assert await answer(broker, b"wrong") is Reason.BAD_USER_NAME_OR_PASSWORD
            assert await answer(broker, b"right") is Reason.CONNECTION_RATE_EXCEEDED
            assert await answer(broker, b"right", V311) is Reason.SERVER_UNAVAILABLE
            assert (rights.wrong, rights.limited, rights.busy) == (MAX_WRONG_OF_NAME, 2, 0)
    finally:
        users.close()


async def test_where_no_password_can_be_checked_a_client_is_to_come_back() -> None:
    users = Users(parse_users(USERS))
    users.close()
    async with served(users) as broker:
        assert await answer(broker, b"right") is Reason.SERVER_BUSY
        assert await answer(broker, b"right", V311) is Reason.SERVER_UNAVAILABLE
        assert (broker.core.rights.wrong, broker.core.rights.busy) == (0, 2)

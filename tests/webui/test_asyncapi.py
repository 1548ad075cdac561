from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

import httpx
import jsonschema_rs
import pytest

from broker.link import Message
from tests.program import ROOT
from tests.webui.serving import serving
from webui.asyncapi import asyncapi_document
from webui.topic_tree import TOPIC_TREE
from webui.wire import (
    ClientFrame,
    Gap,
    Messages,
    ServerFrame,
    decode_frame,
    encode_frame,
    encode_message,
    frame_of_messages,
)

PUBLISHED_SCHEMA = ROOT / "webui/ui/node_modules/@asyncapi/specs/schemas/3.0.0.json"
"""The specification's own JSON Schema, from its npm package, which `make test` installs."""

DOCUMENT = asyncapi_document(version="1.2.3", base_topic="plant/gate", host="127.0.0.1:8088")


@pytest.fixture(scope="module")
def specification() -> jsonschema_rs.Validator:
    if not PUBLISHED_SCHEMA.exists():
        pytest.skip("the page's packages are not installed: `make test` does it")
    return jsonschema_rs.validator_for(json.loads(PUBLISHED_SCHEMA.read_text(encoding="utf-8")))


def payload_schema(name: str) -> jsonschema_rs.Validator:
    """The schema of a message's payload, with all that it refers to."""
    message = DOCUMENT["components"]["messages"][name]
    return jsonschema_rs.validator_for({**message["payload"], "components": DOCUMENT["components"]})


def test_the_document_fits_the_schema_of_the_specification(
    specification: jsonschema_rs.Validator,
) -> None:
    assert [error.message for error in specification.iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize(
    "broken",
    [
        {"asyncapi": "1.0"},
        {"info": {"title": "no version"}},
        {"servers": {"web": {"protocol": "ws"}}},
        {"operations": {"subscribe": {"action": "listen"}}},
    ],
    ids=str,
)
def test_the_schema_of_the_specification_finds_what_is_wrong(
    specification: jsonschema_rs.Validator, broken: Mapping[str, object]
) -> None:
    assert not specification.is_valid({**DOCUMENT, **broken})


def test_every_frame_is_a_message_of_the_session() -> None:
    frames = {*get_args(ClientFrame), *get_args(ServerFrame)}
    names = {frame.__struct_config__.tag for frame in frames}
    assert DOCUMENT["channels"]["session"]["messages"].keys() == names
    for name in names:
        assert DOCUMENT["components"]["messages"][name]["summary"], name


def test_every_client_frame_has_its_answer_and_every_server_frame_its_operation() -> None:
    operations = DOCUMENT["operations"]
    used: set[str] = set()
    for frame in get_args(ClientFrame):
        operation = operations[frame.__struct_config__.tag]
        assert operation["action"] == "receive"
        answers = [each["$ref"].rpartition("/")[2] for each in operation["reply"]["messages"]]
        assert answers[1:] == ["error"]
        used.update(answers)
    used.update(each["$ref"].rpartition("/")[2] for each in operations["deliver"]["messages"])
    assert used == {frame.__struct_config__.tag for frame in get_args(ServerFrame)}


def test_every_kind_of_message_on_a_topic_has_its_channel_and_its_operation() -> None:
    channels = DOCUMENT["channels"]
    addresses = {channel["address"]: name for name, channel in channels.items()}
    assert addresses.keys() == {
        "/api/ws", *(branch.address("plant/gate") for branch in TOPIC_TREE)
    }  # fmt: skip
    for branch in TOPIC_TREE:
        name = addresses[branch.address("plant/gate")]
        assert channels[name]["messages"].keys() == {said.name for said in branch.said}
        levels = set(channels[name].get("parameters", {}))
        assert levels == {level.strip("{}") for level in branch.topic.split("/") if "{" in level}
    assert {"plant/gate/{device}/set", "homeassistant/device/{id}/config"} <= addresses.keys()
    names = [said.name for branch in TOPIC_TREE for said in branch.said]
    assert len(set(names)) == len(names)
    sent = {
        operation["messages"][0]["$ref"].rpartition("/")[2]
        for name, operation in DOCUMENT["operations"].items()
        if operation["channel"]["$ref"] != "#/channels/session"
    }
    assert sent == set(names)


def test_every_reference_leads_somewhere() -> None:
    def check(value: object) -> None:
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                found: Any = DOCUMENT
                for part in reference.removeprefix("#/").split("/"):
                    assert part in found, reference
                    found = found[part]
            for each in value.values():
                check(each)
        elif isinstance(value, list):
            for each in value:
                check(each)

    check(DOCUMENT)


# --- the schemas, held to what is really said


def test_frames_as_they_are_sent_fit_their_schemas() -> None:
    entry = encode_message(Message("a", b"\xff", retain=True), time_ms=1, seq=2, gone=False)
    messages = frame_of_messages(3)([entry], True)
    assert isinstance(messages, bytes)
    payload_schema("messages").validate(json.loads(messages))
    gap = Gap(1, None, ["a"], reset=True, reason="restart")
    payload_schema("gap").validate(json.loads(encode_frame(gap)))
    assert not payload_schema("messages").is_valid(json.loads(encode_frame(gap)))


@pytest.mark.parametrize(
    "frame",
    [
        {"op": "subscribe", "filters": ["a/#", "+/b"]},
        {"op": "subscribe", "id": 1, "filters": ["#"], "mode": "latest", "max_rate_hz": 5},
        {"op": "subscribe", "filters": ["a"], "since": "k3v9-1201"},
        {"op": "unsubscribe", "id": 1},
        {"op": "publish", "topic": "a/b", "payload": "1", "qos": 2, "retain": True},
        {"op": "ping"},
    ],
    ids=str,
)
def test_a_frame_that_is_understood_fits_its_schema(frame: dict[str, Any]) -> None:
    decode_frame(json.dumps(frame))
    payload_schema(frame["op"]).validate(frame)


@pytest.mark.parametrize(
    "frame",
    [
        {"op": "subscribe"},
        {"op": "subscribe", "filters": []},
        {"op": "subscribe", "filters": ["a/#/b"]},
        {"op": "subscribe", "filters": ["a"], "max_rate_hz": 0},
        {"op": "subscribe", "filters": ["a"], "since": "nonsense"},
        {"op": "publish", "topic": "a/#"},
        {"op": "publish", "topic": "$SYS/a"},
        {"op": "publish", "topic": "a", "qos": 3},
        {"op": "ping", "id": -1},
    ],
    ids=str,
)
def test_a_frame_that_is_refused_does_not_fit(frame: dict[str, Any]) -> None:
    assert not payload_schema(frame["op"]).is_valid(frame)


def test_messages_written_by_hand_are_what_the_struct_says() -> None:
    entry = encode_message(Message("a", b"1"), time_ms=1, seq=2, gone=False)
    frame = frame_of_messages(3)([entry, entry], False)
    assert isinstance(frame, bytes)
    decoded = json.loads(frame)
    assert decoded.keys() - {"op"} == {*Messages.__struct_fields__}


@pytest.mark.parametrize("base_path", ["", "/gate"])
async def test_it_is_served_as_it_is_generated(base_path: str) -> None:
    async with serving(base_path=base_path) as web, httpx.AsyncClient(base_url=web.url) as http:
        web.state.version = "1.2.3"
        response = await http.get(f"{base_path}/asyncapi.json")
    assert response.json() == asyncapi_document(
        version="1.2.3",
        base_topic="fieldgate",
        host=web.url.removeprefix("http://"),
        base_path=base_path,
    )

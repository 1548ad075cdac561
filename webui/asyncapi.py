"""`/asyncapi.json`: the AsyncAPI 3 document of the WebSocket's frames and of the topic tree."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from webui.json_schema import Json, schemas_of
from webui.topic_tree import TOPIC_TREE, Branch
from webui.wire import (
    ClientFrame,
    ErrorFrame,
    Gap,
    Messages,
    Ping,
    Pong,
    Publish,
    Published,
    ServerFrame,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
)

_ABOUT = """\
Live values over a WebSocket, as JSON text frames, and the MQTT topic tree that they come from. The
HTTP API is in `/openapi.json`.

After `subscribed` come a `gap` if there is any, the last values by ascending seq, and then what is
live. A client that was cut subscribes again with `since` = `<epoch>-<seq>` of the last message that
it has seen.
"""

_ANSWERS = {
    Subscribe: Subscribed,
    Unsubscribe: Unsubscribed,
    Publish: Published,
    Ping: Pong,
}
_LEVELS = {
    "device": "The device's name in the config.",
    "point": "One of its points.",
    "id": "The base topic and the device's id, joined by `_`.",
    "node": "The web server's name among several.",
}


def asyncapi_document(*, version: str, base_topic: str, host: str, base_path: str = "") -> Json:
    """The document of a web server that is reached at `host`, below `base_path`."""
    frames = [*get_args(ClientFrame), *get_args(ServerFrame)]
    said = [each for branch in TOPIC_TREE for each in branch.said]
    structs = [each.payload for each in said if isinstance(each.payload, type)]
    schemas = schemas_of([*frames, *structs], "#/components/schemas/{name}").components
    plain = [each.payload for each in said if isinstance(each.payload, dict)]
    schemas |= {schema["title"]: schema for schema in plain}
    messages = {_op(frame): _message(_op(frame), frame) for frame in frames}
    messages |= {each.name: _message(each.name, each.payload, each.media_type) for each in said}
    channels = {"session": _channel("/api/ws", "A session.", "web", map(_op, frames))}
    for branch in TOPIC_TREE:
        channels[_id(branch)] = _topic_channel(branch, base_topic)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Fieldgate", "version": version, "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": {
            "web": {"host": host, "pathname": base_path or "/", "protocol": "ws"},
            "broker": {
                "host": "{host}",
                "protocol": "mqtt",
                "description": "The broker inside, or the one that the config names.",
                "variables": {"host": {"default": "127.0.0.1:1883"}},
            },
        },
        "channels": channels,
        "operations": {**_session_operations(), **_topic_operations()},
        "components": {"messages": messages, "schemas": schemas},
    }


def _session_operations() -> Mapping[str, Json]:
    asked = {
        _op(frame): {
            "action": "receive",
            "channel": _ref("channels", "session"),
            "summary": _doc(frame),
            "messages": [_in_channel("session", _op(frame))],
            "reply": {
                "channel": _ref("channels", "session"),
                "messages": [_in_channel("session", _op(each)) for each in (answer, ErrorFrame)],
            },
        }
        for frame, answer in _ANSWERS.items()
    }
    delivered = {
        "action": "send",
        "channel": _ref("channels", "session"),
        "summary": "What a subscription brings.",
        "messages": [_in_channel("session", _op(each)) for each in (Messages, Gap)],
    }
    return {**asked, "deliver": delivered}


def _topic_operations() -> Mapping[str, Json]:
    """One for each kind of message, since QoS and retain go with the operation."""
    return {
        f"{said.action}{said.name[:1].upper()}{said.name[1:]}": {
            "action": said.action,
            "channel": _ref("channels", _id(branch)),
            "summary": branch.about,
            "messages": [_in_channel(_id(branch), said.name)],
            "bindings": {"mqtt": {"qos": int(said.qos), "retain": said.retain}},
        }
        for branch in TOPIC_TREE
        for said in branch.said
    }


def _topic_channel(branch: Branch, base_topic: str) -> Json:
    levels = re.findall(r"\{(\w+)\}", branch.topic)
    names = (said.name for said in branch.said)
    channel = _channel(branch.address(base_topic), branch.about, "broker", names)
    if levels:
        channel["parameters"] = {level: {"description": _LEVELS[level]} for level in levels}
    return channel


def _channel(address: str, about: str, server: str, messages: Iterable[str]) -> Json:
    return {
        "address": address,
        "description": about,
        "servers": [_ref("servers", server)],
        "messages": {name: _ref("components/messages", name) for name in messages},
    }


def _message(name: str, payload: Any, media_type: str = "application/json") -> Json:
    if isinstance(payload, dict):
        title, about = payload["title"], payload["description"]
    else:
        title, about = payload.__name__, _doc(payload)
    return {
        "name": name,
        "summary": about,
        "contentType": media_type,
        "payload": _ref("components/schemas", title),
    }


def _id(branch: Branch) -> str:
    """A channel's name: that of the first message on it."""
    return branch.said[0].name


def _op(frame: Any) -> str:
    tag = frame.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def _doc(documented: object) -> str:
    return inspect.cleandoc(documented.__doc__ or "")


def _ref(place: str, name: str) -> Json:
    return {"$ref": f"#/{place}/{name}"}


def _in_channel(channel: str, message: str) -> Json:
    return _ref(f"channels/{channel}/messages", message)

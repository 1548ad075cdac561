"""The MQTT topic tree as a table: what Fieldgate says on which topics, for `/asyncapi.json`.

The gateway publishes most of it, and can't be asked from here. So this table is held to what the
running program really says: a topic or a key that stands here and not there is a failing test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from broker.link import QoS
from webui.audit import WebPublish
from webui.json_schema import Json
from webui.presence import Presence, SessionEvent, SessionsEvent

Payload: TypeAlias = type[msgspec.Struct] | Json
"""A payload of JSON: one of our structs, or a JSON Schema where no struct can say it."""


class State(msgspec.Struct):
    """Whether whoever this is about can be reached."""

    state: Literal["online", "offline"]


class Gateway(msgspec.Struct):
    """Which gateway this is; `instance` is another one at each start."""

    name: str
    version: str
    instance: str


class DeviceEntry(msgspec.Struct):
    """A device and what is known of its points, listed or seen: unit, device_class, name."""

    name: str
    id: str = ""
    reader: str = ""
    points: dict[str, dict[str, Any]] = {}


class DeviceList(msgspec.Struct):
    """What the gateway announces of its devices, below the base topic `base`."""

    base: str
    devices: list[DeviceEntry]


Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""More can't be counted one by one, nor said in every JSON."""


class ReaderHealth(msgspec.Struct):
    """How a device's reader is, and what it has counted; `reason` says why it is offline."""

    state: Literal["online", "offline"]
    reason: str = ""
    opened: Count = 0
    measurements: Count = 0
    rejected: dict[str, Count] = {}
    dropped: dict[str, Count] = {}


class Latency(msgspec.Struct):
    """A histogram: upper bound in seconds → how many took no longer, and the `sum` of all."""

    buckets: dict[str, Count]
    sum: float


class Health(msgspec.Struct):
    """How all readers are, at `time` (ISO 8601, UTC), and how long values took to be published."""

    devices: dict[str, ReaderHealth]
    time: str = ""
    read_to_publish: Latency | None = None


class Question(msgspec.Struct):
    """Is anybody there on this base topic?"""

    transaction: str
    instance: str
    established: bool


class Answer(msgspec.Struct):
    """Somebody is."""

    transaction: str | None
    status: Literal["ok"]
    instance: str
    error: None


class PointEvent(msgspec.Struct):
    """A point whose type is event: something happened, and is over."""

    event_type: str
    time: str


class Receipt(msgspec.Struct):
    """What became of a command, a receipt for each stage; `error` says why not."""

    transaction: str
    point: str
    stage: Literal["accepted", "written", "confirmed", "timeout", "refused"]
    value: Any
    time: str
    error: str = ""


class AnnounceRequest(msgspec.Struct):
    """Yes to a device that waits to be announced to Home Assistant; without one, who waits?"""

    device: str = ""
    transaction: str | int | None = None


class AnnounceResponse(msgspec.Struct):
    """Whether that was done, and which devices still wait."""

    status: Literal["ok", "error"]
    transaction: str | int | None = None
    waiting: list[str] = []
    error: str = ""


class HomeAssistantDevice(msgspec.Struct):
    """A device and all its entities, as Home Assistant's device-based discovery has it."""

    device: dict[str, Any]
    origin: dict[str, Any]
    availability: list[dict[str, Any]]
    availability_mode: Literal["all"]
    components: dict[str, dict[str, Any]]


DEVICE_COMMAND: Json = {
    "title": "DeviceCommand",
    "description": "Wished values by point, and a `transaction` that the receipts name.",
    "type": "object",
    "properties": {"transaction": {"type": ["string", "integer"], "maxLength": 128}},
    "minProperties": 1,
    "additionalProperties": {"type": ["number", "string", "boolean"]},
}
ANYTHING: Json = {
    "title": "Anything",
    "description": "Whatever it is, it is not looked at.",
    "type": "string",
}
WISHED_VALUE: Json = {
    "title": "WishedValue",
    "description": "The value alone, as in `21.5`, `true` or `open`.",
    "type": "string",
    "maxLength": 16_384,
}
DEVICE_STATE: Json = {
    "title": "DeviceState",
    "description": "All points of a device, null where one has no value; `stale` names the silent.",
    "type": "object",
    "properties": {
        "time": {"type": "string", "format": "date-time"},
        "stale": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["time"],
    "additionalProperties": {"type": ["number", "string", "boolean", "null"]},
}
MARK: Json = {
    "title": "Mark",
    "description": "Another one each time the link comes up.",
    "type": "string",
    "pattern": "^[0-9a-f]{16}$",
}
BARE_VALUE: Json = {
    "title": "BareValue",
    "description": "The value alone, as in `21.5`, `true` or `open`.",
    "type": "string",
    "minLength": 1,
}


@dataclass(frozen=True, slots=True)
class Said:
    """One kind of message on a topic."""

    name: str
    payload: Payload
    qos: QoS = QoS.AT_LEAST_ONCE
    retain: bool = True
    media_type: str = "application/json"
    action: Literal["send", "receive"] = "send"


@dataclass(frozen=True, slots=True)
class Branch:
    """One topic below the base topic, or many: `{…}` stands for any level."""

    topic: str
    about: str
    said: tuple[Said, ...]
    is_below_base: bool = True

    def address(self, base_topic: str) -> str:
        """The whole topic."""
        return f"{base_topic}/{self.topic}" if self.is_below_base else self.topic


def _received_text(name: str, payload: Payload) -> Said:
    return Said(name, payload, retain=False, media_type="text/plain", action="receive")


TOPIC_TREE = (
    Branch("bridge/state", "Whether the readers run.", (Said("bridgeState", State),)),
    Branch("bridge/info", "Which gateway this is.", (Said("bridgeInfo", Gateway),)),
    Branch("bridge/devices", "Which devices there are.", (Said("bridgeDevices", DeviceList),)),
    Branch("bridge/health", "How the readers are.", (Said("bridgeHealth", Health),)),
    Branch(
        "bridge/event",
        "What has just happened, for those who listen at that moment.",
        (
            Said("sessionEvent", SessionEvent, QoS.AT_MOST_ONCE, retain=False),
            Said("sessionsEvent", SessionsEvent, QoS.AT_MOST_ONCE, retain=False),
            Said("webPublish", WebPublish, QoS.AT_MOST_ONCE, retain=False),
        ),
    ),
    Branch(
        "bridge/request/ping",
        "A gateway asks whether there is another one on this base topic.",
        (Said("pingRequest", Question, retain=False),),
    ),
    Branch(
        "bridge/response/ping",
        "The gateway that is there answers.",
        (Said("pingResponse", Answer, retain=False),),
    ),
    Branch(
        "bridge/request/announce",
        "Somebody says yes to a device that waits to be announced to Home Assistant.",
        (Said("announceRequest", AnnounceRequest, retain=False, action="receive"),),
    ),
    Branch(
        "bridge/response/announce",
        "What came of it.",
        (Said("announceResponse", AnnounceResponse, retain=False),),
    ),
    Branch("bridge/web/{node}", "Who watches.", (Said("presence", Presence),)),
    Branch(
        "bridge/web/{node}/sync",
        "A web server's own mark behind the retained messages that it is given.",
        (Said("webMark", MARK, QoS.AT_MOST_ONCE, retain=False, media_type="text/plain"),),
    ),
    Branch("{device}", "The state of a device.", (Said("deviceState", DEVICE_STATE),)),
    Branch(
        "{device}/availability",
        "Whether a device can be reached.",
        (Said("deviceAvailability", State),),
    ),
    Branch(
        "{device}/{point}",
        "One point of a device.",
        (
            Said("pointValue", BARE_VALUE, QoS.AT_MOST_ONCE, media_type="text/plain"),
            Said("pointEvent", PointEvent, retain=False),
        ),
    ),
    Branch(
        "{device}/set",
        "What somebody wishes of a device.",
        (Said("deviceCommand", DEVICE_COMMAND, retain=False, action="receive"),),
    ),
    Branch(
        "{device}/set/{point}",
        "What somebody wishes of a point.",
        (_received_text("pointCommand", WISHED_VALUE),),
    ),
    Branch(
        "{device}/get",
        "Somebody wants all of a device published anew.",
        (_received_text("deviceRequest", ANYTHING),),
    ),
    Branch(
        "{device}/result",
        "What becomes of a command.",
        (Said("commandReceipt", Receipt, retain=False),),
    ),
    Branch(
        "homeassistant/device/{id}/config",
        "What Home Assistant is told, where `home_assistant.discovery_prefix` says no other place.",
        (Said("homeAssistantDevice", HomeAssistantDevice),),
        is_below_base=False,
    ),
)

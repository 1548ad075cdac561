"""Our wire: the JSON that goes to and comes from browsers, over WebSocket, SSE and HTTP.

A message is encoded once, when it arrives; everything after that is a join of bytes.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from broker.errors import TopicError
from broker.link import Message, QoS
from broker.topics import check_filter, check_name
from webui.errors import FRAME_CODES, RefusedError

MAX_FILTERS = 32
"""Filters in one subscription."""

MAX_FILTER_BYTES = 8 * 1024
"""All filters of a subscription together: to compile a matcher takes 2 µs a byte."""

MAX_SUBSCRIPTIONS = 32
"""Subscriptions in one session."""

MAX_FRAME_BYTES = 256 * 1024
"""What a frame of messages holds at most, or one message: uvicorn copies it per session."""

FRAMING_BYTES = 64
"""What stands around a message, at most: a comma and the mark of a last value, or the SSE lines."""

MAX_REQUEST_BYTES = 1024 * 1024
"""The largest frame or body that a client may send."""

Mode = Literal["all", "latest"]
FrameId = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
RateHz = Annotated[float, msgspec.Meta(gt=0, le=1000)]
QoSLevel = Literal[0, 1, 2]
# How topics must look is checked by `broker.topics`; these tell it to those who read the schema.
TopicName = Annotated[
    str, msgspec.Meta(extra_json_schema={"minLength": 1, "pattern": r"^(?!\$)[^+#\u0000]+$"})
]
TopicFilter = Annotated[
    str,
    msgspec.Meta(
        extra_json_schema={
            "minLength": 1,
            "pattern": r"^(#|(\+|[^+#/\u0000]*)(/(\+|[^+#/\u0000]*))*(/#)?)$",
        }
    ),
]
TopicFilters = Annotated[
    list[TopicFilter],
    msgspec.Meta(extra_json_schema={"minItems": 1, "maxItems": MAX_FILTERS}),
]
Since = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": "^(now|[^-]+-[0-9]{1,16})$"})]
GapReason = Literal["slow", "resume", "restart", "link"]


class Subscribe(msgspec.Struct, tag_field="op", tag="subscribe", frozen=True):
    """Watch what these filters match; the same `id` again replaces a subscription."""

    filters: TopicFilters
    id: FrameId = 0
    mode: Mode = "all"
    max_rate_hz: RateHz | None = None
    since: Since | None = None


class Unsubscribe(msgspec.Struct, tag_field="op", tag="unsubscribe", frozen=True):
    """Watch it no more."""

    id: FrameId = 0


class Publication(msgspec.Struct, frozen=True):
    """The keys of a publish frame, which are those of `POST /api/publish` too."""

    topic: TopicName
    payload: str = ""
    base64: bool = False
    qos: QoSLevel = 0
    retain: bool = False


class Publish(Publication, tag_field="op", tag="publish", frozen=True):
    """Publish a message to the broker."""

    id: FrameId = 0


class Ping(msgspec.Struct, tag_field="op", tag="ping", frozen=True):
    """Ask whether the other side is there."""

    id: FrameId = 0


ClientFrame = Subscribe | Unsubscribe | Publish | Ping


class _Head(msgspec.Struct):
    op: str
    id: FrameId = 0


class WireMessage(msgspec.Struct, omit_defaults=True):
    """One message as browsers see it; `time` is ms since 1970, UTC."""

    topic: str
    payload: str
    time: int
    seq: int
    retain: bool = False
    base64: bool = False
    gone: bool = False
    last: bool = False


class Subscribed(msgspec.Struct, tag_field="op", tag="subscribed", omit_defaults=True):
    """The subscription is there; `recovered` says whether `since` lost nothing, `truncated` that
    some last values are not kept."""

    id: int
    epoch: str
    seq: int
    recovered: bool | None = None
    truncated: bool = False


class Messages(msgspec.Struct, tag_field="op", tag="messages"):
    """What `frame_of_messages` writes: messages of one subscription, ascending by seq."""

    id: int
    messages: list[WireMessage]


class Gap(msgspec.Struct, tag_field="op", tag="gap", frozen=True):
    """What a subscription will never see: `missed` messages, None where nobody knows how many."""

    id: int
    missed: int | None
    topics: list[str]
    reset: bool
    reason: GapReason


class Unsubscribed(msgspec.Struct, tag_field="op", tag="unsubscribed"):
    """Nothing more comes of this subscription."""

    id: int


class Published(msgspec.Struct, tag_field="op", tag="published"):
    """The message is on its way to the broker."""

    id: int


class Pong(msgspec.Struct, tag_field="op", tag="pong"):
    """It is."""

    id: int


class ErrorFrame(msgspec.Struct, tag_field="op", tag="error"):
    """The frame with this `id` was not done: `code` for programs, `message` for people."""

    id: int
    code: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(FRAME_CODES)})]
    message: str


ServerFrame = Subscribed | Messages | Gap | Unsubscribed | Published | Pong | ErrorFrame

_encode = msgspec.json.Encoder().encode
_decode_frame = msgspec.json.Decoder(ClientFrame).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_publication = msgspec.json.Decoder(Publication).decode
_decode_message = msgspec.json.Decoder(WireMessage).decode

_OPS = ("subscribe", "unsubscribe", "publish", "ping")


def encode_frame(frame: ServerFrame) -> bytes:
    """A frame that is not shared: acknowledgements, gaps, errors."""
    return _encode(frame)


def encode_json(value: object) -> bytes:
    """Any other JSON that we answer with."""
    return _encode(value)


@dataclass(frozen=True, slots=True)
class Entry:
    """One message in the log; `body` is its only encoding, which every session shares."""

    seq: int
    topic: str
    body: bytes
    retain: bool
    gone: bool


def encode_message(message: Message, *, time_ms: int, seq: int, gone: bool) -> Entry:
    """Encode a message, once and for all."""
    payload, is_base64 = _text(message.payload)
    retain = message.retain
    body = _encode(WireMessage(message.topic, payload, time_ms, seq, retain, is_base64, gone))
    return Entry(seq, message.topic, body, retain, gone)


def payload_of(entry: Entry) -> bytes:
    """The payload that an encoded message carries."""
    message = _decode_message(entry.body)
    return base64.b64decode(message.payload) if message.base64 else message.payload.encode()


def time_of(entry: Entry) -> int:
    """When a message came: ms since 1970, UTC."""
    return _decode_message(entry.body).time


def body_of(entry: Entry, is_last: bool) -> bytes:
    """The encoded message, marked if it goes out as a last value."""
    if is_last and not entry.gone:
        return entry.body[:-1] + b',"last":true}'
    return entry.body


def decode_frame(text: str) -> ClientFrame:
    """A client's frame; raises RefusedError with bad_frame or unknown_op."""
    try:
        frame: ClientFrame = _decode_frame(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        reason = _shortened(str(error))
    else:
        return frame
    try:
        head = _decode_head(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise RefusedError(
            "bad_frame", f"not a JSON object with an op, one of {', '.join(_OPS)}: {reason}"
        ) from None
    if head.op not in _OPS:
        shown = ascii(head.op[:40])
        raise RefusedError("unknown_op", f"unknown op {shown}; known: {', '.join(_OPS)}", head.id)
    raise RefusedError("bad_frame", f"{head.op}: {reason}", head.id)


def decode_publication(body: bytes) -> Publication:
    """The body of `POST /api/publish`; raises RefusedError."""
    try:
        return _decode_publication(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        reason = _shortened(str(error))
        raise RefusedError("bad_request", f"the body is no publish object: {reason}") from None


def to_message(publication: Publication, frame_id: int = 0) -> Message:
    """What a publication means in MQTT; raises RefusedError for a bad topic or payload."""
    try:
        topic = check_name(publication.topic)
    except TopicError as error:
        raise RefusedError("bad_topic", str(error), frame_id) from None
    if topic.startswith("$"):
        raise RefusedError("bad_topic", "topics that begin with $ are the broker's own", frame_id)
    if publication.base64:
        try:
            payload = base64.b64decode(publication.payload, validate=True)
        except ValueError:
            raise RefusedError("bad_frame", "the payload is no base64", frame_id) from None
    else:
        try:
            payload = publication.payload.encode()
        except UnicodeEncodeError:
            raise RefusedError(
                "bad_frame", "the payload holds a surrogate, which is no UTF-8", frame_id
            ) from None
    return Message(topic, payload, QoS(publication.qos), publication.retain)


def check_filters(filters: Sequence[str], frame_id: int = 0) -> tuple[str, ...]:
    """The filters of a subscription, sorted and each once; raises RefusedError."""
    if not filters:
        raise RefusedError(
            "bad_filter", 'a subscription needs a filter, as in ["fieldgate/#"]', frame_id
        )
    if len(filters) > MAX_FILTERS:
        raise RefusedError("too_many", f"{len(filters)} filters: {MAX_FILTERS} at most", frame_id)
    try:
        checked = tuple(sorted({check_filter(topic_filter) for topic_filter in filters}))
    except TopicError as error:
        raise RefusedError("bad_filter", str(error), frame_id) from None
    size = sum(len(topic_filter.encode()) for topic_filter in checked)
    if size > MAX_FILTER_BYTES:
        raise RefusedError(
            "too_large", f"filters of {size} bytes: {MAX_FILTER_BYTES} at most", frame_id
        )
    return checked


Render = Callable[[Sequence[Entry], bool], bytes]
"""Makes one frame of entries; True if they are last values. The same object for all who share."""


@functools.lru_cache(maxsize=1024)
def frame_of_messages(frame_id: int) -> Render:
    """The `messages` frames of the WebSocket subscriptions with this id."""
    head = f'{{"op":"messages","id":{frame_id},"messages":['.encode()

    def render(entries: Sequence[Entry], is_last: bool) -> bytes:
        return b"%b%b]}" % (head, b",".join([body_of(entry, is_last) for entry in entries]))

    return render


@functools.lru_cache(maxsize=16)
def events_of_messages(epoch: str) -> Render:
    """The SSE events of one epoch, each with its own id to resume from."""

    def render(entries: Sequence[Entry], is_last: bool) -> bytes:
        return b"".join(
            [
                b"id: %b-%d\ndata: %b\n\n" % (epoch.encode(), entry.seq, body_of(entry, is_last))
                for entry in entries
            ]
        )

    return render


def _shortened(reason: str) -> str:
    """An error's text, of which a client's own value is often the larger part."""
    return reason if len(reason) <= 300 else f"{reason[:200]} … {reason[-90:]}"


def _text(payload: bytes) -> tuple[str, bool]:
    try:
        return payload.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(payload).decode(), True

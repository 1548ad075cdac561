from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.link import Message, QoS
from webui.errors import RefusedError
from webui.wire import (
    MAX_FILTER_BYTES,
    MAX_FILTERS,
    ErrorFrame,
    Gap,
    Ping,
    Publication,
    Publish,
    Subscribe,
    Subscribed,
    Unsubscribe,
    body_of,
    check_filters,
    decode_frame,
    decode_publication,
    encode_frame,
    encode_message,
    events_of_messages,
    frame_of_messages,
    payload_of,
    to_message,
)

P = ParamSpec("P")
T = TypeVar("T")

FRAMES = (Subscribe, Unsubscribe, Publish, Ping)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["subscribe", "unsubscribe", "publish", "ping", "all", "latest", "now"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
frame_shapes = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["subscribe", "unsubscribe", "publish", "ping", "nonsense"]) | values,
        "id": st.integers(-1, 3) | values,
        "filters": st.lists(st.text(max_size=4) | values, max_size=3) | values,
        "mode": st.sampled_from(["all", "latest"]) | values,
        "max_rate_hz": st.floats() | values,
        "since": values,
        "topic": st.text(max_size=4) | values,
        "payload": values,
        "base64": st.booleans() | values,
        "qos": st.integers(0, 2) | values,
        "retain": values,
    },
)


def outcome(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | RefusedError:
    try:
        return function(*args, **kwargs)
    except RefusedError as refusal:
        return refusal


def decoded_or_refused(text: str) -> object:
    frame = outcome(decode_frame, text)
    if isinstance(frame, RefusedError):
        assert frame.code in ("bad_frame", "unknown_op")
        json.loads(encode_frame(ErrorFrame(frame.frame_id, frame.code, frame.message)))
    else:
        assert isinstance(frame, FRAMES)
    return frame


@given(st.text(st.characters()))
@example("[" * 100_000)
@example('{"a":' * 100_000)
@example('{"op":"ping","id":' + "[" * 100_000)
@example('{"op":"ping","id":' + "9" * 5000 + "}")
@example('{"op":"ping","id":1e400}')
@example('{"op":"ping","id":NaN}')
@example('{"op":"\\ud800"}')
@example('{"op":"ping","id":0,"\\udfff":1}')
@example('{"op":"publish","topic":"a","payload":"\ud800"}')
@example('{"op":"publish","topic":"a","payload":"\\ud800"}')
@example('{"op":"subscribe","filters":["\\ud800"],"mode":"\\udc00"}')
@example("\ud800")
@example("")
@example("\0")
@example("null")
def test_any_text_is_a_frame_or_refused(text: str) -> None:
    decoded_or_refused(text)


@given(frame_shapes)
def test_anything_shaped_like_a_frame_is_a_frame_or_refused(shape: dict[str, Any]) -> None:
    frame = decoded_or_refused(json.dumps(shape))
    if isinstance(frame, Publish):
        message = outcome(to_message, frame, frame.id)
        if isinstance(message, RefusedError):
            assert message.code in ("bad_topic", "bad_frame")
            assert message.frame_id == frame.id
        else:
            assert message.topic == frame.topic
    if isinstance(frame, Subscribe):
        filters = outcome(check_filters, frame.filters, frame.id)
        if isinstance(filters, RefusedError):
            assert filters.code in ("bad_filter", "too_many")
        else:
            assert set(filters) == set(frame.filters)


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ('{"op":"subscribe","filters":["a/#"]}', Subscribe(["a/#"])),
        (
            '{"op":"subscribe","id":1,"filters":["a"],"mode":"latest","max_rate_hz":5,"since":"k-1"}',
            Subscribe(["a"], 1, "latest", 5.0, "k-1"),
        ),
        ('{"id":3,"op":"unsubscribe"}', Unsubscribe(3)),
        ('{"op":"ping"}', Ping()),
        ('{"op":"ping","unknown":[1]}', Ping()),
        (
            '{"op":"publish","id":2,"topic":"a","payload":"é","qos":1,"retain":true}',
            Publish(topic="a", payload="é", qos=1, retain=True, id=2),
        ),
    ],
)
def test_a_frame_is_read_with_its_defaults(text: str, frame: object) -> None:
    assert decode_frame(text) == frame


@pytest.mark.parametrize(
    ("text", "code", "frame_id", "says"),
    [
        ("hello", "bad_frame", 0, "not a JSON object with an op"),
        ("[]", "bad_frame", 0, "not a JSON object with an op"),
        ("{}", "bad_frame", 0, "op"),
        ('{"op":"dance","id":4}', "unknown_op", 4, "unknown op 'dance'"),
        ('{"op":"subscribe","id":5}', "bad_frame", 5, "filters"),
        ('{"op":"subscribe","id":5,"filters":"a"}', "bad_frame", 5, "filters"),
        ('{"op":"subscribe","id":5,"filters":["a"],"mode":"some"}', "bad_frame", 5, "mode"),
        ('{"op":"subscribe","id":5,"filters":["a"],"max_rate_hz":0}', "bad_frame", 5, "rate"),
        ('{"op":"publish","id":6,"topic":"a","qos":3}', "bad_frame", 6, "qos"),
        ('{"op":"ping","id":-1}', "bad_frame", 0, "id"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_for_which_frame(
    text: str, code: str, frame_id: int, says: str
) -> None:
    with pytest.raises(RefusedError, match=says) as refusal:
        decode_frame(text)
    assert (refusal.value.code, refusal.value.frame_id) == (code, frame_id)


def test_a_refusal_is_short_however_long_the_frame_is() -> None:
    for text in (
        '{"op":"' + "x" * 100_000 + '"}',
        '{"op":"subscribe","filters":["a"],"mode":"' + "x" * 100_000 + '"}',
    ):
        with pytest.raises(RefusedError) as refusal:
            decode_frame(text)
        assert len(refusal.value.message) < 500


@given(
    topic=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    payload=st.binary() | st.text().map(str.encode),
    retain=st.booleans(),
    gone=st.booleans(),
    time_ms=st.integers(0, 2**52),
    seq=st.integers(1, 2**52),
)
@example(topic="a", payload=b"\xff\x00", retain=False, gone=False, time_ms=0, seq=1)
def test_a_message_is_read_back_as_it_was(
    topic: str, payload: bytes, retain: bool, gone: bool, time_ms: int, seq: int
) -> None:
    message = Message(topic, payload, retain=retain)
    entry = encode_message(message, time_ms=time_ms, seq=seq, gone=gone)
    read = json.loads(entry.body)
    text = read["payload"]
    assert (base64.b64decode(text) if read.get("base64") else text.encode()) == payload
    assert payload_of(entry) == payload
    assert (read["topic"], read["time"], read["seq"]) == (topic, time_ms, seq)
    assert [key for key in ("retain", "gone", "last") if read.get(key)] == [
        key for key, is_there in (("retain", retain), ("gone", gone)) if is_there
    ]
    assert json.loads(body_of(entry, is_last=True)) == read | ({} if gone else {"last": True})
    assert body_of(entry, is_last=False) is entry.body


def test_only_what_is_true_is_said() -> None:
    entry = encode_message(Message("a", b"1"), time_ms=5, seq=6, gone=False)
    assert entry.body == b'{"topic":"a","payload":"1","time":5,"seq":6}'
    assert (
        encode_frame(Subscribed(0, "k3", 7)) == b'{"op":"subscribed","id":0,"epoch":"k3","seq":7}'
    )
    assert (
        encode_frame(Subscribed(1, "k3", 7, recovered=False, truncated=True))
        == b'{"op":"subscribed","id":1,"epoch":"k3","seq":7,"recovered":false,"truncated":true}'
    )
    assert (
        encode_frame(Gap(1, None, [], reset=False, reason="link"))
        == b'{"op":"gap","id":1,"missed":null,"topics":[],"reset":false,"reason":"link"}'
    )


def test_frames_and_events_hold_the_same_bodies() -> None:
    entries = [
        encode_message(Message("a", payload), time_ms=1, seq=seq, gone=False)
        for seq, payload in enumerate([b"line\nbreak\r\n", "\u2028".encode()], 1)
    ]
    frame = frame_of_messages(3)(entries, False)
    events = events_of_messages("k3")(entries, False)
    first, second = [json.loads(entry.body) for entry in entries]
    assert json.loads(frame) == {"op": "messages", "id": 3, "messages": [first, second]}
    lines = events.decode().split("\n")
    assert (lines[0], lines[3]) == ("id: k3-1", "id: k3-2")
    assert [json.loads(lines[n].removeprefix("data: ")) for n in (1, 4)] == [first, second]
    assert (lines[2], lines[5:]) == ("", ["", ""])


@pytest.mark.parametrize(
    ("publication", "message"),
    [
        (Publication("a", "é"), Message("a", "é".encode())),
        (Publication("a", "/wA=", base64=True, qos=1), Message("a", b"\xff\0", QoS.AT_LEAST_ONCE)),
        (Publication("a", qos=2, retain=True), Message("a", b"", QoS.EXACTLY_ONCE, retain=True)),
    ],
)
def test_a_publication_means_a_message(publication: Publication, message: Message) -> None:
    assert to_message(publication) == message


@pytest.mark.parametrize(
    ("publication", "code"),
    [
        (Publication(""), "bad_topic"),
        (Publication("a/#"), "bad_topic"),
        (Publication("a\0"), "bad_topic"),
        (Publication("$SYS/x"), "bad_topic"),
        (Publication("x" * 65_536), "bad_topic"),
        (Publication("a\ud800"), "bad_topic"),
        (Publication("a", "\ud800"), "bad_frame"),
        (Publication("a", "no base64!", base64=True), "bad_frame"),
        (Publication("a", "é", base64=True), "bad_frame"),
    ],
)
def test_a_publication_that_mqtt_forbids_is_refused(publication: Publication, code: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        to_message(publication, 9)
    assert (refusal.value.code, refusal.value.frame_id) == (code, 9)


@given(st.binary())
@example(b"[" * 100_000)
@example(b'{"topic":"a","payload":"\xff"}')
@example(b'{"topic":1}')
def test_any_body_is_a_publication_or_refused(body: bytes) -> None:
    publication = outcome(decode_publication, body)
    if isinstance(publication, RefusedError):
        assert publication.code == "bad_request"
    else:
        assert isinstance(publication, Publication)


def test_filters_are_sorted_and_stand_once() -> None:
    assert check_filters(["b", "a/#", "b"]) == ("a/#", "b")


@pytest.mark.parametrize(
    ("filters", "code"),
    [
        ([], "bad_filter"),
        ([""], "bad_filter"),
        (["a/#/b"], "bad_filter"),
        (["a", "b+"], "bad_filter"),
        (["a"] * (MAX_FILTERS + 1), "too_many"),
        (["a" * MAX_FILTER_BYTES, "b"], "too_large"),
        (["é" * (MAX_FILTER_BYTES // 2 + 1)], "too_large"),
    ],
)
def test_filters_that_mqtt_forbids_are_refused(filters: list[str], code: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        check_filters(filters, 4)
    assert (refusal.value.code, refusal.value.frame_id) == (code, 4)

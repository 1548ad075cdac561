"""MQTT over WebSocket against the server side of the websockets library, without I/O."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidHandshake, InvalidStatus, NegotiationError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from broker.web_socket import WebSocketFraming


def connected() -> tuple[WebSocketFraming, ServerProtocol]:
    client = WebSocketFraming("ws://broker:9001/mqtt")
    server = ServerProtocol(subprotocols=[Subprotocol("mqtt")])
    server.receive_data(client.replies())
    (request,) = server.events_received()
    assert isinstance(request, Request)
    assert request.path == "/mqtt"
    server.send_response(server.accept(request))
    assert client.shaken(b"".join(server.data_to_send()))
    return client, server


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


@given(
    st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=8),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_any_chunking_of_any_frames_gives_the_same_bytes(
    payloads: list[tuple[bytes, bool]], places: list[int]
) -> None:
    client, server = connected()
    for payload, in_two in payloads:
        server.send_ping(b"?")
        if in_two:
            server.send_binary(payload[:1], fin=False)
            server.send_continuation(payload[1:], fin=True)
        else:
            server.send_binary(payload)
    chunks = cut(b"".join(server.data_to_send()), places)
    received = b"".join(client.unwrap(chunk) for chunk in chunks)
    assert received == b"".join(payload for payload, _ in payloads)
    server.receive_data(client.replies())
    pongs = [event for event in server.events_received() if isinstance(event, Frame)]
    assert [pong.opcode for pong in pongs] == [Opcode.PONG] * len(payloads)
    assert client.is_open


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8))
def test_what_is_wrapped_is_what_the_server_reads(parts: list[bytes]) -> None:
    client, server = connected()
    for part in parts:
        server.receive_data(client.wrap(part))
    frames = [event for event in server.events_received() if isinstance(event, Frame)]
    assert [frame.data for frame in frames] == parts
    assert {frame.opcode for frame in frames} <= {Opcode.BINARY}


@given(st.binary(max_size=200))
def test_junk_instead_of_frames_ends_the_connection_and_raises_nothing(junk: bytes) -> None:
    client, _ = connected()
    client.unwrap(b"\xff\0" + junk)  # reserved bits that were not agreed upon
    assert not client.is_open


@given(st.binary(min_size=1, max_size=200))
def test_junk_instead_of_a_handshake_is_the_documented_error(junk: bytes) -> None:
    client = WebSocketFraming("ws://broker")
    with pytest.raises((InvalidHandshake, EOFError)):
        until_shaken(client, [junk, b"\r\n\r\n", b""])


def until_shaken(client: WebSocketFraming, answers: list[bytes]) -> None:
    for answer in answers:
        if client.shaken(answer):
            return


def test_another_http_status_is_named() -> None:
    client = WebSocketFraming("ws://broker")
    with pytest.raises(InvalidStatus, match="403"):
        client.shaken(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


def test_a_server_without_the_subprotocol_mqtt_is_refused() -> None:
    client = WebSocketFraming("ws://broker")
    server = ServerProtocol()
    server.receive_data(client.replies())
    (request,) = server.events_received()
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    with pytest.raises(NegotiationError, match="subprotocol mqtt"):
        client.shaken(b"".join(server.data_to_send()))

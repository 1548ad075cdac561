from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from broker.errors import ListenError
from broker.listen import USER_TIMEOUT_MS, is_loopback, listen, netloc
from tests.real_ends import DEADLINE_S, mosquitto


@pytest.fixture
def kept() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_port_0_takes_a_free_port_and_accepts_at_once(kept: ExitStack) -> None:
    (sock,) = listen("127.0.0.1", 0)
    kept.enter_context(sock)
    assert sock.getsockname()[1] > 0
    kept.enter_context(socket.create_connection(sock.getsockname(), 5))


def test_a_name_with_several_addresses_gets_one_port_on_all_that_this_machine_has(
    kept: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def several(*_args: object, **_kwargs: object) -> list[tuple[object, ...]]:
        stream = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        v4, v6 = socket.AF_INET, socket.AF_INET6
        return [
            (v6, *stream, ("2001:db8::1", 0, 0, 0)),  # reserved for documentation: nobody has it
            (v4, *stream, ("127.0.0.1", 0)),
            (v4, *stream, ("127.0.0.2", 0)),
            (v4, *stream, ("127.0.0.2", 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", several)
    sockets = [kept.enter_context(sock) for sock in listen("several.example", 0)]
    names = [sock.getsockname() for sock in sockets]
    assert [name[0] for name in names] == ["127.0.0.1", "127.0.0.2"]
    assert names[0][1] == names[1][1]


def test_accepted_connections_notice_a_peer_that_is_gone(kept: ExitStack) -> None:
    (listener,) = listen("127.0.0.1", 0)
    kept.enter_context(listener)
    listener.setblocking(True)
    kept.enter_context(socket.create_connection(listener.getsockname(), 5))
    accepted = kept.enter_context(listener.accept()[0])
    assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        timeout_ms = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert timeout_ms == USER_TIMEOUT_MS


async def test_small_packets_leave_at_once() -> None:
    """Without TCP_NODELAY the second of two small frames waits 40 ms for a delayed ACK."""
    (listener,) = listen("127.0.0.1", 0)
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_server(lambda _, writer: accepted.put(writer), sock=listener)
    async with server:
        with socket.create_connection(listener.getsockname(), 5):
            writer = await asyncio.wait_for(accepted.get(), DEADLINE_S)
            sock = writer.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            writer.close()


def test_a_taken_port_is_a_sentence_with_its_holder_and_the_remedy(kept: ExitStack) -> None:
    (sock,) = listen("127.0.0.1", 0)
    kept.enter_context(sock)
    port = sock.getsockname()[1]
    with pytest.raises(ListenError) as caught:
        listen("127.0.0.1", port, remedy="Take another.")
    text = str(caught.value)
    assert text.startswith(f"127.0.0.1:{port} is taken: ")
    assert f"(pid {os.getpid()}) listens there. Take another." in text


def test_the_holder_of_a_taken_port_may_be_another_program(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, pytest.raises(ListenError, match="is taken: mosquitto"):
        listen("127.0.0.1", broker.port)


def test_a_failed_try_leaves_no_socket_behind(kept: ExitStack) -> None:
    (taken,) = listen("127.0.0.2", 0)
    kept.enter_context(taken)
    port = taken.getsockname()[1]
    with pytest.raises(ListenError):
        listen("0.0.0.0", port)  # a socket left open would be a ResourceWarning


def test_an_address_of_another_machine_is_a_sentence() -> None:
    with pytest.raises(
        ListenError, match=r"^can't listen on 192\.0\.2\.1:0: this machine has no such address\. X$"
    ):
        listen("192.0.2.1", 0, remedy="X")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".example"])
def test_a_name_without_an_address_is_a_sentence(host: str) -> None:
    with pytest.raises(ListenError, match="no address is known for the name"):
        listen(host, 0)


def test_a_port_that_needs_more_rights_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)  # root, as in CI, may take any port
    with pytest.raises(ListenError, match=r"no permission to listen on 127\.0\.0\.1:80"):
        listen("127.0.0.1", 80)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1",
     "localhost", "LocalHost", "localhost."],
)  # fmt: skip
def test_loopback_is_judged_by_address(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "0.0.0.0", "::", "192.168.1.10", "::ffff:192.168.1.10", "localhost.example.org",
     "127.0.0.1.example.org", "fe80::1%eth0", "localhost1"],
)  # fmt: skip
def test_anything_else_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_a_netloc_has_brackets_around_ipv6() -> None:
    assert netloc("::1", 1883) == "[::1]:1883"
    assert netloc("127.0.0.1", 80) == "127.0.0.1:80"

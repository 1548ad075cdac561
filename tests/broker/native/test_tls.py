from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest

from broker.errors import EngineError
from broker.tls import server_context
from tests.broker.native.listening import listening
from tests.mqtt_packets import Client, connect, connected
from tests.real_ends import program, until


async def run(*command: str) -> tuple[int, bytes]:
    """What a program answers, and says."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said


@pytest.mark.parametrize("version", ["31", "311", "5"])
async def test_mosquittos_clients_publish_and_subscribe_over_tls(
    version: str, certificates: Path
) -> None:
    async with listening("mqtts", certificates=certificates) as broker:
        (port,) = broker.ports
        assert broker.urls == [f"mqtts://127.0.0.1:{port}"]
        there = ("-h", "127.0.0.1", "-p", str(port), "--cafile", str(certificates / "ca.pem"))
        options = (*there, "-V", version, "-t", "a/b")
        published = await run(program("mosquitto_pub"), *options, "-m", "hello", "-r", "-q", "1")
        assert published == (0, b"")
        heard = await run(program("mosquitto_sub"), *options, "-C", "1", "-W", "20", "-q", "1")
        assert heard == (0, b"hello\n")


async def test_where_a_client_ca_is_named_a_client_needs_its_certificate(
    certificates: Path,
) -> None:
    async with listening("mqtts", certificates=certificates, client_ca=True) as broker:
        (port,) = broker.ports
        there = ("-h", "127.0.0.1", "-p", str(port), "--cafile", str(certificates / "ca.pem"))
        publish = (program("mosquitto_pub"), *there, "-t", "a", "-m", "x", "-q", "1")
        code, _ = await run(*publish)
        assert code != 0
        await until(lambda: broker.counters.failed_handshakes == 1, "the handshake failed")
        own = [str(certificates / f"client.{each}.pem") for each in ("cert", "key")]
        files = ("--cert", own[0], "--key", own[1])
        assert await run(*publish, *files) == (0, b"")


@pytest.mark.parametrize("said", [b"", b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"])
async def test_a_handshake_that_fails_or_takes_too_long_is_ended_and_counted(
    said: bytes, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.native.listener.HANDSHAKE_S", 0.2)
    async with listening("mqtts", "mqtt", certificates=certificates) as broker:
        port, plain = broker.ports
        async with connected(plain, "other") as other:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said)
            await until(lambda: broker.counters.open == 2, "it counts while it shakes hands")
            while await reader.read(1000):
                pass
            writer.close()
            await until(lambda: broker.counters.open == 1, "it counts no more")
            assert broker.counters.failed_handshakes == 1
            assert await other.ping() == []


async def test_a_broker_stops_while_a_handshake_is_under_way(certificates: Path) -> None:
    async with listening("mqtts", certificates=certificates) as broker:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.ports[0])
        await until(lambda: broker.counters.open == 1, "it has come")
    assert await reader.read() == b""
    writer.close()


async def shown_to(port: int, trusting: ssl.SSLContext) -> str:
    """The name on the certificate that a new connection gets."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    shown = writer.get_extra_info("ssl_object").getpeercert()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return str(shown["subject"][0][0][1])


async def test_new_connections_get_a_renewed_certificate_and_a_broken_one_changes_nothing(
    certificates: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("broker.tls.CHECK_S", 0.05)
    caplog.set_level("INFO", "broker.tls")
    trusting = ssl.create_default_context(cafile=str(certificates / "ca.pem"))

    def take(prefix: str) -> None:
        for name in ("cert.pem", "key.pem"):
            (tmp_path / "new").write_bytes((certificates / f"{prefix}{name}").read_bytes())
            (tmp_path / "new").replace(tmp_path / name)

    take("")
    async with listening("mqtts", certificates=tmp_path) as broker:
        (port,) = broker.ports
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        old = Client(reader, writer)
        await old.send(connect("old"))
        await old.read()
        assert await shown_to(port, trusting) == "broker"
        take("client.")
        await until(lambda: "new connections get it" in caplog.text, "the new one is taken up")
        assert await shown_to(port, trusting) == "client"

        caplog.clear()
        (tmp_path / "key.pem").write_text("junk")
        await until(lambda: "the old one stays" in caplog.text, "it is said")
        assert "are no certificate and its key" in caplog.text
        assert await shown_to(port, trusting) == "client"

        caplog.clear()
        (tmp_path / "key.pem").unlink()
        await until(lambda: "key.pem can't be read" in caplog.text, "it is said, too")
        assert await shown_to(port, trusting) == "client"
        take("")
        await until(lambda: "new connections get it" in caplog.text, "the next one is taken up")
        assert await shown_to(port, trusting) == "broker"
        assert await old.ping() == []
        writer.close()


def test_certificates_that_are_of_no_use_are_refused_with_key_and_file(
    certificates: Path, tmp_path: Path
) -> None:
    cert, key = str(certificates / "cert.pem"), str(certificates / "key.pem")
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    locked = tmp_path / "missing.pem"
    for arguments, named in (
        ((str(locked), key), f"tls.cert_file: {locked} can't be read"),
        ((cert, str(locked)), f"tls.key_file: {locked} can't be read"),
        ((cert, str(junk)), f"{cert} and {junk} are no certificate and its key"),
        ((cert, str(certificates / "client.key.pem")), "key values mismatch"),
        ((cert, key, str(locked)), f"tls.client_ca_file: {locked} can't be read"),
        ((cert, key, str(junk)), f"{junk} holds no certificates"),
    ):
        with pytest.raises(EngineError, match="tls") as caught:
            server_context(*arguments, section="tls")
        assert named in str(caught.value)
    assert server_context(cert, key, section="tls").verify_mode is ssl.CERT_NONE

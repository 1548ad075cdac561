"""Serial ports and TCP servers: real ones, on ptys and on loopback."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import serial
from fastcrc.crc16 import modbus
from pydantic import ValidationError
from serial.rfc2217 import PortManager

from gateway.decoders.key_value import KeyValueConfig
from gateway.decoders.struct import StructConfig
from gateway.errors import ConfigError, ReaderError
from gateway.framers.idle_gap import IdleGapConfig
from gateway.framers.sized import LengthFieldConfig
from gateway.measurement import Measurement
from gateway.port_list import FoundPort
from gateway.readers import KeepsBadFrames, Reader, Rejecting, Writing, build
from gateway.readers.reader import BytePort
from gateway.readers.serial_config import Rs485Config, SerialConfig
from gateway.readers.serial_port import SerialPort, rs485_settings
from gateway.readers.tcp_port import TcpPort
from tests.real_ends import DEADLINE_S, free_port, wait_until
from tests.serial_line import SerialLine, serial_line


def config(port: object, **keys: object) -> SerialConfig:
    return SerialConfig.model_validate({"type": "serial", "port": str(port), **keys})


def reader_of(port: object, clock: Callable[[], int] = lambda: 1_000) -> Reader:
    return build(config(port), KeyValueConfig(type="key_value"), clock=clock)


@contextlib.contextmanager
def opened(port: BytePort) -> Iterator[BytePort]:
    port.open()
    try:
        yield port
    finally:
        port.close()


def read_until(port: BytePort, end: bytes) -> bytes:
    content = bytearray()

    def has_come() -> bool:
        content.extend(port.read())
        return content.endswith(end)

    wait_until(has_come, f"{end!r} arrives")
    return bytes(content)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[SerialLine]:
    with serial_line(tmp_path) as plugged_in:
        yield plugged_in


def test_lines_become_measurements_with_the_time_of_their_reading(line: SerialLine) -> None:
    times = iter([1_000, 2_000, 3_000])
    reader = reader_of(line.path, lambda: next(times))
    reader.open()
    line.say(b".5 P=1\r\nT=21.5 PUMP=on\r\n")
    assert reader.read() == [Measurement(1_000, {"T": 21.5, "PUMP": "on"})]
    line.say(b"T=2")
    assert reader.read() == []
    line.say(b"2\r\nT=23\r\n")
    assert reader.read() == [Measurement(3_000, {"T": 22}), Measurement(3_000, {"T": 23})]
    reader.close()


def test_a_silent_line_is_no_fault_and_its_first_line_then_counts(line: SerialLine) -> None:
    reader = reader_of(line.path)
    reader.open()
    assert reader.read() == []
    line.say(b"T=1\n")
    assert reader.read() == [Measurement(1_000, {"T": 1})]
    reader.close()


def test_lines_that_make_no_sense_are_counted_and_told_once(
    line: SerialLine, caplog: pytest.LogCaptureFixture
) -> None:
    reader = reader_of(line.path)
    reader.open()
    line.say(b"half\nhello\n\xff\xff\nT=1\n" + b"x" * 5000 + b"\nT=2\n")
    found: list[Measurement] = []
    while len(found) < 2:
        found += reader.read()
    assert [one.fields for one in found] == [{"T": 1}, {"T": 2}]
    assert isinstance(reader, Rejecting)
    assert reader.rejected == {"partial": 1, "undecodable": 2, "too_long": 1}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"{line.path}: a frame holds no pair" in caplog.text
    assert "hello" not in caplog.text
    reader.close()


def test_binary_frames_are_cut_checked_and_decoded_and_bad_ones_kept(
    line: SerialLine, caplog: pytest.LogCaptureFixture
) -> None:
    framing = LengthFieldConfig.model_validate(
        {
            "type": "length_field",
            "start": "hex:AA",
            "offset": 1,
            "adds": 4,
            "checksum": {"name": "CRC-16/MODBUS", "byte_order": "little"},
        }
    )
    decoder = StructConfig(type="struct", format="2xhB", names=["t", "state"])
    reader = build(config(line.path), decoder, framing=framing, clock=lambda: 1_000)
    frame = b"\xaa\x03\x00\xd7\x01"
    good = frame + modbus(frame).to_bytes(2, "little")
    reader.open()
    line.say(b"noise" + good + good[:-1] + b"\0" + good)
    found: list[Measurement] = []
    while len(found) < 2:
        found += reader.read()
    assert found == [Measurement(1_000, {"t": 215, "state": 1})] * 2
    assert isinstance(reader, Rejecting)
    assert reader.rejected == {"stray": 1, "checksum": 1}
    assert isinstance(reader, KeepsBadFrames)
    assert [(bad.time_ms, bad.content) for bad in reader.bad_frames] == [
        (1_000, b"noise"),
        (1_000, good[:-1] + b"\0"),
    ]
    assert "a frame doesn't fit its checksum; further ones are only counted" in caplog.text
    reader.close()


def test_frames_that_are_apart_by_silence_are_read_with_the_time_of_their_bytes(
    line: SerialLine,
) -> None:
    times = iter([1_000, 2_000, 3_000])
    framing = IdleGapConfig(type="idle_gap", gap_ms=50)
    reader = build(
        config(line.path),
        StructConfig(type="struct", format="H", names=["t"]),
        framing=framing,
        clock=lambda: next(times),
    )
    reader.open()
    assert reader.read() == []  # a silence: the next byte begins a frame
    line.say(b"\x00\x05")
    assert reader.read() == []
    assert reader.read() == [Measurement(1_000, {"t": 5})]
    reader.close()


def test_an_unplugged_line_says_that_it_is_gone_and_a_new_one_is_read(line: SerialLine) -> None:
    reader = reader_of(line.path)
    reader.open()
    line.unplug()
    with pytest.raises(ReaderError, match=f"{line.path} is gone: "):
        reader.read()
    reader.close()
    with pytest.raises(ReaderError, match=f"there is no {line.path}: is it plugged in"):
        reader.open()
    line.plug()
    reader.open()
    line.say(b"\nT=3\n")
    assert reader.read() == [Measurement(1_000, {"T": 3})]
    reader.close()


def test_an_adapter_is_found_again_under_another_name(tmp_path: Path) -> None:
    found = [FoundPort("/dev/ttyS0")]
    port = SerialPort(
        SerialConfig.model_validate({"type": "serial", "match": {"usb": "0403:6001"}}),
        lambda: found,
    )
    with pytest.raises(ReaderError, match="there is no serial port with usb 0403:6001"):
        port.open()
    for name in ("ttyUSB0", "ttyUSB7"):
        with serial_line(tmp_path, name) as plugged_in:
            device = str(plugged_in.path)
            found[:] = [FoundPort(device, vendor_id=0x0403, product_id=0x6001)]
            with opened(port):
                plugged_in.say(b"T=1\n")
                assert port.read() == b"T=1\n"
                plugged_in.unplug()
                with pytest.raises(ReaderError, match=f"{device} is gone"):
                    port.read()


def test_rs485_is_asked_of_the_driver_and_its_no_is_a_sentence(line: SerialLine) -> None:
    section = {"rts_level_for_tx": False, "delay_before_rx_s": 0.002}
    settings = rs485_settings(Rs485Config.model_validate(section))
    assert (settings.rts_level_for_tx, settings.rts_level_for_rx) == (False, False)
    assert (settings.delay_before_tx, settings.delay_before_rx) == (0.0, 0.002)
    port = SerialPort(config(line.path, rs485=section))  # a pty has no driver that could
    with pytest.raises(ReaderError, match=f"{line.path} knows no RS-485: take `rs485` away"):
        port.open()
    with opened(SerialPort(config(line.path))):  # it was not kept open
        pass


def test_a_port_may_be_shared_where_the_config_says_so(line: SerialLine) -> None:
    shared = config(line.path, exclusive=False)
    with opened(SerialPort(shared)), opened(SerialPort(shared)) as second:
        line.say(b"x")
        assert second.read() == b"x"


@contextlib.contextmanager
def answering(line: SerialLine, answer: Callable[[bytes], bytes]) -> Iterator[list[bytes]]:
    """A device that only answers while the port is open; what it was asked is collected."""
    asked: list[bytes] = []
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            if heard := line.hear(0.02):
                asked.append(heard)
                line.say(answer(heard))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        ending.set()
        thread.join(DEADLINE_S)


def measured(reader: Reader, count: int) -> list[Measurement]:
    found: list[Measurement] = []

    def has_come() -> bool:
        found.extend(reader.read())
        return len(found) >= count

    wait_until(has_come, f"{count} measurements")
    return found


def test_a_device_that_only_answers_is_asked_again_and_again(line: SerialLine) -> None:
    poll = {"send": ["T?\r\n", "P?\r\n"], "every_s": 0.05}
    reader = build(config(line.path, poll=poll), KeyValueConfig(type="key_value"))
    answers = {b"T?\r\n": b"T=21\r\n", b"P?\r\n": b"P=3\r\n"}
    reader.open()
    with answering(line, lambda asked: answers[asked]) as asked:
        fields = [one.fields for one in measured(reader, 6)]
    reader.close()
    assert fields[:6] == [{"T": 21}, {"P": 3}] * 3
    assert asked[:4] == [b"T?\r\n", b"P?\r\n"] * 2


def test_binary_requests_get_binary_answers(line: SerialLine) -> None:
    reader = build(
        config(line.path, poll={"send": "hex:01 03", "every_s": 0.05}),
        StructConfig(type="struct", format="H", names=["t"]),
        framing=IdleGapConfig(type="idle_gap", gap_ms=20),
    )
    reader.open()
    with answering(line, lambda asked: asked[::-1]) as asked:
        assert measured(reader, 2)[0].fields == {"t": 0x0301}
    reader.close()
    assert asked[0] == b"\x01\x03"


def test_a_request_without_an_answer_is_counted_and_asked_again(line: SerialLine) -> None:
    poll = {"send": "T?", "every_s": 0.05, "timeout_s": 0.1}
    reader = build(config(line.path, poll=poll), KeyValueConfig(type="key_value"))
    silent = iter([True, True])
    reader.open()
    with answering(line, lambda _asked: b"T=" if next(silent, False) else b"T=1\n"):
        assert measured(reader, 1)[0].fields == {"T": 1}
    reader.close()
    assert isinstance(reader, Rejecting)
    assert reader.rejected["no_answer"] >= 2
    assert isinstance(reader, KeepsBadFrames)
    assert {bad.content for bad in reader.bad_frames} == {b"T?"}


def test_a_command_to_a_polled_device_never_falls_between_request_and_answer(
    line: SerialLine,
) -> None:
    poll = {"send": "T?", "every_s": 0.05, "timeout_s": DEADLINE_S}
    reader = build(config(line.path, poll=poll), KeyValueConfig(type="key_value"))
    assert isinstance(reader, Writing)
    reader.open()
    assert reader.read() == []
    assert line.hear() == b"T?"
    command = threading.Thread(target=reader.write, args=("pump", b"PUMP 1"))
    command.start()
    assert line.hear(0.2) == b"", "the answer has not come yet"
    line.say(b"T=1\n")
    assert measured(reader, 1)[0].fields == {"T": 1}
    assert line.hear() == b"PUMP 1"
    command.join(DEADLINE_S)
    wait_until(lambda: [reader.read()] and line.hear(0) == b"T?", "the asking goes on")
    reader.close()


def test_a_port_that_is_taken_says_so_and_is_free_after_closing(line: SerialLine) -> None:
    with opened(SerialPort(config(line.path))):
        second = SerialPort(config(line.path))
        with pytest.raises(ReaderError, match=f"{line.path} is in use by another program"):
            second.open()
    with opened(second):
        line.say(b"x")
        assert second.read() == b"x"


def test_a_file_and_a_folder_are_no_serial_ports(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    with pytest.raises(ReaderError, match=r"notes\.txt is no serial port"):
        SerialPort(config(file)).open()
    with pytest.raises(ReaderError, match=f"{tmp_path} is no serial port"):
        SerialPort(config(tmp_path)).open()
    with pytest.raises(ReaderError, match="/dev/null is no serial port"):
        SerialPort(config("/dev/null")).open()


def test_a_line_setting_that_the_port_can_not_do_is_a_sentence(line: SerialLine) -> None:
    with opened(SerialPort(config(line.path, parity="even", bytesize=7, stopbits=2, xonxoff=True))):
        line.say(b"x")


def test_an_open_port_closes_twice_and_a_closed_one_can_not_be_read(line: SerialLine) -> None:
    for port in (SerialPort(config(line.path)), TcpPort("socket://127.0.0.1:1")):
        port.close()
        port.close()
        with pytest.raises(ReaderError, match="is not open"):
            port.read()


def test_a_port_is_read_even_where_a_thousand_files_are_open(line: SerialLine) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2048)), hard))
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(1_050)]
    try:
        with opened(SerialPort(config(line.path))) as port:
            line.say(b"T=1\n")
            assert port.read() == b"T=1\n"
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_loop_port_opens_and_is_silent() -> None:
    with opened(SerialPort(config("loop://"))) as port:
        assert port.read() == b""


def test_what_is_written_to_a_loop_comes_back_unless_it_is_discarded() -> None:
    port = SerialPort(config("loop://"))
    with opened(port):
        port.write(b"hello")
        assert read_until(port, b"hello") == b"hello"
        port.write(b"late")
        port.discard()
        assert port.read(0.01) == b""


def test_a_line_is_written_to_and_what_came_too_late_is_discarded(line: SerialLine) -> None:
    port = SerialPort(config(line.path))
    with opened(port):
        port.write(b"PUMP 1\n")
        assert line.hear() == b"PUMP 1\n"
        line.say(b"late")
        wait_until(lambda: in_waiting(line), "it has come")
        port.discard()
        assert port.read(0.01) == b""
        line.say(b"new")
        assert read_until(port, b"new") == b"new"


def in_waiting(line: SerialLine) -> bool:
    descriptor = os.open(line.path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        return bool(select.select([descriptor], [], [], 0)[0])
    finally:
        os.close(descriptor)


def test_a_line_that_takes_nothing_more_says_so(
    line: SerialLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.readers.descriptor.WRITE_TIMEOUT_S", 0.05)
    port = SerialPort(config(line.path))
    with opened(port), pytest.raises(ReaderError, match=r"takes nothing: not within 0\.05 s"):
        port.write(b"x" * 1_000_000)


def test_nothing_is_written_to_a_port_that_is_gone(line: SerialLine) -> None:
    port = SerialPort(config(line.path))
    with opened(port):
        line.unplug()
        port.discard()
        with pytest.raises(ReaderError, match="takes nothing"):
            port.write(b"x")
    with pytest.raises(ReaderError, match="is not open"):
        port.write(b"x")


def test_a_tcp_server_is_written_to_and_what_came_too_late_is_discarded() -> None:
    with tcp_server() as server:
        port = TcpPort(f"socket://127.0.0.1:{server.getsockname()[1]}")
        with opened(port):
            connection, _ = server.accept()
            with connection:
                port.write(b"PUMP 1\n")
                assert connection.recv(100) == b"PUMP 1\n"
                connection.sendall(b"x" * 5_000)
                port.discard()
                connection.sendall(b"new")
                assert read_until(port, b"new").endswith(b"new")
            wait_until(lambda: refuses(port), "a server that closed takes nothing")
        with pytest.raises(ReaderError, match="is not open"):
            port.write(b"x")


def refuses(port: TcpPort) -> bool:
    try:
        port.write(b"x")
    except ReaderError as error:
        return "takes nothing" in str(error)
    return False


@contextlib.contextmanager
def tcp_server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE_S)
        yield server


def test_a_tcp_server_is_read_until_it_closes_the_connection() -> None:
    with tcp_server() as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        reader = reader_of(url)
        reader.open()
        connection, _ = server.accept()
        assert reader.read() == []
        connection.sendall(b"\nT=1\n")
        assert reader.read() == [Measurement(1_000, {"T": 1})]
        connection.close()
        with pytest.raises(ReaderError, match=f"{url} is gone: the server closed the connection"):
            reader.read()
        reader.close()


def test_a_tcp_server_that_resets_is_gone_too() -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(tcp_server())
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        port = stack.enter_context(opened(TcpPort(url)))
        connection, _ = server.accept()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        with pytest.raises(ReaderError, match=f"{url} is gone: Connection reset by peer"):
            port.read()


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid", "x" * 70])
def test_a_tcp_server_that_is_not_there_is_a_sentence(host: str) -> None:
    with pytest.raises(ReaderError, match=f"can't reach socket://{host}:"):
        TcpPort(f"socket://{host}:{free_port()}").open()


class TelnetEnd(NamedTuple):
    """What PortManager wants of a connection."""

    write: Callable[[bytes], None]


@contextlib.contextmanager
def rfc2217_server() -> Iterator[tuple[int, Callable[[bytes], object], Callable[[], None]]]:
    """A telnet server with a loop port behind it: its port, what its line says, its end."""
    with tcp_server() as server, serial.serial_for_url("loop://", timeout=0) as behind:
        ending = threading.Event()
        manager_of: Any = PortManager  # its stub asks for more than it needs

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                manager = manager_of(behind, TelnetEnd(connection.sendall))
                while not ending.is_set():
                    if select.select([connection], [], [], 0.01)[0]:
                        b"".join(manager.filter(connection.recv(1024)))
                    if content := behind.read(behind.in_waiting):
                        connection.sendall(b"".join(manager.escape(content)))

        thread = threading.Thread(target=serve)
        thread.start()

        def end() -> None:
            ending.set()
            thread.join(DEADLINE_S)

        try:
            yield server.getsockname()[1], behind.write, end
        finally:
            end()


# pyserial 3.5 names its own thread in the old way, and leaks its socket when the peer is gone.
@pytest.mark.filterwarnings(
    "ignore:set(Daemon|Name)\\(\\) is deprecated:DeprecationWarning",
    "ignore:unclosed <socket:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
def test_an_rfc2217_server_is_read_until_it_is_gone() -> None:
    with contextlib.ExitStack() as stack:
        number, say, end = stack.enter_context(rfc2217_server())
        url = f"rfc2217://127.0.0.1:{number}"
        port = stack.enter_context(opened(SerialPort(config(url, baudrate=19200))))
        say(b"T=1\xff\n")
        assert read_until(port, b"\n") == b"T=1\xff\n"
        end()
        with pytest.raises(ReaderError, match=f"{url} is gone: connection failed"):
            read_until(port, b"never")


def test_an_rfc2217_server_that_is_not_there_is_a_sentence() -> None:
    url = f"rfc2217://127.0.0.1:{free_port()}"
    with pytest.raises(ReaderError, match=f"can't reach {url}: .*Connection refused"):
        SerialPort(config(url)).open()


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        ("sokcet://host:1", "must be a device .* or begin with socket://, rfc2217://, loop://"),
        ("socket://host", "must name host and port, as in socket://"),
        ("socket://:4001", "must name host and port"),
        ("rfc2217://host:99999", "must name host and port"),
        ("/dev/tty\0", "holds a NUL"),
        ("", "at least 1 character"),
    ],
)
def test_a_port_that_can_never_be_opened_is_refused_in_the_config(port: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        config(port)


def test_bytes_without_a_decoder_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"needs a decoder, as in \{type: key_value\}"):
        build(config("loop://"))

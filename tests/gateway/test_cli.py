"""The command `fieldgate`, run as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway
from gateway.byte_text import printable
from gateway.config import Config
from gateway.config_file import load
from gateway.decoders import DecoderConfig
from gateway.decoders.csv import CsvConfig
from gateway.decoders.regex import RegexConfig
from gateway.errors import ReaderError
from gateway.monitor import Monitor, candidates, device_lines
from gateway.port_list import FoundPort
from gateway.readers.reader import READ_TIMEOUT_S
from gateway.readers.serial_config import SerialConfig
from gateway.readers.serial_port import SerialPort
from gateway.schema import Schema
from tests.gateway.test_config import README_EXAMPLE
from tests.real_ends import DEADLINE_S

BROKEN = Path(__file__).parent / "broken_configs"
ROOT = Path(gateway.__file__).parent.parent
COMMAND = [sys.executable, "-m", "gateway"]


def clean_environ(**more: str) -> dict[str, str]:
    """Our environment without what would configure a gateway."""
    ours = {key: text for key, text in os.environ.items() if not key.startswith("FIELDGATE__")}
    return {**ours, "PYTHONPATH": str(ROOT), **more}


def fieldgate(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=clean_environ(**environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * DEADLINE_S,
    )


# -- check


@pytest.mark.parametrize("name", sorted(path.stem for path in BROKEN.glob("*.yaml")))
def test_check_says_what_is_wrong_with_a_broken_config(name: str) -> None:
    ended = fieldgate("check", "-c", f"{name}.yaml", cwd=BROKEN)
    expected = (BROKEN / f"{name}.expected").read_text(encoding="utf-8")
    assert ended.stderr.replace(str(BROKEN), "{folder}") == expected
    assert ended.stdout == ""
    assert ended.returncode == 2


def test_every_broken_config_has_its_expected_messages() -> None:
    configs = {path.stem for path in BROKEN.glob("*.yaml")}
    assert len(configs) >= 10
    assert {path.stem for path in BROKEN.glob("*.expected")} == configs


def test_check_sums_up_a_config_that_is_fine(tmp_path: Path) -> None:
    (tmp_path / "plant.yaml").write_text(README_EXAMPLE, encoding="utf-8")
    ended = fieldgate("check", "--config", "plant.yaml", cwd=tmp_path)
    assert ended.stdout == (
        "plant.yaml is fine: 1 device (boiler), broker native on mqtt://127.0.0.1:1883,"
        " page on 127.0.0.1:8088\n"
    )
    assert (ended.stderr, ended.returncode) == ("", 0)


def test_check_without_a_file_checks_the_defaults_and_the_environment(tmp_path: Path) -> None:
    ended = fieldgate("check", cwd=tmp_path)
    assert ended.stdout.startswith("No fieldgate.yaml here; the defaults are fine: 1 device (host)")
    ended = fieldgate("check", cwd=tmp_path, FIELDGATE__WEB__LISTEN="here")
    assert ended.stderr == (
        "FIELDGATE__WEB__LISTEN: web.listen: found 'here': must be host:port, as in"
        " 127.0.0.1:8088 or 0.0.0.0:8088\n"
    )
    assert ended.returncode == 2


def test_check_knows_what_the_engine_will_refuse(tmp_path: Path) -> None:
    ended = fieldgate(
        "check",
        cwd=tmp_path,
        FIELDGATE__BROKER__ENGINE="amqtt",
        FIELDGATE__BROKER__LISTENERS="[mqtt://0.0.0.0]",
    )
    assert ended.stderr.startswith("engine amqtt can't serve this config: broker.listeners has ")
    assert ended.returncode == 2


def test_run_with_a_broken_config_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "fieldgate.yaml").write_text("brokr:\n", encoding="utf-8")
    ended = fieldgate("run", cwd=tmp_path)
    assert ended.stderr.startswith("fieldgate.yaml:1: brokr: unknown key; did you mean broker?")
    assert ended.returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["fieldgate.yaml"]


# -- usage


def test_without_arguments_it_shows_its_help(tmp_path: Path) -> None:
    ended = fieldgate(cwd=tmp_path)
    assert "Usage: fieldgate" in ended.stdout + ended.stderr


@pytest.mark.parametrize("arguments", [["nonsense"], ["run", "--only", "webb"], ["check", "-x"]])
def test_wrong_usage_is_exit_code_2_in_plain_words(tmp_path: Path, arguments: list[str]) -> None:
    ended = fieldgate(*arguments, cwd=tmp_path)
    assert ended.returncode == 2
    assert "Usage: fieldgate" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.isascii()


def test_version_says_which(tmp_path: Path) -> None:
    ended = fieldgate("version", cwd=tmp_path)
    assert (ended.stdout, ended.returncode) == (f"fieldgate {gateway.__version__}\n", 0)


# -- schema


def test_schema_describes_every_key_of_the_readmes_example(tmp_path: Path) -> None:
    ended = fieldgate("schema", cwd=tmp_path)
    assert ended.returncode == 0
    printed = json.loads(ended.stdout)
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    schema = Schema(printed)  # resolves every $ref
    for path in [
        ("base_topic",),
        ("broker", "listeners", 0),
        ("web", "listen"),
        ("devices", 0, "reader", "serial", "baudrate"),
        ("devices", 0, "decoder", "csv", "columns", 0),
        ("devices", 0, "points", "temperature", "unit"),
    ]:
        assert schema.find(path).nodes[-1].get("type"), path


def test_every_key_of_ours_is_described() -> None:
    definitions = Config.model_json_schema()["$defs"]
    ours = [Config.model_json_schema(), *(definitions[f"{n}Config"] for n in ("Web", "Device"))]
    for section in ours:
        for key, node in section["properties"].items():
            assert node.get("description"), key


def test_the_reference_names_every_key() -> None:
    """docs/configuration.md is written by hand, so it must not fall behind."""
    reference = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    schema = Config.model_json_schema()
    for section in (schema, *schema["$defs"].values()):
        for key in section.get("properties", {}):
            assert f"`{key}`" in reference, (section["title"], key)


@pytest.mark.parametrize("document", ["README.md", "docs/configuration.md"])
def test_every_example_in_the_documents_is_fine(tmp_path: Path, document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    examples = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert examples
    for example in examples:
        here = example.replace("/run/secrets/mqtt", "secret")
        (tmp_path / "secret").write_text("hunter2\n", encoding="utf-8")
        (tmp_path / "fieldgate.yaml").write_text(here, encoding="utf-8")
        load(tmp_path / "fieldgate.yaml", {"MQTT_USER": "gate"})


# -- ports


def test_ports_lists_what_there_is_or_says_what_to_do(tmp_path: Path) -> None:
    ended = fieldgate("ports", cwd=tmp_path)
    assert ended.returncode == 0
    assert ended.stdout.startswith(("/dev/", "No serial port here."))


def test_a_port_is_shown_with_its_numbers_its_lasting_name_and_the_remedy() -> None:
    port = FoundPort(
        device="/dev/ttyUSB0",
        description="FT232R USB UART",
        vendor_id=0x0403,
        product_id=0x6001,
        serial_number="A50285BI",
        location="1-1.2",
        stable_name="/dev/serial/by-id/usb-FTDI_A50285BI",
        may_open=False,
        group="uucp",
    )
    assert str(port) == (
        "/dev/ttyUSB0\n"
        "    0403:6001  serial number A50285BI  location 1-1.2  FT232R USB UART\n"
        "    stable name: /dev/serial/by-id/usb-FTDI_A50285BI\n"
        "    may not be opened by you: sudo usermod -aG uucp $USER, then log in again"
    )
    assert str(FoundPort("/dev/ttyS0")) == "/dev/ttyS0"


# -- monitor


@contextlib.contextmanager
def serial_line() -> Iterator[tuple[int, str]]:
    """A pty: the device's end, and the path of ours."""
    device, ours = pty.openpty()
    tty.setraw(ours)
    try:
        yield device, os.ttyname(ours)
    finally:
        os.close(ours)
        with contextlib.suppress(OSError):
            os.close(device)


@contextlib.contextmanager
def monitoring(path: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*COMMAND, "monitor", path, *options],
        env=clean_environ(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str], device: int, spoken: bytes) -> str:
    """What it shows of what the device says once the port is open."""
    assert process.stdout is not None
    assert process.stderr is not None
    first = process.stderr.readline()
    assert first.startswith("Listening"), first
    os.write(device, b"rest of a line\r\n" + spoken)
    return process.stdout.readline()


def test_monitor_shows_lines_raw_and_decoded_until_ctrl_c() -> None:
    with serial_line() as (device, path), monitoring(path) as process:
        assert next_line(process, device, b"T=21.5 PUMP=on\r\n") == (
            'T=21.5 PUMP=on  ->  key_value: T=21.5, PUMP="on"\n'
        )
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0
        assert '    decoder: {"type": "key_value"}\n' in said


def test_monitor_shows_binary_frames_and_which_are_bad_and_the_lines_for_the_config() -> None:
    options = (
        *("--framing", "{type: start_end, start: 'hex:02', end: 'hex:03', checksum: {name: xor}}"),
        *("--decoder", "{type: struct, format: hB, names: [t, state]}"),
    )
    with serial_line() as (device, path), monitoring(path, *options) as process:
        assert process.stdout is not None
        spoken = b"\x02\x00\xd7\x01\xd6\x03" + b"\x02\x00\xd7\x01\xff\x03"
        assert next_line(process, device, spoken) == "00 d7 01  ->  struct: t=215, state=1\n"
        assert process.stdout.readline() == "02 00 d7 01 ff 03  ->  bad: doesn't fit its checksum\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=DEADLINE_S)
        assert "Bad frames: stray 1, checksum 1" in said
        assert '    framing: {"checksum": {"name": "XOR"}, "type": "start_end"' in said


def test_monitor_says_why_the_wanted_decoder_does_not_fit() -> None:
    with serial_line() as (device, path), monitoring(path, "--decoder", "json") as process:
        line = next_line(process, device, b"T=21.5\r\n")
        assert line.startswith("T=21.5  ->  json: is no JSON: ")


def test_a_port_that_goes_away_ends_the_monitor_with_a_sentence() -> None:
    with serial_line() as (device, path), monitoring(path) as process:
        next_line(process, device, b"T=1\n")
        os.close(device)
        _, said = process.communicate(timeout=DEADLINE_S)
        assert f"{path} is gone" in said
        assert process.returncode == 1


def test_a_port_that_is_not_there_is_exit_code_1_with_a_sentence(tmp_path: Path) -> None:
    ended = fieldgate("monitor", "/dev/no-such-port", cwd=tmp_path)
    assert ended.stderr.startswith("there is no /dev/no-such-port: is it plugged in?")
    assert ended.returncode == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--baudrate", "1"], "--baudrate: found 1; expected a whole number from 50 to 4000000\n"),
        (
            ["--framing", "cubs"],
            "--framing: type: found 'cubs'; expected one of cobs, delimiter, fixed_length, ",
        ),
        (["--framing", "{type: start_end, start: '<'}"], "--framing: end: is missing; expected"),
        (["--framing", "{type: cobs"], "--framing: this is no YAML: a comma or the closing brack"),
        (["--framing", "{type: cobs, type: slip}"], "--framing: type: stands twice"),
        (["--parity", "odds"], "--parity: found 'odds'; expected one of none, even, odd, mark, "),
        (["--decoder", "regex"], "--pattern: is missing; expected text\n"),
        (
            ["--decoder", "yaml"],
            "--decoder: found 'yaml'; expected one of csv, json, key_value, regex, struct",
        ),
        (
            ["--columns", "a,b"],
            "--decoder: is missing; expected one of csv, json, key_value, regex, struct\n",
        ),
    ],
)
def test_options_of_monitor_are_checked_as_the_config_is(
    tmp_path: Path, options: list[str], message: str
) -> None:
    ended = fieldgate("monitor", "/dev/no-such-port", *options, cwd=tmp_path)
    assert ended.stderr.startswith(message)
    assert ended.returncode == 2


def test_a_quiet_port_gets_one_hint_that_fits_what_was_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.monitor.QUIET_S", 0.0)
    assert hints(b"", b"", b"") == ["Listening; Ctrl-C ends.", WHY_NOTHING]
    assert hints(b"\xff" * 9, b"\xfe", b"") == ["Listening; Ctrl-C ends.", WHY_NO_LINE]


WHY_NOTHING = "Nothing came so far: is the cable right, and does the device speak by itself?"
WHY_NO_LINE = "9 bytes came, but no whole frame: are baudrate and framing right?"


class Chunks:
    """A port that gives what it was given, and then is gone."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = list(chunks)

    def open(self) -> None:
        pass

    def read(self, _timeout_s: float = READ_TIMEOUT_S) -> bytes:
        if not self._chunks:
            raise ReaderError("gone")
        return self._chunks.pop(0)

    def close(self) -> None:
        pass


def hints(*chunks: bytes) -> list[str]:
    said: list[str] = []
    with pytest.raises(ReaderError):
        Monitor(Chunks(*chunks), None).watch(said.append, said.append)
    return said


@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        (b'{"t": 21.5}', '{"t": 21.5}  ->  json: t=21.5'),
        (b"21.5;1013", "21.5;1013  ->  csv: column_1=21.5, column_2=1013"),
        (b"a\x1b[2J\xff=1", "a\\x1b[2J\\xff=1  ->  no decoder fits by itself"),
        (b"hello", "hello  ->  no decoder fits by itself"),
    ],
)
def test_without_a_decoder_the_first_that_fits_is_shown(frame: bytes, shown: str) -> None:
    port = SerialPort(SerialConfig(type="serial", port="loop://"))
    assert Monitor(port, None).line(frame).startswith(shown)


def test_the_lines_for_the_config_are_a_config(tmp_path: Path) -> None:
    port = SerialConfig(type="serial", port="/dev/tty: #1", baudrate=300)
    decoders: list[DecoderConfig] = [
        RegexConfig(type="regex", pattern=r"T '(?P<t>\d+)°"),
        CsvConfig(type="csv", columns=["a", ""], delimiter="\t"),
        *candidates(b"1,2"),
    ]
    for decoder in decoders:
        (tmp_path / "fieldgate.yaml").write_text(device_lines(port, decoder), encoding="utf-8")
        (device,) = load(tmp_path / "fieldgate.yaml", {}).devices
        assert (device.reader, device.decoder) == (port, decoder)


def test_a_frame_is_shown_on_one_line_of_printable_characters() -> None:
    assert printable("21 °C\t\u202e\x00".encode() + b"\xff") == "21 °C\\t\\u202e\\x00\\xff"

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.decoders.json import JsonConfig
from gateway.errors import ReaderError
from gateway.readers import Reader, build
from gateway.readers.command import CommandConfig, CommandPort
from tests.real_ends import DEADLINE_S, wait_until

RTL_433 = """
import json, sys, time
print("rtl_433 version 25.02", file=sys.stderr, flush=True)
for number in range(3):
    print(json.dumps({"model": "Nexus-TH", "id": 7, "temperature_C": 20.5 + number}), flush=True)
print("usb_claim_interface error -6", file=sys.stderr, flush=True)
sys.exit(2)
"""


def command(*words: str, folder: str | None = None) -> CommandConfig:
    return CommandConfig(type="command", command=list(words), folder=folder)


def shell(script: str) -> CommandConfig:
    return command("/bin/sh", "-c", script)


@contextmanager
def opened(config: CommandConfig) -> Iterator[CommandPort]:
    port = CommandPort(config)
    port.open()
    try:
        yield port
    finally:
        port.close()


def read_lines(port: CommandPort, number: int) -> list[bytes]:
    text = b""
    deadline_s = time.monotonic() + DEADLINE_S
    while text.count(b"\n") < number:
        assert time.monotonic() < deadline_s, text
        text += port.read()
    return text.splitlines()


def read_to_its_end(port: CommandPort | Reader) -> str:
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        try:
            port.read()
        except ReaderError as error:
            return str(error)
    raise AssertionError("the program's end is not noticed")


def is_alive(pid: int) -> bool:
    """A process that ended and was not waited for by its parent is dead too."""
    with suppress(FileNotFoundError, ProcessLookupError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False


def test_the_lines_of_a_program_become_measurements() -> None:
    config = command(sys.executable, "-c", RTL_433)
    reader = build(config, JsonConfig(type="json"), clock=lambda: 1_000)
    reader.open()
    fields: list[object] = []
    try:
        while len(fields) < 3:
            fields += [one.fields for one in reader.read()]
        assert read_to_its_end(reader) == (
            f"{sys.executable} ended with status 2: usb_claim_interface error -6"
        )
    finally:
        reader.close()
    assert fields == [
        {"model": "Nexus-TH", "id": 7, "temperature_C": 20.5 + number} for number in range(3)
    ]


def test_a_program_that_was_killed_is_said_so_and_can_be_started_again() -> None:
    with opened(shell("echo $$; kill -9 $$")) as port:
        for _ in range(2):
            assert len(read_lines(port, 1)) == 1
            assert read_to_its_end(port) == "/bin/sh was ended by SIGKILL"
            port.open()


def test_a_program_that_closes_its_output_has_ended_for_us() -> None:
    with opened(shell("echo; exec >&-; exec sleep 60")) as port:
        assert read_to_its_end(port) == "/bin/sh closed its output"


def test_closing_ends_the_program_and_all_that_it_started() -> None:
    script = "sleep 60 & trap '' TERM; (trap '' TERM; echo $!; while :; do sleep 0.1; done)"
    with opened(shell(script)) as port:
        (line,) = read_lines(port, 1)
        sleeper = int(line)
        assert is_alive(sleeper)
    wait_until(lambda: not is_alive(sleeper), "what the program started is gone")
    port.close()


def test_what_a_program_that_ended_left_behind_is_ended_before_the_next_start() -> None:
    with opened(shell("sleep 60 >&- 2>&- & echo $!")) as port:
        (line,) = read_lines(port, 1)
        read_to_its_end(port)
        assert is_alive(int(line))
        port.open()
        wait_until(lambda: not is_alive(int(line)), "what the first one started is gone")


def test_a_program_ends_with_us_even_if_we_are_killed() -> None:
    ours = f"""
import time
from gateway.readers.command import CommandConfig, CommandPort
port = CommandPort(CommandConfig(type="command", command={["/bin/sh", "-c", "echo $$; sleep 60"]}))
port.open()
text = b""
while b"\\n" not in text:
    text += port.read()
print(text.decode().strip(), flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", ours], stdout=subprocess.PIPE, text=True) as gone:
        try:
            assert gone.stdout is not None
            program = int(gone.stdout.readline())
            assert is_alive(program)
        finally:
            gone.kill()
    wait_until(lambda: not is_alive(program), "the program is gone")


def test_complaints_without_end_cost_nothing_and_the_last_one_is_the_reason() -> None:
    script = "for i in $(seq 20000); do echo complaint $i >&2; done; echo done; exit 3"
    with opened(shell(script)) as port:
        assert read_lines(port, 1) == [b"done"]
        assert read_to_its_end(port) == "/bin/sh ended with status 3: complaint 20000"


def test_a_program_that_closed_its_standard_error_is_still_read() -> None:
    with opened(shell("exec 2>&-; for i in 1 2 3; do echo $i; sleep 0.1; done")) as port:
        assert read_lines(port, 3) == [b"1", b"2", b"3"]


def test_a_program_that_says_nothing_leaves_the_reader_free_to_stop() -> None:
    with opened(command("sleep", "60")) as port:
        assert port.read() == b""


def test_a_program_that_prints_faster_than_we_read_waits_for_us() -> None:
    with opened(command("yes")) as port:
        for _ in range(20):
            assert 0 < len(port.read()) <= 65_536


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (
            command("fieldgate-no-such-program"),
            "there is no program fieldgate-no-such-program: is it installed, in a folder of PATH?",
        ),
        (command("./none"), "there is no program ./none: is it installed?"),
        (
            command("sh", folder="/nowhere/at/all"),
            "sh can't run in /nowhere/at/all: there is no such folder",
        ),
    ],
)
def test_a_program_that_cannot_be_started_is_named_with_the_remedy(
    config: CommandConfig, why: str
) -> None:
    with pytest.raises(ReaderError) as caught:
        CommandPort(config).open()
    assert str(caught.value) == why


def test_a_file_that_is_no_program_is_named_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "reader.sh"
    file.write_text("echo 1")
    with pytest.raises(ReaderError, match=r"may not be run: make it executable .*chmod \+x"):
        CommandPort(command(str(file))).open()
    file.chmod(0o755)
    with pytest.raises(ReaderError, match="can't be started: Exec format error"):
        CommandPort(command(str(file))).open()


def test_a_program_that_ends_at_once_and_says_nothing_was_never_there() -> None:
    with pytest.raises(ReaderError, match="sh ended with status 3: no stick"):
        CommandPort(command("sh", "-c", "echo no stick >&2; exit 3")).open()


def test_reading_before_opening_is_refused() -> None:
    with pytest.raises(ReaderError, match="sleep is not running"):
        CommandPort(command("sleep", "60")).read()


def test_a_program_runs_in_its_folder_with_nothing_to_read(tmp_path: Path) -> None:
    with opened(command("sh", "-c", "pwd; cat; echo end", folder=str(tmp_path))) as port:
        assert read_lines(port, 2) == [str(tmp_path.resolve()).encode(), b"end"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("rtl_433 -F json", ["rtl_433", "-F", "json"]),
        ("sh -c 'a | b'", ["sh", "-c", "a | b"]),
        (["rtl_433", "-F", "a b"], ["rtl_433", "-F", "a b"]),
    ],
)
def test_a_command_is_cut_into_words_as_a_shell_would(given: object, words: list[str]) -> None:
    config = CommandConfig.model_validate({"type": "command", "command": given})
    assert config.command == words


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("sh -c 'a", "can't be cut into words: no closing quotation"),
        ("", "at least 1 item"),
        ("'' x", "names no program"),
        (["a\0b"], "holds a NUL character"),
        (5, "valid list"),
    ],
)
def test_a_command_that_cannot_be_run_is_refused(given: object, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        CommandConfig.model_validate({"type": "command", "command": given})

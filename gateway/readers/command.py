"""A program that prints lines: `rtl_433 -F json` is the model."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.errors import ReaderError
from gateway.readers.reader import READ_TIMEOUT_S
from gateway.section import Section

CHUNK_BYTES = 65_536
"""Most bytes that one read takes; a program that prints faster than we read waits for us."""

GRACE_S = 2.0
"""From the request to end (SIGTERM) until a program and all that it started are killed."""

SETTLE_S = 1.0
"""A program that ends this soon and printed nothing was never started, for those who watch."""

KEPT_WORDS = 300
"""Characters of what a program complained of last, on its standard error."""

_GUARD = 'read -r _; kill -s KILL -- "-$1"'
"""Holds a pipe from us: when that ends and the guard still lives, we were killed."""


def _words(command: object) -> object:
    if not isinstance(command, str):
        return command
    try:
        return shlex.split(command)
    except ValueError as error:
        raise ValueError(f"can't be cut into words: {str(error).lower()}") from None


def _check_words(words: list[str]) -> list[str]:
    if not words[0]:
        raise ValueError("names no program")
    if any("\0" in word for word in words):
        raise ValueError("holds a NUL character")
    return words


class CommandConfig(Section):
    """`reader: {type: command, command: rtl_433 -F json}`"""

    type: Literal["command"]
    command: Annotated[
        list[Annotated[str, Field(max_length=4096)]],
        Field(min_length=1, max_length=256),
        AfterValidator(_check_words),
        BeforeValidator(_words, json_schema_input_type=str | list[str]),
    ] = Field(
        description="The program and its arguments, cut at blanks with a shell's quotes but with"
        " no shell behind it, or as a list.",
        examples=["rtl_433 -F json"],
    )
    folder: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        default=None, description="Where it runs; where Fieldgate was started, if not given."
    )


class CommandPort:
    """What a program prints, as a port: opening starts it, its end is like an unplugged device.

    It leads a process group of its own, and the whole group ends with it, with `close`, and (by a
    guard, a shell that waits on a pipe) when this process is killed. Its standard error is kept
    for the reason of its end, the last line of it; its standard input is empty.
    """

    def __init__(self, config: CommandConfig) -> None:
        self._words = config.command
        self._folder = config.folder
        self._program: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._output, self._complaints = -1, -1
        self._poll = select.poll()
        self._first = b""
        self._last_words = b""

    def open(self) -> None:
        self.close()
        try:
            program = subprocess.Popen(
                self._words,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise ReaderError(self._why_not_started(error)) from error
        self._program = program
        assert program.stdout is not None
        assert program.stderr is not None
        self._output, self._complaints = program.stdout.fileno(), program.stderr.fileno()
        self._last_words = b""
        self._poll = select.poll()
        for descriptor in (self._output, self._complaints):
            os.set_blocking(descriptor, False)
            self._poll.register(descriptor, select.POLLIN)
        self._guard = _guarded(program.pid)
        self._settle(program)

    def read(self, timeout_s: float = READ_TIMEOUT_S) -> bytes:
        """What was printed within `timeout_s`: the first bytes at once, whatever their number.

        After the program's end what it had printed is still given.
        """
        if self._program is None:
            raise ReaderError(f"{self._words[0]} is not running")
        first, self._first = self._first, b""
        return first or self._printed(self._program, timeout_s)

    def close(self) -> None:
        program, self._program = self._program, None
        guard, self._guard = self._guard, None
        if program is not None:
            _end_group(program)
        if guard is not None:
            with guard:  # closes its pipe, after which only a dead guard does nothing
                guard.kill()

    def _settle(self, program: subprocess.Popen[bytes]) -> None:
        settled_s = time.monotonic() + SETTLE_S
        self._first = b""
        try:
            while not self._first and time.monotonic() < settled_s:
                self._first = self._printed(program, READ_TIMEOUT_S)
        except ReaderError:
            self.close()
            raise

    def _printed(self, program: subprocess.Popen[bytes], timeout_s: float) -> bytes:
        ready = dict(self._poll.poll(timeout_s * 1000))
        if self._complaints in ready:
            self._hear_complaint()
        if self._output not in ready:
            return b""
        chunk = _taken(self._output)
        if chunk is None:
            raise ReaderError(self._why_ended(program))
        return chunk

    def _hear_complaint(self) -> None:
        words = _taken(self._complaints)
        if words is None:
            self._poll.unregister(self._complaints)
            return
        self._last_words = (self._last_words + words)[-4 * KEPT_WORDS :]

    def _why_not_started(self, error: OSError) -> str:
        name = self._words[0]
        if self._folder is not None and not Path(self._folder).is_dir():
            return f"{name} can't run in {self._folder}: there is no such folder"
        if isinstance(error, FileNotFoundError):
            where = "" if "/" in name else ", in a folder of PATH"
            return f"there is no program {name}: is it installed{where}?"
        if isinstance(error, PermissionError):
            return f"{name} may not be run: make it executable for this user (chmod +x)"
        return f"{name} can't be started: {error.strerror or error}"

    def _why_ended(self, program: subprocess.Popen[bytes]) -> str:
        while (words := _taken(self._complaints)) is not None and words:
            self._last_words = (self._last_words + words)[-4 * KEPT_WORDS :]
        try:
            status = program.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            how = "closed its output"
        else:
            how = (
                f"ended with status {status}" if status >= 0 else f"was ended by {_signal(status)}"
            )
        lines = self._last_words.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"{self._words[0]} {how}" + (f": {last[:KEPT_WORDS]}" if last else "")


def _guarded(group: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "guard", str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _taken(descriptor: int) -> bytes | None:
    """What is there to read; None at the end."""
    try:
        return os.read(descriptor, CHUNK_BYTES) or None
    except BlockingIOError:
        return b""


def _end_group(program: subprocess.Popen[bytes]) -> None:
    """Ask the program and all that it started to end, and kill what is left after GRACE_S."""
    deadline_s = time.monotonic() + GRACE_S
    _signal_group(program.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(GRACE_S)
    while _signal_group(program.pid, 0) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    _signal_group(program.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(GRACE_S)  # no longer: one that runs as somebody else may go on
    for pipe in (program.stdout, program.stderr):
        if pipe is not None:
            pipe.close()


def _signal_group(group: int, number: int) -> bool:
    """Whether somebody is left there."""
    try:
        os.killpg(group, number)
    except PermissionError:
        return True  # one of them runs as somebody else (sudo): that one is not ours to end
    except ProcessLookupError:
        return False
    return True


def _signal(status: int) -> str:
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"

"""Parts in processes of their own, and their way to the broker inside."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher

from tests.program import Program
from tests.real_ends import free_port, is_listening, program, wait_until

HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("right")


@contextlib.contextmanager
def part(file: Path, name: str) -> Iterator[Program]:
    started = Program(file, "--only", name)
    try:
        wait_until(lambda: "Fieldgate" in started.output or not started.is_running, "it greets")
        assert started.is_running, started.output
        yield started
    finally:
        started.stop()


def write_config(folder: Path, *keys: str) -> Path:
    file = folder / "fieldgate.yaml"
    file.write_text("\n".join([*keys, "web: {listen: 127.0.0.1:0}"]) + "\n")
    return file


def wait_until_ready(web: Program) -> None:
    with httpx.Client(base_url=web.page_url) as client:
        wait_until(
            lambda: client.get("/health/ready").status_code == 200, "the page has its broker"
        )


def self_signed(folder: Path) -> str:
    """A certificate that nobody signed, for another name than 127.0.0.1."""
    subprocess.run(
        [
            *(program("openssl"), "req", "-x509", "-nodes", "-newkey", "ec"),
            *("-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=plant.example"),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return "cert_file: cert.pem, key_file: key.pem"


def test_the_page_finds_the_broker_behind_its_certificate(tmp_path: Path) -> None:
    port, files = free_port(), self_signed(tmp_path)
    file = write_config(
        tmp_path, f"broker: {{listeners: ['mqtts://127.0.0.1:{port}'], tls: {{{files}}}}}"
    )
    with part(file, "broker"):
        wait_until(lambda: is_listening(port), "the broker listens")
        with part(file, "web") as web:
            wait_until_ready(web)
            assert "WARNING" not in web.output


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("listeners: ['mqtt://127.0.0.1:0']", "that has no port of its own"),
        (
            "listeners: ['mqtts://127.0.0.1:8883'], tls: {FILES, client_ca_file: cert.pem}",
            "that asks for a client's certificate",
        ),
        ("listeners: ['mqtt://127.0.0.1:1884']", "that wants a login"),
    ],
)
def test_a_way_that_can_not_be_gone_is_refused_with_a_remedy(
    keys: str, why: str, tmp_path: Path
) -> None:
    if "login" in why:
        (tmp_path / "users.yaml").write_text(f"users: {{ada: {{password: '{HASH}'}}}}\nrules: []\n")
    keys = keys.replace("FILES", self_signed(tmp_path))
    web = Program(write_config(tmp_path, f"broker: {{{keys}}}"), "--only", "web")
    assert web.wait() == 2
    assert why in web.output
    assert "broker.engine: external" in web.output


def test_where_anybody_may_watch_no_login_is_needed(tmp_path: Path) -> None:
    port = free_port()
    file = write_config(tmp_path, f"broker: {{listeners: ['mqtt://127.0.0.1:{port}']}}")
    users = tmp_path / "users.yaml"
    users.write_text(
        'users: {}\nrules: [{user: "*", allow: [publish, subscribe], topics: ["#"]}]\n'
    )
    users.chmod(0o600)
    with part(file, "broker"):
        wait_until(lambda: is_listening(port), "the broker listens")
        with part(file, "web") as web:
            wait_until_ready(web)

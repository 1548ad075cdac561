"""Logging in at the program's own page."""

import shutil
import stat
from pathlib import Path

import httpx

from broker.access import add_user
from tests.program import Program, running
from tests.real_ends import DEADLINE_S, mosquitto

LOGIN = {"user": "ada", "password": "correct horse"}


async def test_nodes_that_share_key_and_users_share_logins(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    (other / "data").mkdir(parents=True)
    add_user(one / "users.yaml", "ada", "correct horse", ["admin"])
    with mosquitto(tmp_path) as broker:
        config = f"broker: {{engine: external, url: '{broker.url}'}}\n"
        with running(one, config, "--only", "web") as first:
            key = one / "data" / "web.secret"
            assert stat.S_IMODE(key.stat().st_mode) == 0o600
            shutil.copy(key, other / "data")
            shutil.copy(one / "users.yaml", other)
            with running(other, config, "--only", "web") as second:
                async with httpx.AsyncClient(timeout=DEADLINE_S) as browser:
                    await browser.post(f"{first.page_url}/api/login", json=LOGIN)
                    for node in (first, second):
                        assert (await browser.get(f"{node.page_url}/api/me")).json()[
                            "user"
                        ] == "ada"
        with running(one, config, "--only", "web") as again:
            async with httpx.AsyncClient(cookies=browser.cookies) as returning:
                assert (await returning.get(f"{again.page_url}/api/me")).json()["user"] == "ada"


def test_a_key_of_no_use_is_said_and_what_to_do(tmp_path: Path) -> None:
    add_user(tmp_path / "users.yaml", "ada", "correct horse", ["admin"])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "web.secret").write_text("short\n")
    file = tmp_path / "fieldgate.yaml"
    file.write_text("web: {listen: 127.0.0.1:0}\nbroker: {listeners: [mqtt://127.0.0.1:0]}\n")
    program = Program(file)
    assert program.wait() == 2
    assert "web.secret" in program.output
    assert "Delete the file" in program.output
    assert "Traceback" not in program.output


def test_without_users_no_key_is_made(tmp_path: Path) -> None:
    with running(tmp_path):
        assert not (tmp_path / "data" / "web.secret").exists()

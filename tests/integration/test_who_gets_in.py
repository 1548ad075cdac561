"""Who gets in, at the program's own doors."""

import re
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.program import ROOT, Program, running
from tests.real_ends import mosquitto


def test_a_page_of_another_site_gets_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as fieldgate:
        url = f"{fieldgate.page_url}/api/topics"
        assert httpx.get(url).status_code == 200
        assert httpx.get(url, headers={"Origin": "https://evil.example"}).status_code == 403
        rebound = httpx.get(url, headers={"Host": "evil.example"})
        assert rebound.status_code == 403
        assert "Host" in rebound.json()["error"]["message"]
        proxied = httpx.get(url, headers={"X-Forwarded-For": "203.0.113.5"})
        assert proxied.status_code == 401
        assert "trusted_proxies" in proxied.json()["error"]["message"]
        form = httpx.post(f"{fieldgate.page_url}/api/publish", data={"topic": "a"})
        assert form.status_code == 400


async def test_an_open_port_gets_an_admin_whose_password_is_shown_once(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        config = f"broker: {{engine: external, url: '{broker.url}'}}\nweb: {{listen: 0.0.0.0:0}}\n"
        with running(tmp_path, config) as fieldgate:
            found = re.search(r"password +(\S+)", fieldgate.output)
            assert found, fieldgate.output
            admin = ("admin", found[1])
            users = tmp_path / "users.yaml"
            assert stat.S_IMODE(users.stat().st_mode) == 0o600
            url = f"http://127.0.0.1:{fieldgate.page_url.rpartition(':')[2]}"

            async with httpx.AsyncClient(base_url=url) as client:
                assert (await client.get("/")).status_code == 200  # the page, where people log in
                assert (await client.get("/api/topics")).status_code == 401
                wrong = await client.get("/api/topics", auth=("admin", "wrong"))
                assert wrong.status_code == 401
                assert (await client.get("/api/topics", auth=admin)).status_code == 200
                assert (await client.get("/health/live")).status_code == 200
            with pytest.raises(InvalidStatus):
                await connect(url.replace("http", "ws") + "/api/ws")

            socket_url = f"ws://admin:{found[1]}@{url.removeprefix('http://')}/api/ws"
            async with connect(socket_url) as browser:
                rule = "  - {user: nobody, deny: [publish], topics: [a]}\n"
                users.write_text(users.read_text().replace("rules:\n", f"rules:\n{rule}"))
                with pytest.raises(ConnectionClosed) as closed:
                    await browser.recv()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 4001

        with running(tmp_path, config) as again:  # the users are there: no new password
            assert "password" not in again.output


def test_amqtt_stays_at_home_and_says_why(tmp_path: Path) -> None:
    for config in (
        "broker: {engine: amqtt, listeners: [mqtt://0.0.0.0:0]}\nweb: {listen: 127.0.0.1:0}\n",
        "broker: {engine: amqtt, listeners: [mqtt://127.0.0.1:0]}\nweb: {listen: 0.0.0.0:0}\n",
    ):
        file = tmp_path / "fieldgate.yaml"
        file.write_text(config)
        fieldgate = Program(file)
        assert fieldgate.wait() == 2
        assert "engine: external" in fieldgate.output
        assert "Traceback" not in fieldgate.output
        assert not (tmp_path / "users.yaml").exists()
        checked = subprocess.run(
            [sys.executable, "-m", "gateway", "check", "-c", str(file)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert checked.returncode == 2
        assert "0.0.0.0:0" in checked.stderr


def test_a_users_file_that_is_named_but_missing_is_no_open_door(tmp_path: Path) -> None:
    file = tmp_path / "fieldgate.yaml"
    file.write_text("users_file: nobody.yaml\n")
    fieldgate = Program(file)
    assert fieldgate.wait() == 2
    assert "users_file" in fieldgate.output
    assert "No such file" in fieldgate.output

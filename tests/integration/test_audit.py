"""What is published from the web is told, with the whole program."""

import json
from pathlib import Path
from typing import Any

import httpx

from broker.access import add_user
from tests.browser_session import browsing
from tests.program import running
from tests.real_ends import wait_until


async def test_the_program_tells_it_to_whoever_may_listen_and_to_its_log(tmp_path: Path) -> None:
    add_user(tmp_path / "users.yaml", "ada", "correct horse", ["admin"])
    login = {"user": "ada", "password": "correct horse"}
    with running(tmp_path) as fieldgate:
        async with httpx.AsyncClient(base_url=fieldgate.page_url) as http:
            await http.post("/api/login", json=login)
            cookie = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
            async with browsing(
                fieldgate.page_url, "fieldgate/bridge/event", headers={"Cookie": cookie}
            ) as browser:
                await browser.until(lambda: browser.answers, "subscribed")
                published = await http.post("/api/publish", json={"topic": "lamp/set"})
                assert published.status_code == 202
                await browser.send(op="publish", topic="$SYS/x", payload="secret")

                def events() -> list[dict[str, Any]]:
                    payloads = (json.loads(each["payload"]) for each in browser.messages)
                    return [each for each in payloads if each["type"] == "web_publish"]

                await browser.until(lambda: len(events()) == 2, "both are told")
                by = {"user": "ada", "address": "127.0.0.1"}
                for each, topic, outcome in zip(
                    events(), ("lamp/set", "$SYS/x"), ("accepted", "bad_topic"), strict=True
                ):
                    assert each | by | {"topic": topic, "outcome": outcome, "count": 1} == each
        lines = (
            "Web publish by user 'ada' from 127.0.0.1 to 'lamp/set': accepted",
            "Web publish by user 'ada' from 127.0.0.1 to '$SYS/x': bad_topic",
        )
        wait_until(lambda: all(line in fieldgate.output for line in lines), "the log has both")
        assert "secret" not in fieldgate.output

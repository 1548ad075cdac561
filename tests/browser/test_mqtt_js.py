"""MQTT.js in a browser, at `/mqtt` of the page's own port."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from playwright.async_api import Page

from tests.program import ROOT, Program, running

MQTT_JS = ROOT / "webui" / "ui" / "node_modules" / "mqtt" / "dist" / "mqtt.min.js"
HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("right")
USERS = f"""\
users: {{ada: {{password: "{HASH}"}}}}
rules: [{{user: ada, allow: [publish, subscribe], topics: ["a/#"]}}]
"""

# timerVariant: its own timers are a worker made of a blob, which the page's policy forbids.
TALK = """
async ([version, qos]) => {
  const url = location.origin.replace("http", "ws") + "/mqtt";
  const client = mqtt.connect(url, {
    protocolVersion: version,
    protocolId: version === 3 ? "MQIsdp" : "MQTT",
    reconnectPeriod: 0,
    timerVariant: "native",
  });
  const heard = [];
  const enough = new Promise((resolve) => {
    client.on("message", (topic, payload, packet) => {
      heard.push([topic, payload.length, packet.qos, packet.retain]);
      if (heard.length === 3) resolve();
    });
  });
  await new Promise((resolve, reject) => { client.on("connect", resolve).on("error", reject); });
  await client.publishAsync("a/kept", "x".repeat(10), { qos: 1, retain: true });
  await client.subscribeAsync("a/#", { qos });
  await client.publishAsync("a/small", "", { qos });
  await client.publishAsync("a/large", "x".repeat(300000), { qos });
  await enough;
  await client.endAsync();
  return heard;
}
"""

LOG_IN = """
async ([version, password]) => {
  const url = location.origin.replace("http", "ws") + "/mqtt";
  const client = mqtt.connect(url, {
    protocolVersion: version,
    reconnectPeriod: 0,
    timerVariant: "native",
    username: "ada",
    password,
  });
  const code = await new Promise((resolve) => {
    client.on("connect", (packet) => resolve(packet.reasonCode ?? packet.returnCode));
    client.on("error", (error) => resolve(error.code));
  });
  let refused = null;
  if (code === 0) {
    [refused] = await client.subscribeAsync("b", { qos: 1 })
      .then((grants) => grants.map((grant) => grant.qos), (error) => error.packet.granted);
  }
  await client.endAsync(true);
  return [code, refused];
}
"""


async def with_mqtt_js(page: Page, fieldgate: Program) -> None:
    """A page of our origin that has MQTT.js, whose script the origin seems to serve."""
    script = f"{fieldgate.page_url}/mqtt.js"
    await page.route(script, lambda route: route.fulfill(path=MQTT_JS))
    await page.goto(f"{fieldgate.page_url}/")
    await page.add_script_tag(url=script)


async def test_it_gets_what_it_publishes_in_every_version_at_every_qos(
    page: Page, tmp_path: Path
) -> None:
    with running(tmp_path) as fieldgate:
        await with_mqtt_js(page, fieldgate)
        for version, qos in product((3, 4, 5), (0, 1, 2)):
            heard: Any = await page.evaluate(TALK, [version, qos])
            assert heard == [
                ["a/kept", 10, min(1, qos), True],
                ["a/small", 0, qos, False],
                ["a/large", 300_000, qos, False],
            ], (version, qos)


async def test_it_logs_in_by_its_connect_and_is_told_what_it_may_not(
    page: Page, tmp_path: Path
) -> None:
    (tmp_path / "users.yaml").write_text(USERS)
    with running(tmp_path) as fieldgate:
        await with_mqtt_js(page, fieldgate)
        assert await page.evaluate(LOG_IN, [4, "right"]) == [0, 0x80]
        assert await page.evaluate(LOG_IN, [5, "right"]) == [0, 0x87]
        assert await page.evaluate(LOG_IN, [4, "wrong"]) == [4, None]
        assert await page.evaluate(LOG_IN, [5, "wrong"]) == [0x86, None]

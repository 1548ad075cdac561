from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.site import host_refusal, is_host, origin_refusal


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8088", "[::1]", "[::1]:8088"]
)
def test_the_names_of_this_machine_are_served_without_a_login(host: str) -> None:
    assert host_refusal(host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8088",
        "localhost.evil.example",
        "localhost.",
        "127.0.0.2",
        "127.0.0.1.nip.io",
        "0.0.0.0:8088",
        "[::2]",
        "::1",
        "localhost:8088:1",
        "localhost@evil",
        "",
        None,
    ],
)
def test_any_other_name_may_be_rebound_and_is_not(host: str | None) -> None:
    assert "DNS rebinding" in (host_refusal(host) or "")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8088", None),
        ("localhost:8088", "http://localhost:8088"),
        ("LocalHost:8088", "https://LOCALHOST:8088"),  # paho 1.6 always says https
        ("localhost", "http://localhost"),
        ("localhost", "https://localhost"),
        ("localhost:80", "http://localhost"),
        ("localhost", "http://localhost:80"),
        ("localhost:443", "https://localhost"),
        ("localhost:80", "https://localhost:80"),
        ("[::1]:8088", "http://[::1]:8088"),
        ("gate.example", "https://gate.example"),
        ("gate.example", "https://panel.example"),
        ("gate.example", "https://PANEL.example:443"),
        ("gate.example", "http://10.0.0.1:3000"),
    ],
)
def test_a_page_of_the_same_host_and_port_or_of_a_listed_origin_may_ask(
    host: str, origin: str | None
) -> None:
    assert origin_refusal(host, origin, ["https://panel.example", "http://10.0.0.1:3000"]) is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8088", "http://localhost:8089"),
        ("localhost:8088", "http://localhost"),
        ("localhost:80", "https://localhost"),
        ("localhost", "http://localhost:8088"),
        ("localhost:8088", "http://127.0.0.1:8088"),
        ("localhost:8088", "http://localhost:8088.evil.example"),
        ("localhost:8088", "http://evil.example/localhost:8088"),
        ("localhost:8088", "http://evil@localhost:8088"),
        ("localhost:8088", "localhost:8088"),
        ("localhost:8088", "null"),
        ("localhost:8088", ""),
        ("", "null"),
        ("null", "null"),
        (None, "null"),
        ("panel.example:1", "file://"),
        ("gate.example", "https://panel.example:8443"),
        ("gate.example", "app://gate.example"),
    ],
)
def test_a_page_of_another_site_may_not(host: str | None, origin: str) -> None:
    refusal = origin_refusal(host, origin, ["https://panel.example", "null"])
    assert "web.origins" in (refusal or "")


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_gets_an_answer(host: str, origin: str) -> None:
    if origin_refusal(host, origin) is None:
        assert is_host(host)
    if host_refusal(host) is None:
        assert is_host(host)

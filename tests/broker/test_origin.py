import pytest

from broker.origin import host_refusal, origin_refusal


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8088", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8088"]
)
def test_an_open_port_answers_to_this_machines_own_names(host: str) -> None:
    assert host_refusal(host) is None


@pytest.mark.parametrize(
    "host",
    [None, "", "rebound.example", "localhost.rebound.example:80", "127.0.0.1.example", "::1", ":1",
     "127.0.0.2", "[::2]:80", "user@localhost", "localhost:80:80"],
)  # fmt: skip
def test_an_open_port_answers_to_no_other_name(host: str | None) -> None:
    assert host_refusal(host) is not None


@pytest.mark.parametrize(
    "origin", [None, "http://nas:8088", "https://NAS:8088", "https://a.example"]
)
def test_no_page_our_own_page_and_a_named_one_are_let_in(origin: str | None) -> None:
    assert origin_refusal("nas:8088", origin, ["https://a.example"]) is None


@pytest.mark.parametrize(
    "origin", ["null", "", "http://nas", "http://nas:80", "http://b.example", "nas:8088", "http://"]
)
def test_a_page_of_another_site_is_not(origin: str) -> None:
    assert origin_refusal("nas:8088", origin, ["https://a.example"]) is not None
    assert origin_refusal(None, origin, []) is not None
    assert origin_refusal("", origin, [""]) is not None

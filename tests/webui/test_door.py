from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.door import (
    WRONG,
    Bearer,
    Connecting,
    Credentials,
    Door,
    Let,
    Refusal,
    Request,
    Verdict,
    client_address,
    judge,
    networks,
)

PEER = "192.0.2.7"
PROXY = "10.0.0.1"
OPEN = Door(anybody=True, origins=("https://panel.example",), trusted_proxies=networks([PROXY]))
USERS = Door(anybody=False, origins=("https://panel.example",), trusted_proxies=networks([PROXY]))


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


LOGIN = {"authorization": basic("ada:right")}
JSON = {"content-type": "application/json"}
ADA = Credentials("ada", b"right")


def request(
    headers: Mapping[str, str | tuple[str, ...] | None] | None = None,
    *,
    method: str = "GET",
    path: str = "/api/topics",
    peer: str | None = PEER,
) -> Request:
    """A request with a Host of this machine, unless `headers` say otherwise."""
    merged = {"host": "127.0.0.1:8088", **(headers or {})}
    return Request(
        method,
        path,
        {
            name: (value,) if isinstance(value, str) else value
            for name, value in merged.items()
            if value is not None
        },
        peer,
    )


def outcome(verdict: Verdict) -> Verdict | int:
    return verdict.status if isinstance(verdict, Refusal) else verdict


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request(), Let.ANYBODY),
        (request(LOGIN), Let.ANYBODY),
        (request({"host": "localhost"}), Let.ANYBODY),
        (request({"host": "[::1]:1"}), Let.ANYBODY),
        (request({"host": "evil.example"}), 403),
        (request({"host": "192.0.2.1:8088"}), 403),
        (request({"host": "evil.example", **LOGIN}), 403),
        (request({"host": "evil.example"}, path="/health/live"), 403),
        (request(path="/health/live"), Let.UNASKED),
        (request({"origin": "http://127.0.0.1:8088"}), Let.ANYBODY),
        (request({"origin": "https://127.0.0.1:8088"}), Let.ANYBODY),
        (request({"origin": "https://panel.example"}), Let.ANYBODY),
        (request({"origin": "https://evil.example"}), 403),
        (request({"origin": "null"}), 403),
        (request({"x-forwarded-for": "198.51.100.1"}), 401),
        (request({"forwarded": "for=198.51.100.1"}), 401),
        (request({"x-real-ip": "198.51.100.1"}), 401),
        (request({"x-forwarded-for": ""}), 401),
        (request({"x-forwarded-for": "127.0.0.1", **LOGIN}), 401),  # no users: none is valid
        (request({"x-forwarded-for": "127.0.0.1", "origin": "https://evil.example"}), 401),
        (request({"x-forwarded-for": "198.51.100.1"}, peer=None), 401),
        (request({"x-forwarded-for": "198.51.100.1"}, peer=PROXY), Let.ANYBODY),
        (request({"x-forwarded-for": "198.51.100.1"}, peer=f"::ffff:{PROXY}"), Let.ANYBODY),
        (request({"x-forwarded-host": "gate.example"}), Let.ANYBODY),
    ],
)
def test_without_users_anybody_is_let_in_who_comes_straight_from_this_machine(
    asked: Request, expected: Let | int
) -> None:
    assert outcome(judge(asked, OPEN)) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request(), 401),
        (request(LOGIN), ADA),
        (request({"authorization": basic("ada:a:b")}), Credentials("ada", b"a:b")),
        (request({"authorization": basic("zoë:ü")}), Credentials("zoë", "ü".encode())),
        (request({"authorization": basic(":")}), Credentials("", b"")),
        (request({"authorization": basic("ada").replace("Basic", "bASIC")}), 401),
        (request({"authorization": "Basic"}), 401),
        (request({"authorization": "Basic ü"}), 401),
        (request({"authorization": "Basic YTpi*"}), 401),
        (request({"authorization": "Basic " + base64.b64encode(b"\xff:a").decode()}), 401),
        (request({"authorization": "Bearer abc"}), Bearer("abc")),
        (request({"authorization": "bEARER  abc"}), Bearer("abc")),
        (request({"authorization": "Bearer"}), Bearer("")),
        (request({"authorization": "Token abc"}), 401),
        (request({"authorization": (basic("a:b"), basic("c:d"))}), 400),
        (request({"host": "gate.example", **LOGIN}), ADA),
        (request({"host": "gate.example"}), 401),
        (request({"origin": "https://evil.example", **LOGIN}), 403),
        (request({"origin": "https://panel.example", **LOGIN}), ADA),
        (request({"x-forwarded-for": "198.51.100.1", **LOGIN}), ADA),
        (request({"x-forwarded-for": "198.51.100.1"}), 401),
        (request({"x-forwarded-for": "198.51.100.1"}, path="/health/ready"), Let.UNASKED),
        (request({"host": "10.1.2.3"}, path="/health/live"), Let.UNASKED),
        (request(path="/health/"), 401),
        (request(path="/health"), 401),
        (request(path="/health/../api/topics"), 401),
        (request(path="/health/live/x"), 401),
        (request(path="/healthy"), 401),
        (request(path="/metrics"), 401),
        (request(path="/"), Let.UNASKED),
        (request(path="/", method="HEAD"), Let.UNASKED),
        (request(path="/", method="DELETE"), 400),
        (request(JSON, path="/", method="DELETE"), 401),
        (request(path="/index.html"), Let.UNASKED),
        (request(path="/assets/index-a1.js"), Let.UNASKED),
        (request({"x-forwarded-for": "198.51.100.1"}, path="/"), Let.UNASKED),
        (request({"host": "gate.example"}, path="/assets/index-a1.js"), Let.UNASKED),
        (request({"origin": "https://evil.example"}, path="/"), 403),
        (request(path="/assets/"), 401),
        (request(path="/assets/../api/topics"), 401),
        (request(path="//"), 401),
        (request(path="/page"), 401),
        (request(JSON, path="/api/login", method="POST"), Let.UNASKED),
        (request({**JSON, **LOGIN}, path="/api/login", method="POST"), Let.UNASKED),
        (request({**JSON, "host": "a.example"}, path="/api/login", method="POST"), Let.UNASKED),
        (request({**JSON, "x-real-ip": "1.1.1.1"}, path="/api/login", method="POST"), Let.UNASKED),
        (request(path="/api/login", method="POST"), 400),
        (request({**JSON, "origin": "null"}, path="/api/login", method="POST"), 403),
        (request(JSON, path="/api/logout", method="POST"), 401),
        (request(path="/api/me"), 401),
    ],
)
def test_with_users_all_but_health_and_the_page_needs_a_login(
    asked: Request, expected: Verdict | int
) -> None:
    assert outcome(judge(asked, USERS)) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request(), Let.LOGGED_IN),
        (request({"host": "gate.example"}), Let.LOGGED_IN),
        (request({"x-forwarded-for": "198.51.100.1"}), Let.LOGGED_IN),
        (request(LOGIN), Let.LOGGED_IN),
        (request({"authorization": "Digest a=b"}), Let.LOGGED_IN),
        (request({"origin": "https://evil.example"}), 403),
        (request(method="POST"), 400),
        (request(path="/"), Let.UNASKED),
    ],
)
def test_a_good_cookie_lets_in_but_no_page_of_another_site(
    asked: Request, expected: Let | int
) -> None:
    assert outcome(judge(asked, USERS, logged_in=True)) == expected


def test_a_cookie_says_nothing_where_anybody_is_let_in() -> None:
    assert judge(request(), OPEN, logged_in=True) is Let.ANYBODY
    proxied = request({"x-forwarded-for": "198.51.100.1"})
    assert outcome(judge(proxied, OPEN, logged_in=True)) == 401


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request(), Let.ANONYMOUS),
        (request({"host": "gate.example"}), 401),  # may be rebound, and may log in
        (request({"x-forwarded-for": "198.51.100.1"}), 401),
        (request({"x-forwarded-for": "198.51.100.1"}, peer=PROXY), Let.ANONYMOUS),
        (request(LOGIN), ADA),
        (request({"authorization": "Bearer abc"}), Bearer("abc")),
        (request({"authorization": "bEARER  abc"}), Bearer("abc")),
        (request({"authorization": "Bearer"}), Bearer("")),
        (request({"authorization": "Token abc"}), 401),
        (request({"origin": "null"}), 403),
    ],
)
def test_a_rule_for_everybody_lets_the_anonymous_in(
    asked: Request, expected: Verdict | int
) -> None:
    assert outcome(judge(asked, USERS, starred=True)) == expected


def test_nobody_is_anonymous_where_the_config_says_so() -> None:
    door = Door(anybody=False, anonymous=False)
    assert outcome(judge(request(), door, starred=True)) == 401
    assert judge(request(LOGIN), door, starred=True) == ADA


@pytest.mark.parametrize("door", [OPEN, USERS])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": None},
        {"host": ("localhost", "localhost")},
        {"host": ""},
        {"host": "a b"},
        {"host": "localhost:x"},
        {"host": "localhost,evil.example"},
        {"host": "http://localhost"},
        {"origin": ("http://127.0.0.1:8088", "http://127.0.0.1:8088")},
    ],
)
def test_a_host_must_be_there_once_and_be_one(
    door: Door, headers: dict[str, str | tuple[str, ...] | None]
) -> None:
    assert outcome(judge(request({**LOGIN, **headers}), door)) == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
@pytest.mark.parametrize(
    ("content_type", "allowed"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        (None, False),
        ("", False),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        ("application/jsonx", False),
        ("text/plain; application/json", False),
        (("application/json", "text/plain"), False),
    ],
)
def test_what_writes_must_be_json(
    method: str, content_type: str | tuple[str, ...] | None, allowed: bool
) -> None:
    asked = request({"content-type": content_type}, method=method)
    assert outcome(judge(asked, OPEN)) == (Let.ANYBODY if allowed else 400)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_reads_needs_no_content_type(method: str) -> None:
    assert judge(request(method=method), OPEN) is Let.ANYBODY


@pytest.mark.parametrize(
    ("asked", "door", "words"),
    [
        (request({"x-real-ip": "1.1.1.1"}), OPEN, f"({PEER}) that is not trusted: put its address"),
        (request({"x-real-ip": "1.1.1.1"}), USERS, "into web.trusted_proxies"),
        (request({"origin": "http://evil.example"}), OPEN, "'http://evil.example' is another site"),
        (request({"origin": "http://evil.example"}), OPEN, "name it in web.origins"),
        (request({"host": "evil.example"}), OPEN, "not 'evil.example'"),
        (request({"host": None}), OPEN, "Host: 127.0.0.1:8088"),
        (request(method="POST"), OPEN, "Content-Type: application/json"),
        (request(), USERS, "Log in"),
    ],
)
def test_a_refusal_says_what_to_do(asked: Request, door: Door, words: str) -> None:
    verdict = judge(asked, door)
    assert isinstance(verdict, Refusal)
    assert words in verdict.message


def test_a_browser_is_asked_to_log_in_only_where_there_are_users() -> None:
    proxied = request({"x-real-ip": "1.1.1.1"})
    for asked, door, challenge in [
        (request(), USERS, True),
        (proxied, USERS, True),
        (proxied, OPEN, False),
    ]:
        verdict = judge(asked, door)
        assert isinstance(verdict, Refusal)
        assert verdict.challenge is challenge
    assert WRONG.challenge


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/gate/health/live", Let.UNASKED), ("/gate/api/topics", 401), ("/gatehealth/live", 401)],
)
def test_paths_are_judged_without_the_base_path(path: str, expected: Let | int) -> None:
    door = Door(anybody=False, base_path="/gate")
    assert outcome(judge(request(path=path), door)) == expected


@pytest.mark.parametrize(
    ("peer", "hops", "address"),
    [
        (PEER, "198.51.100.1", PEER),
        (PROXY, "198.51.100.1", "198.51.100.1"),
        (PROXY, "127.0.0.1, 198.51.100.1", "198.51.100.1"),
        (PROXY, "198.51.100.1, 10.0.0.9", "198.51.100.1"),
        (PROXY, "198.51.100.1:4711", "198.51.100.1"),
        (PROXY, "[2001:db8::1]:4711", "2001:db8::1"),
        (PROXY, "2001:db8::1", "2001:db8::1"),
        (PROXY, "198.51.100.1, junk, 10.0.0.9", "10.0.0.9"),
        (PROXY, "", PROXY),
        (PROXY, "10.0.0.8, 10.0.0.9", "10.0.0.8"),
        (None, "198.51.100.1", None),
    ],
)
def test_the_client_is_the_last_address_that_no_proxy_of_ours_vouches_for(
    peer: str | None, hops: str, address: str | None
) -> None:
    door = Door(anybody=False, trusted_proxies=networks(["10.0.0.0/24"]))
    assert client_address(request({"x-forwarded-for": hops}, peer=peer), door) == address


names = st.sampled_from(
    [b"host", b"origin", b"authorization", b"content-type", b"forwarded", b"x-forwarded-for", b"a"]
)
values = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"Basic YWRhOnJpZ2h0", b"Basic ", b"Basic \xff", b" ", b""]),
    st.sampled_from(
        b"localhost [::1]:8088 http://localhost null application/json [:: http://[ [1:2]x".split()
    ),
)


@given(
    headers=st.lists(st.tuples(names, values), max_size=8),
    method=st.sampled_from(["GET", "POST", "PROPFIND"]),
    path=st.text(max_size=20).map(lambda text: f"/{text}"),
    peer=st.one_of(
        st.none(), st.just((PEER, 1)), st.just((PROXY, 1)), st.tuples(st.text(), st.just(1))
    ),
    starred=st.booleans(),
)
def test_any_headers_get_a_documented_verdict(
    headers: list[tuple[bytes, bytes]],
    method: str,
    path: str,
    peer: tuple[str, int] | None,
    starred: bool,
) -> None:
    asked = Request.of({"method": method, "path": path, "headers": headers, "client": peer})
    hosts = [value.strip(b" \t").lower() for name, value in headers if name == b"host"]
    for door in (OPEN, USERS):
        verdict = judge(asked, door, starred=starred)
        client_address(asked, door)
        if isinstance(verdict, Refusal):
            assert verdict.status in (400, 401, 403)
        elif isinstance(verdict, Let) and verdict is not Let.UNASKED:
            (host,) = hosts
            assert host.startswith((b"localhost", b"127.0.0.1", b"[::1]"))


FORWARDED = {"x-forwarded-for": "192.0.2.1"}
ELSEWHERE = {"host": "gateway.example:8088"}


@pytest.mark.parametrize(
    ("door", "headers", "wanted"),
    [
        (OPEN, {}, Connecting(must_log_in=False)),
        (OPEN, ELSEWHERE, 403),
        (OPEN, FORWARDED, 401),
        (OPEN, {"origin": "https://elsewhere.example"}, 403),
        (USERS, {}, Connecting(must_log_in=False)),
        (USERS, LOGIN, Connecting(must_log_in=False)),
        (USERS, ELSEWHERE, Connecting(must_log_in=True)),
        (USERS, FORWARDED, Connecting(must_log_in=True)),
        (USERS, FORWARDED | LOGIN, Connecting(must_log_in=True)),
        (USERS, {"origin": "https://elsewhere.example"}, 403),
        (USERS, {"host": None}, 400),
    ],
)
def test_mqtt_logs_in_by_its_connect_and_must_where_anonymity_is_in_doubt(
    door: Door, headers: dict[str, str | None], wanted: Verdict | int
) -> None:
    assert outcome(judge(request(headers, path="/mqtt"), door)) == wanted

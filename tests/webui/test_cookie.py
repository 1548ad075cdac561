from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

from webui.cookie import MAX_AGE_S, RENEWED_AFTER_S, Login, LoginCookie, new_login

KEY = b"a key that is long enough for tests"
NOW = 1_800_000_000.0
ADA = new_login("ada", "f1", NOW)


def morsels(response: Response) -> list[tuple[str, str, str]]:
    """Name, value and the rest of each Set-Cookie header."""
    found = []
    for header in response.headers.getlist("set-cookie"):
        pair, _, rest = header.partition("; ")
        name, _, value = pair.partition("=")
        found.append((name, value.strip('"'), rest))
    return found


def cookie_of(cookie: LoginCookie, login: Login = ADA, *, secure: bool = False) -> str:
    """The Cookie header that a browser would send back."""
    response = Response()
    cookie.put(response, login, secure=secure)
    ((name, value, _),) = morsels(response)
    return f"{name}={value}"


@pytest.mark.parametrize("secure", [False, True])
def test_what_is_put_into_a_cookie_is_read_from_it(secure: bool) -> None:
    cookie = LoginCookie(KEY)
    header = cookie_of(cookie, secure=secure)
    assert cookie.read(header, NOW, secure=secure) == ADA
    assert cookie.read(f"a=b; {header}; c=d", NOW, secure=secure) == ADA
    assert cookie.read(header, NOW, secure=not secure) is None


def test_nodes_with_the_same_key_share_logins_and_others_do_not() -> None:
    header = cookie_of(LoginCookie(KEY))
    assert LoginCookie(KEY).read(header, NOW, secure=False) == ADA
    other = LoginCookie(b"another key, as long as the first one")
    assert other.read(header, NOW, secure=False) is None
    name = other.name(secure=False)
    assert name != LoginCookie(KEY).name(secure=False)
    assert other.read(f"{name}={header.partition('=')[2]}", NOW, secure=False) is None


def test_scripts_and_other_sites_do_not_get_it() -> None:
    response = Response()
    LoginCookie(KEY).put(response, ADA, secure=False)
    ((name, _, rest),) = morsels(response)
    assert name.startswith("fieldgate-")
    assert rest == f"HttpOnly; Max-Age={MAX_AGE_S}; Path=/; SameSite=strict"


@pytest.mark.parametrize(
    ("base_path", "prefix", "path"),
    [("", "__Host-fieldgate-", "/"), ("/iot/field", "__Secure-fieldgate-", "/iot/field")],
)
def test_under_tls_only_tls_may_set_it(base_path: str, prefix: str, path: str) -> None:
    response = Response()
    LoginCookie(KEY, base_path).put(response, ADA, secure=True)
    ((name, _, rest),) = morsels(response)
    assert name.startswith(prefix)
    assert rest == f"HttpOnly; Max-Age={MAX_AGE_S}; Path={path}; SameSite=strict; Secure"


def test_it_is_good_until_it_is_too_old() -> None:
    cookie = LoginCookie(KEY)
    header = cookie_of(cookie)
    assert ADA.ends_s == NOW + MAX_AGE_S
    assert cookie.read(header, ADA.ends_s - 0.1, secure=False) == ADA
    assert cookie.read(header, ADA.ends_s, secure=False) is None


def test_it_is_renewed_once_a_day_and_stays_the_same_login() -> None:
    cookie, young, old = LoginCookie(KEY), Response(), Response()
    cookie.renew(young, ADA, NOW + RENEWED_AFTER_S - 1, secure=False)
    assert morsels(young) == []
    later = NOW + RENEWED_AFTER_S
    cookie.renew(old, ADA, later, secure=False)
    ((name, value, _),) = morsels(old)
    renewed = cookie.read(f"{name}={value}", later, secure=False)
    assert renewed == Login("ada", int(later), "f1", ADA.id)


def test_it_is_cleared_where_it_was_put() -> None:
    response = Response()
    LoginCookie(KEY, "/gate").clear(response, secure=True)
    ((name, value, rest),) = morsels(response)
    assert name == LoginCookie(KEY, "/gate").name(secure=True)
    assert value == ""
    assert "Max-Age=0; Path=/gate" in rest


def test_two_logins_of_one_user_are_two() -> None:
    assert new_login("ada", "f1", NOW).id != ADA.id


@given(user=st.text(max_size=128))
def test_any_user_name_comes_back(user: str) -> None:
    cookie = LoginCookie(KEY)
    login = new_login(user, "f", NOW)
    assert cookie.read(cookie_of(cookie, login), NOW, secure=False) == login


@given(data=st.data())
def test_a_cookie_of_which_a_character_differs_is_none(data: st.DataObject) -> None:
    cookie = LoginCookie(KEY)
    header = cookie_of(cookie)
    start = header.index("=") + 1
    place = data.draw(st.integers(start, len(header) - 1))
    other = data.draw(st.characters(codec="latin-1"))
    read = cookie.read(header[:place] + other + header[place + 1 :], NOW, secure=False)
    # The last character of base64 has bits to spare, so it may be another and mean the same.
    assert read == (ADA if other == header[place] or (read and place == len(header) - 1) else None)


@given(st.text(max_size=300))
def test_any_header_is_a_login_or_none(header: str) -> None:
    cookie = LoginCookie(KEY)
    assert cookie.read(header, NOW, secure=False) is None
    name = cookie.name(secure=False)
    assert cookie.read(f"{name}={header}", NOW, secure=False) is None

from __future__ import annotations

import contextlib
import logging
import re
import stat
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.errors import AccessError
from broker.policy import Action, Rule, User
from broker.users_file import MAX_BYTES, create_with_admin, parse_users, read_users

HASH = "$argon2id$v=19$m=65536,t=3,p=4$" + "A" * 22 + "$" + "A" * 43

DOCUMENTED = f"""\
users: {{ha: {{password: "{HASH}", groups: [homeassistant]}}, wall: {{password: "{HASH}"}}}}
rules:
  - {{group: homeassistant, allow: [publish], topics: ["homeassistant/#", "fieldgate/#"]}}
  - {{user: wall, allow: [subscribe], topics: ["fieldgate/#"]}}
  - {{user: "*", deny: [publish, subscribe], topics: ["#"]}}
"""


def test_the_documented_file_is_users_and_rules_in_order() -> None:
    accounts = parse_users(DOCUMENTED)
    assert accounts.by_name["ha"].user == User("ha", frozenset({"homeassistant"}))
    assert accounts.by_name["wall"].user == User("wall")
    assert accounts.by_name["wall"].password_hash == HASH
    assert [str(rule) for rule in accounts.policy.rules] == [
        '{group: homeassistant, allow: [publish], topics: ["homeassistant/#", "fieldgate/#"]}',
        '{user: wall, allow: [subscribe], topics: ["fieldgate/#"]}',
        '{user: "*", deny: [publish, subscribe], topics: ["#"]}',
    ]
    assert [rule.line for rule in accounts.policy.rules] == [3, 4, 5]


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
topics = texts.filter(lambda text: not {"+", "#"} & set(text))
all_rules = st.builds(
    Rule,
    st.booleans(),
    st.sets(st.sampled_from(list(Action)), min_size=1).map(frozenset),
    st.lists(topics, min_size=1, max_size=3).map(tuple),
)
named_rules = st.builds(
    lambda rule, name, is_group: replace(rule, **{"group" if is_group else "user": name}),
    all_rules,
    texts | st.sampled_from(["null", "*", "True", "a: b", "1", "~"]),
    st.booleans(),
)


@given(named_rules)
def test_a_rule_is_written_as_the_file_may_have_it(rule: Rule) -> None:
    assert parse_users(f"rules:\n  - {rule}\n").policy.rules == (rule,)


def test_a_name_that_looks_like_a_number_is_text() -> None:
    accounts = parse_users(f"users: {{1883: {{password: '{HASH}'}}}}\nrules: []\n")
    assert list(accounts.by_name) == ["1883"]


def rule(text: str) -> str:
    return f"rules:\n  - {{{text}}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "u.yaml: the users file is empty: it needs `users` and `rules`"),
        ("[a]", "u.yaml:1: the file must be a mapping, as in {key: value}"),
        ("users: {a: {password: secret}}", "u.yaml:1: users.a.password is not an argon2id hash"),
        ("users:\n  a: {}\n", "u.yaml:2: users.a.password is missing"),
        ("users:\n  a:\n    pasword: x\n", "u.yaml:3: users.a.pasword is no key of the users"),
        (f"users:\n  'a:b': {{password: '{HASH}'}}\n", "u.yaml:2: users.a:b is no user name"),
        (f"users:\n  '*': {{password: '{HASH}'}}\n", "u.yaml:2: users.* is no user name"),
        ("rules:\n\nrules: []\n", "u.yaml:3: rules stands here a second time"),
        ("users:\n  a: 1\n  a: 2\n", "u.yaml:3: users.a stands here a second time"),
        ("rules: x", "u.yaml:1: rules must be a list"),
        (rule("user: a, allow: [read], topics: [b]"), "u.yaml:2: rules[1].allow[1] is wrong"),
        (rule("user: a, allow: [publish], topics: [a/#/b]"), "rules[1].topics[1] topic filter"),
        (rule("user: a, allow: [publish], topics: ['+%u']"), "rules[1].topics[1] topic filter"),
        (rule("user: a, allow: [publish], topics: []"), "rules[1].topics must not be empty"),
        (rule("user: a, allow: [], topics: [a]"), "rules[1].allow must not be empty"),
        (rule("user: a, topics: [a]"), "rules[1] needs either allow or deny"),
        (rule("allow: [publish], topics: [a]"), "rules[1] needs either user or group"),
        (rule("user: a, group: b, deny: [publish], topics: [a]"), "either user or group"),
        ("a: 'b", "u.yaml:1: this is not YAML"),
        ("a: b\n---\nc: d\n", "this is not YAML: but found another document"),
        ("a: \0", "u.yaml: this is not YAML"),
        ("users: !env SECRET", "u.yaml:1: users holds what no users file knows"),
        ("users: {<<: {a: b}}", "u.yaml:1: users holds what no users file knows"),
        ("users: {[a]: b}", "u.yaml:1: users holds what no users file knows"),
        ("users: {: b}", "u.yaml:1: users has an empty key"),
        ("users: &x [*x]", "nested too deeply"),
        ("[" * 1500, "nested too deeply"),
        (
            "a: &a [" + "x," * 1000 + "]\nb: &b [" + "*a," * 1000 + "]\n",
            "holds more than 100000 values",
        ),
    ],
)
def test_a_fault_is_named_with_its_line_and_its_key(text: str, message: str) -> None:
    with pytest.raises(AccessError, match=re.escape(message)):
        parse_users(text, "u.yaml")


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(AccessError) as caught:
        parse_users("users:\n  a: {password: x}\n  b: {password: y}\nrules: 1\nmore: 2\n")
    assert [line.split(" ")[0] for line in str(caught.value).splitlines()] == [
        "users.yaml:2:",
        "users.yaml:3:",
        "users.yaml:4:",
        "users.yaml:5:",
    ]


def parses_or_says_why(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ruamel.yaml warns of an anchor that is given anew
        with contextlib.suppress(AccessError):
            parse_users(text)


@given(st.text())
@example('"\\U99999999"')
def test_any_text_is_users_or_an_access_error(text: str) -> None:
    parses_or_says_why(text)


@given(st.integers(0, len(DOCUMENTED)), st.integers(0, 3), st.text("{}[]:,&*!?-#|>'\"% \n\t<a1~\0"))
def test_the_documented_file_with_any_mistake_is_users_or_an_access_error(
    at: int, length: int, junk: str
) -> None:
    parses_or_says_why(DOCUMENTED[:at] + junk + DOCUMENTED[at + length :])


def test_a_missing_file_is_an_error_and_never_no_users(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r"nobody\.yaml: the users file can't be read: No such"):
        read_users(tmp_path / "nobody.yaml")
    with pytest.raises(AccessError, match="can't be read: Is a directory"):
        read_users(tmp_path)


def test_a_file_that_is_too_long_or_no_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(AccessError, match="too long"):
        read_users(path)
    path.write_bytes(b"users: {}\nrules: [\xff]\n")
    with pytest.raises(AccessError, match=r"users\.yaml:2: the users file is not UTF-8"):
        read_users(path)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_file_that_others_may_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: bool
) -> None:
    path = tmp_path / "users.yaml"
    path.write_text(DOCUMENTED)
    path.chmod(mode)
    with caplog.at_level(logging.WARNING):
        read_users(path)
    assert ("chmod 600" in caplog.text) is warned


def test_the_first_file_has_an_admin_who_may_do_everything(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    password = create_with_admin(path)
    accounts, _ = read_users(path)
    admin = accounts.by_name["admin"].user
    assert re.fullmatch("[a-hjkmnp-z2-9]{20}", password)
    assert password not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert admin.may_administer
    assert accounts.policy.grants(admin, "#")
    assert accounts.policy.grants(admin, "$SYS/#")
    assert accounts.policy.may(admin, Action.PUBLISH, "a/b/set")
    assert not accounts.policy.grants(User(None), "#")


def test_a_file_that_is_there_already_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    path.write_text("mine")
    with pytest.raises(AccessError, match="stays as it is"):
        create_with_admin(path)
    assert path.read_text() == "mine"
    link = tmp_path / "link.yaml"
    link.symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(AccessError, match="stays as it is"):
        create_with_admin(link)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r"none/users\.yaml: the users file can't be written"):
        create_with_admin(tmp_path / "none" / "users.yaml")


def test_a_file_that_can_not_be_written_whole_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / ("u" * 250)  # a name that leaves the draft's no room
    with pytest.raises(AccessError, match="can't be written: File name too long"):
        create_with_admin(path)
    assert list(tmp_path.iterdir()) == []

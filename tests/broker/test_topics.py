"""Topic names and filters: the rules of MQTT 4.7, and the trie beside a plain match."""

from __future__ import annotations

import contextlib
import gc
import itertools
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import TopicError
from broker.topics import (
    MAX_BYTES,
    MAX_LEVELS,
    FilterTrie,
    check_filter,
    check_name,
    covers,
    matches,
    overlaps,
    widest,
)

# A small alphabet makes filters meet. "" is a level, too: in /a, a/ and a//b.
LEVELS = ["", "a", "b", "$", "$a"]
names = st.lists(st.sampled_from(LEVELS), min_size=1, max_size=5).map("/".join).filter(bool)


@st.composite
def filters(draw: st.DrawFn) -> str:
    levels = draw(st.lists(st.sampled_from([*LEVELS, "+", "+"]), max_size=4))
    if not levels or draw(st.booleans()):
        levels.append("#")
    return "/".join(levels) or "/"


def reference_matches(topic_filter: str, name: str) -> bool:
    """MQTT 4.7 as a regular expression."""
    if topic_filter[0] in "+#" and name[0] == "$":  # [MQTT-4.7.2-1]
        return False
    if topic_filter == "#":
        return True
    body, rest = (
        (topic_filter[:-2], "(/.*)?") if topic_filter.endswith("/#") else (topic_filter, "")
    )
    levels = ["[^/]*" if level == "+" else re.escape(level) for level in body.split("/")]
    return re.fullmatch("/".join(levels) + rest, name) is not None


# All names of up to four levels over an alphabet that has one level more than the filters of
# the brute force below: enough to tell any two of those filters apart.
FEW = ["", "a", "$"]
FEW_FILTERS = sorted(
    {
        "/".join([*levels, *tail])
        for depth in range(4)
        for levels in itertools.product([*FEW, "+"], repeat=depth)
        for tail in ([], ["#"])
    }
    - {""}
)
FEW_NAMES = [
    "/".join(levels)
    for depth in range(1, 5)
    for levels in itertools.product([*FEW, "other", "$other"], repeat=depth)
    if any(levels) or depth > 1
]
MATCHED = {
    topic_filter: frozenset(name for name in FEW_NAMES if matches(topic_filter, name))
    for topic_filter in FEW_FILTERS
}


@pytest.mark.parametrize(
    ("topic_filter", "name", "expected"),
    [  # the examples of MQTT 4.7.1 and 4.7.2
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/uptime", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("$SYS/#", "$SYS", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
        ("a/+", "a/$b", True),
        ("ACCOUNTS", "Accounts", False),
        ("a", "/a", False),
    ],
)
def test_the_standard_s_own_examples_match_as_it_says(
    topic_filter: str, name: str, expected: bool
) -> None:
    assert matches(topic_filter, name) is expected
    trie = FilterTrie[int]()
    trie.add(topic_filter, 1)
    assert bool(trie.match(name)) is expected


@given(filters(), names)
def test_matching_is_what_the_standard_s_rules_say(topic_filter: str, name: str) -> None:
    assert matches(check_filter(topic_filter), check_name(name)) == reference_matches(
        topic_filter, name
    )


@given(st.lists(filters(), max_size=12))
def test_the_widest_filters_cover_all_and_none_of_them_another(some: list[str]) -> None:
    kept = widest(some)
    assert list(kept) == [each for each in dict.fromkeys(some) if each in kept]
    assert all(any(covers(wide, each) for wide in kept) for each in some)
    assert not [pair for pair in itertools.permutations(kept, 2) if covers(*pair)]


@given(st.lists(st.tuples(filters(), st.integers(0, 5)), max_size=30), names)
def test_a_trie_finds_what_matching_each_filter_finds(
    entries: list[tuple[str, int]], name: str
) -> None:
    trie = FilterTrie[int]()
    for topic_filter, value in entries:
        trie.add(topic_filter, value)
    assert trie.match(name) == {value for wanted, value in entries if matches(wanted, name)}


@given(
    st.lists(st.tuples(filters(), st.integers(0, 3)), unique=True, max_size=20),
    st.lists(st.tuples(filters(), st.integers(0, 3)), unique=True, max_size=20),
    st.randoms(use_true_random=False),
    st.lists(names, min_size=1, max_size=5),
)
def test_discarding_undoes_adding(
    stay: list[tuple[str, int]],
    go: list[tuple[str, int]],
    chance: random.Random,
    probes: list[str],
) -> None:
    trie = FilterTrie[int]()
    for entry in chance.sample([*stay, *go], len(stay) + len(go)):
        trie.add(*entry)
    for entry in chance.sample(go, len(go)):
        trie.discard(*entry)
        trie.discard(*entry)  # the second time does nothing
    left = set(stay) - set(go)
    for name in probes:
        assert trie.match(name) == {value for wanted, value in left if matches(wanted, name)}
    for entry in left:
        trie.discard(*entry)
    assert nodes(trie) == 1, "filters come and go for years: nothing is kept of them"


def nodes(trie: FilterTrie[int]) -> int:
    """How many nodes a trie keeps, found by walking all that it refers to."""
    known: dict[int, object] = {id(trie): trie}
    ahead: list[object] = [trie]
    while ahead:
        for found in gc.get_referents(ahead.pop()):
            if not isinstance(found, type) and id(found) not in known:
                known[id(found)] = found
                ahead.append(found)
    return sum(type(found).__name__ == "_Node" for found in known.values())


@given(filters())
def test_discarding_what_was_never_added_does_nothing(topic_filter: str) -> None:
    trie = FilterTrie[int]()
    trie.add("a/b", 1)
    trie.discard(topic_filter, 2)
    trie.discard("a", 1)
    trie.discard("a/b/c", 1)
    assert trie.match("a/b") == {1}


def test_covers_is_containment_of_all_names_matched() -> None:
    for wide, narrow in itertools.product(FEW_FILTERS, repeat=2):
        assert covers(wide, narrow) == (MATCHED[narrow] <= MATCHED[wide]), (wide, narrow)


def test_overlaps_is_a_common_name() -> None:
    for one, other in itertools.product(FEW_FILTERS, repeat=2):
        assert overlaps(one, other) == bool(MATCHED[one] & MATCHED[other]), (one, other)


@given(filters(), filters(), filters())
def test_covering_is_transitive_and_what_is_covered_overlaps(a: str, b: str, c: str) -> None:
    assert covers(a, a)
    assert overlaps(a, b) == overlaps(b, a)
    if covers(a, b):
        assert overlaps(a, b)
        assert not covers(b, c) or covers(a, c)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a topic {} must have at least one character"),
        ("a\0b", r"topic {} 'a\x00b' holds a NUL character"),
        ("a\ud800", r"topic {} 'a\ud800' holds a surrogate, which is no UTF-8"),
        ("ä" * 32_768, "a topic {} of 65536 bytes is too long: 65535 at most"),
        ("/" * MAX_LEVELS, f"topic {{}} '{'/' * 77}...' is too deep: 128 levels at most"),
    ],
)
def test_what_neither_name_nor_filter_may_be_is_refused_with_a_sentence(
    text: str, sentence: str
) -> None:
    for check, kind in ((check_name, "name"), (check_filter, "filter")):
        with pytest.raises(TopicError) as refusal:
            check(text)
        assert str(refusal.value) == sentence.format(kind)


@pytest.mark.parametrize("name", ["#", "a/+", "a+b", "#a"])
def test_a_name_with_a_wildcard_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(TopicError) as refusal:
        check_name(name)
    assert str(refusal.value) == (
        f"topic name '{name}' holds a wildcard: publish to a name without + and #"
    )


@pytest.mark.parametrize(
    ("topic_filter", "rule"),
    [
        ("a/#/b", "# must be the whole last level, as in a/#"),
        ("a#", "# must be the whole last level, as in a/#"),
        ("#/", "# must be the whole last level, as in a/#"),
        ("+#", "# must be the whole last level, as in a/#"),
        ("##", "# must be the whole last level, as in a/#"),
        ("a+", "+ must be a whole level, as in a/+/b"),
        ("a/++/b", "+ must be a whole level, as in a/+/b"),
    ],
)
def test_a_misplaced_wildcard_is_refused_with_an_example(topic_filter: str, rule: str) -> None:
    with pytest.raises(TopicError) as refusal:
        check_filter(topic_filter)
    assert str(refusal.value) == f"topic filter '{topic_filter}': {rule}"


@pytest.mark.parametrize(
    "longest", ["a" * MAX_BYTES, "ä" * (MAX_BYTES // 2), "/" * (MAX_LEVELS - 1), " ", "a//b"]
)
def test_what_is_just_within_the_bounds_is_taken(longest: str) -> None:
    assert check_name(longest) == longest
    assert check_filter(longest) == longest


@given(st.text(st.sampled_from("a/+#$\0ä\ud800")))
def test_any_text_is_taken_or_refused_with_the_documented_error(text: str) -> None:
    for check in (check_name, check_filter):
        with contextlib.suppress(TopicError):
            assert check(text) == text

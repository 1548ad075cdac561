"""Topic names and topic filters: the rules of MQTT 4.7, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from broker.errors import TopicError

MAX_BYTES = 65_535
"""Longest topic name or filter, in UTF-8 bytes [MQTT-4.7.3-3]."""

MAX_LEVELS = 128
"""Deepest topic we take: a bound of our own, so that matching has one."""

T = TypeVar("T")


def check_name(name: str) -> str:
    """Return `name` if it may be published to, else raise TopicError."""
    _check_text("topic name", name)
    if "+" in name or "#" in name:
        raise TopicError(
            f"topic name {_shown(name)} holds a wildcard: publish to a name without + and #"
        )
    return name


def check_filter(topic_filter: str) -> str:
    """Return `topic_filter` if it may be subscribed to, else raise TopicError."""
    _check_text("topic filter", topic_filter)
    levels = topic_filter.split("/")
    for place, level in enumerate(levels):
        if "#" in level and (level != "#" or place != len(levels) - 1):  # [MQTT-4.7.1-1]
            raise TopicError(
                f"topic filter {_shown(topic_filter)}: # must be the whole last level, as in a/#"
            )
        if "+" in level and level != "+":  # [MQTT-4.7.1-2]
            raise TopicError(
                f"topic filter {_shown(topic_filter)}: + must be a whole level, as in a/+/b"
            )
    return topic_filter


def matches(topic_filter: str, name: str) -> bool:
    """Whether a valid filter matches a valid topic name."""
    wanted, levels = topic_filter.split("/"), name.split("/")
    if name.startswith("$") and wanted[0] in ("#", "+"):  # [MQTT-4.7.2-1]
        return False
    for place, level in enumerate(wanted):
        if level == "#":  # also matches its parent level
            return True
        if place == len(levels) or (level != "+" and level != levels[place]):
            return False
    return len(wanted) == len(levels)


def covers(wide: str, narrow: str) -> bool:
    """Whether every name that `narrow` matches is matched by `wide` too; both are filters."""
    if narrow.startswith("$") and wide[0] in "#+":
        return False
    wide_levels, narrow_levels = _levels(wide), _levels(narrow)
    for place, level in enumerate(wide_levels):
        if level == "#":
            return True
        if place == len(narrow_levels):
            return False
        other = narrow_levels[place]
        if other == "#" or (level != "+" and level != other):
            return False
    return len(wide_levels) == len(narrow_levels)


def overlaps(one: str, other: str) -> bool:
    """Whether some topic name is matched by both filters."""
    if (one.startswith("$") and other[0] in "#+") or (other.startswith("$") and one[0] in "#+"):
        return False
    left, right = _levels(one), _levels(other)
    for a, b in zip(left, right, strict=False):
        if a == "#" or b == "#":
            return True
        if a != b and "+" not in (a, b):
            return False
    if len(left) == len(right):
        return True
    longer = left if len(left) > len(right) else right
    return len(longer) == min(len(left), len(right)) + 1 and longer[-1] == "#"


def matcher(topic_filters: Iterable[str]) -> Callable[[str], bool]:
    """A quick test whether a valid topic name is matched by any of these valid filters."""
    pattern = re.compile("|".join(map(_pattern, topic_filters)), re.DOTALL)

    def matches_any(name: str) -> bool:
        return pattern.fullmatch(name) is not None

    return matches_any


def _pattern(topic_filter: str) -> str:
    not_reserved = r"(?!\$)" if topic_filter[0] in "#+" else ""  # [MQTT-4.7.2-1]
    if topic_filter == "#":
        return not_reserved + ".*"
    above = topic_filter.removesuffix("/#")
    rest = "(?:/.*)?" if above != topic_filter else ""
    levels = ("[^/]*" if level == "+" else re.escape(level) for level in above.split("/"))
    return not_reserved + "/".join(levels) + rest


class FilterTrie(Generic[T]):
    """Many filters, each with some values; finding those that match a name costs its depth.

    Not bounded by itself: whoever adds filters bounds how many.
    """

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, topic_filter: str, value: T) -> None:
        """Put a value under a valid filter; a value that stands there already stays once."""
        node = self._root
        for level in topic_filter.split("/"):
            node = node.children.setdefault(level, _Node())
        node.values[value] = None

    def discard(self, topic_filter: str, value: T) -> None:
        """Take a value away from under a filter, if it is there."""
        path = [self._root]
        levels = topic_filter.split("/")
        for level in levels:
            child = path[-1].children.get(level)
            if child is None:
                return
            path.append(child)
        path[-1].values.pop(value, None)
        for parent, level in zip(reversed(path[:-1]), reversed(levels), strict=True):
            child = parent.children[level]
            if child.values or child.children:
                return
            del parent.children[level]

    def match(self, name: str) -> set[T]:
        """The values of all filters that match a topic name."""
        found: set[T] = set()
        for node in self._matching(name.split("/"), name.startswith("$")):
            found.update(node.values)
        return found

    def _matching(self, levels: list[str], reserved: bool) -> Iterator[_Node[T]]:
        nodes = [self._root]
        for depth, level in enumerate(levels):
            wild = not (reserved and depth == 0)  # [MQTT-4.7.2-1]
            below: list[_Node[T]] = []
            for node in nodes:
                if wild and (rest := node.children.get("#")):
                    yield rest
                if (exact := node.children.get(level)) is not None:
                    below.append(exact)
                if wild and (single := node.children.get("+")):
                    below.append(single)
            if not below:
                return
            nodes = below
        for node in nodes:
            yield node
            if rest := node.children.get("#"):  # a/# matches a, too
                yield rest


def widest(topic_filters: Iterable[str]) -> tuple[str, ...]:
    """Those of these valid filters that lie within no other, in their order.

    Of filters that match the same names, like # and +/#, the first stays.
    """
    places = {
        topic_filter: place for place, topic_filter in enumerate(dict.fromkeys(topic_filters))
    }
    trie = FilterTrie[str]()
    for topic_filter in places:
        trie.add(topic_filter, topic_filter)

    def lies_within(narrow: str, wide: str) -> bool:
        return covers(wide, narrow) and (places[wide] < places[narrow] or not covers(narrow, wide))

    # Taken as a name, a filter is matched by all that cover it, and by few others.
    return tuple(
        narrow
        for narrow in places
        if not any(lies_within(narrow, wide) for wide in trie.match(narrow) if wide != narrow)
    )


class _Node(Generic[T]):
    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.values: dict[T, None] = {}


def _levels(topic_filter: str) -> list[str]:
    """The levels of a filter, those whose # has no parent that could be a name spelt out.

    # matches what +/# matches, and /# what /+/# does, since "" is no name [MQTT-4.7.3-1].
    """
    if topic_filter in ("#", "/#"):
        return [*topic_filter.split("/")[:-1], "+", "#"]
    return topic_filter.split("/")


def _check_text(what: str, text: str) -> None:
    if not text:
        raise TopicError(f"a {what} must have at least one character")  # [MQTT-4.7.3-1]
    if "\0" in text:
        raise TopicError(f"{what} {_shown(text)} holds a NUL character")  # [MQTT-4.7.3-2]
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # [MQTT-1.5.4-1]
        raise TopicError(f"{what} {_shown(text)} holds a surrogate, which is no UTF-8") from None
    if size > MAX_BYTES:
        raise TopicError(f"a {what} of {size} bytes is too long: {MAX_BYTES} at most")
    if text.count("/") >= MAX_LEVELS:
        raise TopicError(f"{what} {_shown(text)} is too deep: {MAX_LEVELS} levels at most")


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:77] + "...")

"""Mosquitto's ACL file made rules of ours: the same verdicts, or a note where they differ. Pure.

Mosquitto looks first at what a user's own section denies, then at what that allows, then at the
patterns in the same way; lines before the first `user` are the section of those without a login.
Rules in order can say all of that, but for three things. A subscription is granted as a whole
here, while Mosquitto grants any and holds back the messages. `"*"` is anybody, while that first
section is for nobody who logs in. And nothing can be published to `$`-topics here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from broker import topics
from broker.errors import AccessError, TopicError
from broker.policy import ANYBODY, Action, Rule, widened

_BOTH = frozenset(Action)
_ACCESS = {
    "read": frozenset({Action.SUBSCRIBE}),
    "write": frozenset({Action.PUBLISH}),
    "readwrite": _BOTH,
    "deny": frozenset[Action](),
}
_DENIED = _ACCESS["deny"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file was made into."""

    rules: tuple[Rule, ...]
    notes: tuple[str, ...]
    """What is not as it was, with the line that it comes from."""
    users: tuple[str, ...]
    """Who has a section, and needs a login here."""


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    actions: frozenset[Action]
    """What it allows; nothing: it denies both."""
    topic_filter: str


@dataclass(slots=True)
class _File:
    anonymous: list[_Line] = field(default_factory=list)
    users: dict[str, list[_Line]] = field(default_factory=dict)
    patterns: list[_Line] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)


def import_mosquitto(text: str, where: str) -> Imported:
    """Make rules of the text of an ACL file; raises AccessError with a line for each fault."""
    file = _read(text, where)
    rules: list[Rule] = []
    for user, lines in file.users.items():
        rules += _rules(user, lines)
        if file.anonymous:  # what is for those without a login must not reach this user
            rules += _rules(user, file.patterns)
            rules += _closing(user, file.anonymous)
    rules += _rules(ANYBODY, file.anonymous)
    rules += _rules(ANYBODY, file.patterns)
    notes = tuple(f"line {number}: {note}" for number, note in sorted(_notes(file)))
    return Imported(tuple(rules), notes, tuple(file.users))


def _rules(user: str, lines: Iterable[_Line]) -> Iterator[Rule]:
    """What is denied comes first, then what is allowed, the same actions in one rule."""
    by_actions: dict[frozenset[Action], dict[str, None]] = {each: {} for each in _ORDER}
    for line in lines:
        by_actions[line.actions][line.topic_filter] = None
    for actions, filters in by_actions.items():
        if filters:
            yield Rule(actions != _DENIED, actions or _BOTH, tuple(filters), user=user)


_ORDER = (_DENIED, _BOTH, _ACCESS["read"], _ACCESS["write"])


def _closing(user: str, anonymous: Iterable[_Line]) -> Iterator[Rule]:
    return _rules(user, [_Line(each.number, _DENIED, each.topic_filter) for each in anonymous])


# --- reading


def _read(text: str, where: str) -> _File:
    file, faults = _File(), list[str]()
    section = file.anonymous
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip()
        if not line or line.startswith("#"):
            continue
        keyword, _, rest = line.lstrip(" ").partition(" ")
        rest = rest.strip(" ")
        try:
            if keyword == "user":
                section = _section(file, rest, number)
            elif keyword in ("topic", "pattern"):
                lines = file.patterns if keyword == "pattern" else section
                lines += _taken(file, rest, number, is_pattern=keyword == "pattern")
            else:
                raise AccessError(f"{keyword} is none of user, topic and pattern")
        except (AccessError, TopicError) as error:
            faults.append(f"{where}:{number}: {error}")
    if faults:
        raise AccessError("\n".join(faults))
    return file


def _section(file: _File, name: str, number: int) -> list[_Line]:
    if not name:
        raise AccessError("user needs a name")
    if name == ANYBODY:
        file.notes.append((number, 'left out with its topics: here "*" is anybody'))
        return []
    return file.users.setdefault(name, [])


def _taken(file: _File, rest: str, number: int, *, is_pattern: bool) -> Iterator[_Line]:
    """What a line says, as far as it can be said here."""
    access, _, topic_filter = rest.partition(" ")
    if not topic_filter:
        access, topic_filter = "readwrite", rest
    if not topic_filter:
        raise AccessError("there is no topic")
    if access not in _ACCESS:
        raise AccessError(f"{access} is none of {', '.join(_ACCESS)}")
    actions, topic_filter = _ACCESS[access], topics.check_filter(topic_filter.strip(" "))
    if widened(topic_filter) != topic_filter:
        if is_pattern and actions == _DENIED:
            note = "denies nothing here to a client whose name or id holds /, + or #"
            file.notes.append((number, note))
        elif not is_pattern and actions == _DENIED:
            topic_filter = widened(topic_filter)
            file.notes.append((number, f"denies {topic_filter} here, where %u and %c are names"))
        elif not is_pattern:
            file.notes.append((number, "left out, since %u and %c stand for names here"))
            return
    if topic_filter.startswith("$") and Action.PUBLISH in actions:
        actions -= {Action.PUBLISH}
        file.notes.append((number, f"nothing can be published to {topic_filter} here"))
        if not actions:
            return
    yield _Line(number, actions, topic_filter)


# --- what differs


def _notes(file: _File) -> Iterator[tuple[int, str]]:
    yield from file.notes
    for each in file.anonymous:
        yield (
            each.number,
            "for those without a login alone in Mosquitto; here also for users without a section",
        )
    for lines in (file.anonymous, *file.users.values()):
        yield from _split_subscriptions(lines, [*lines, *file.patterns])
    yield from _split_subscriptions(file.patterns, file.patterns)


def _split_subscriptions(
    lines: Iterable[_Line], behind: Iterable[_Line]
) -> Iterator[tuple[int, str]]:
    """Subscriptions that Mosquitto grants but for a part, and that are refused here."""
    readable = [each for each in behind if Action.SUBSCRIBE in each.actions]
    for denied in (each for each in lines if each.actions == _DENIED):
        hidden = widened(denied.topic_filter)
        wide = [
            f"{each.topic_filter} (line {each.number})"
            for each in readable
            if topics.overlaps(shown := widened(each.topic_filter), hidden)
            and not topics.covers(hidden, shown)
        ]
        if wide:
            yield (
                denied.number,
                (
                    f"since {denied.topic_filter} is denied, a subscription to"
                    f" {' or '.join(wide)} is refused here; Mosquitto holds back that part alone"
                ),
            )

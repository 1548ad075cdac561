"""Who may publish and subscribe to what: rules in order, the first that matches decides."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from broker import topics

ADMIN_GROUP = "admin"
ANYBODY = "*"


class Action(StrEnum):
    """What a rule speaks of."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"


@dataclass(frozen=True, slots=True)
class User:
    """Who asks; `name` None is somebody who gave no credentials."""

    name: str | None
    groups: frozenset[str] = frozenset()

    @property
    def may_administer(self) -> bool:
        """Whether the admin calls (sessions, config, backup) are open to them."""
        return ADMIN_GROUP in self.groups


ANONYMOUS = User(None)


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of `rules`: whom it speaks of, whether it allows, which actions, which topics.

    `topics` are topic filters in which %u stands for the user's name and %c for the client id.
    """

    allow: bool
    actions: frozenset[Action]
    topics: tuple[str, ...]
    user: str | None = None
    group: str | None = None
    line: int | None = field(default=None, compare=False)
    """Where it stands in the users file, from 1."""

    def speaks_of(self, user: User, action: Action) -> bool:
        """Whether this rule is about this user and action at all."""
        return action in self.actions and self.is_for(user)

    def is_for(self, user: User) -> bool:
        """Whether this rule is about this user."""
        if self.group is not None:
            return self.group in user.groups
        return self.user == ANYBODY or (user.name is not None and self.user == user.name)

    def filters(self, user: User, client_id: str | None) -> list[str]:
        """The rule's topic filters for this user and client id."""
        meant = (_filled_in(pattern, user.name, client_id) for pattern in self.topics)
        return [topic_filter for topic_filter in meant if topic_filter is not None]

    def __str__(self) -> str:
        """As the users file has it."""
        key, name = ("user", self.user) if self.group is None else ("group", self.group)
        actions = ", ".join(action for action in Action if action in self.actions)
        verb = "allow" if self.allow else "deny"
        names = ", ".join(map(_quoted, self.topics))
        return f"{{{key}: {_yaml_text(name)}, {verb}: [{actions}], topics: [{names}]}}"


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer and where it comes from: a rule, and the topic filter in it that decides.

    `number` counts the rules from 1; None is no rule, which denies.
    """

    allowed: bool
    number: int | None = None
    rule: Rule | None = None
    topic_filter: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a users file; nothing matches = deny."""

    rules: tuple[Rule, ...] = ()

    def may(self, user: User, action: Action, topic: str, *, client_id: str | None = None) -> bool:
        """Whether this one topic name may be published to, or seen."""
        return self._of_name(user, action, topic, client_id).allowed

    def grants(self, user: User, topic_filter: str, *, client_id: str | None = None) -> bool:
        """Whether a subscription to the whole filter may be had; `$share/…/` taken off before."""
        return self._of_filter(user, topic_filter, client_id).allowed

    def explain(
        self, user: User, action: Action, topic: str, *, client_id: str | None = None
    ) -> Decision:
        """The rule that decides; for subscribe, `topic` may be a topic filter."""
        if action is Action.SUBSCRIBE:
            return self._of_filter(user, topic, client_id)
        return self._of_name(user, action, topic, client_id)

    def filters_granted(
        self,
        user: User,
        action: Action,
        *,
        client_id: str | None = None,
        besides: Iterable[str] = (),
    ) -> tuple[str, ...]:
        """The widest topic filters that the rules allow this user.

        To subscribe: those that `grants` grants, of the filters that rules name and of `besides`,
        since no list of filters says "all but this". To publish: nothing may be published outside
        of them, but a rule that denies may come first for some topics within.
        """
        hides = topics.overlaps if action is Action.SUBSCRIBE else topics.covers
        granted = list(self._allowed(user, action, client_id, hides))
        if action is Action.SUBSCRIBE:
            granted += [f for f in besides if self.grants(user, f, client_id=client_id)]
        return topics.widest(granted)

    def allows_something(self, user: User) -> bool:
        """Whether some rule that allows this user anything isn't hidden by one before it."""
        return any(
            True for action in Action for _ in self._allowed(user, action, None, topics.covers)
        )

    def _allowed(
        self,
        user: User,
        action: Action,
        client_id: str | None,
        hides: Callable[[str, str], bool],
    ) -> Iterator[str]:
        """The filters of the rules that allow, but for those that a rule before it hides."""
        denied: list[str] = []
        for rule in self.rules:
            if not rule.speaks_of(user, action):
                continue
            filters = rule.filters(user, client_id)
            if rule.allow:
                yield from (f for f in filters if not any(hides(d, f) for d in denied))
            else:
                denied += filters

    def _of_name(self, user: User, action: Action, name: str, client_id: str | None) -> Decision:
        if not name or "+" in name or "#" in name:  # no topic name: nobody may
            return Decision(allowed=False)
        for number, rule in enumerate(self.rules, 1):
            if not rule.speaks_of(user, action):
                continue
            for topic_filter in rule.filters(user, client_id):
                if topics.matches(topic_filter, name):
                    return Decision(rule.allow, number, rule, topic_filter)
        return Decision(allowed=False)

    def _of_filter(self, user: User, topic_filter: str, client_id: str | None) -> Decision:
        """An allow rule that covers the whole filter, before any deny rule that overlaps it."""
        if not topic_filter:
            return Decision(allowed=False)
        for number, rule in enumerate(self.rules, 1):
            if not rule.speaks_of(user, Action.SUBSCRIBE):
                continue
            reaches = topics.covers if rule.allow else topics.overlaps
            for wide in rule.filters(user, client_id):
                if reaches(wide, topic_filter):
                    return Decision(rule.allow, number, rule, wide)
        return Decision(allowed=False)


OPEN = Policy(
    (
        Rule(allow=True, actions=frozenset(Action), topics=("#",), user=ANYBODY),
        Rule(allow=True, actions=frozenset({Action.SUBSCRIBE}), topics=("$SYS/#",), user=ANYBODY),
    )
)
"""Everything is allowed to anybody: loopback without a users file."""


def widened(pattern: str) -> str:
    """A filter for whatever %u and %c in a rule's topic filter may stand for."""
    return "/".join("+" if _PLACE.search(level) else level for level in pattern.split("/"))


_PLAIN = re.compile("(?!(?:null|true|false)$)[A-Za-z_][A-Za-z0-9_-]*", re.IGNORECASE)
_PLACE = re.compile("%[uc]")
_UNSAFE = re.compile("[+#/\0]")


def _filled_in(pattern: str, user: str | None, client_id: str | None) -> str | None:
    """The pattern with names put in, or None where a name is missing or could widen it."""
    if "%" not in pattern:
        return pattern
    names = {"%u": user, "%c": client_id}
    wanted = [names[place] for place in _PLACE.findall(pattern)]
    if any(not name or _UNSAFE.search(name) for name in wanted):
        return None
    filled = _PLACE.sub(lambda place: names[place[0]] or "", pattern)
    if filled.startswith("$") and not pattern.startswith("$"):  # a client id of $SYS opens nothing
        return None
    return filled


def _yaml_text(text: str | None) -> str:
    """As YAML has it within `{…}`."""
    assert text is not None
    return text if _PLAIN.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"

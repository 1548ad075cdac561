"""Who gets a message: subscriptions by filter, found by topic, remembered until one changes. Pure.

A session with several matching subscriptions gets one copy, at the highest QoS granted and with
the identifiers of all of them [MQTT5-3.3.4-2], [MQTT5-3.3.4-4].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from broker.link import QoS
from broker.topics import FilterTrie

MAX_CACHED_TOPICS = 100_000
MAX_CACHED_ROUTES = 1_000_000
"""Topics whose receivers are remembered, and those of all of them together; beyond either all are
forgotten and found again."""

MAX_REMEMBERED = 200_000
"""Topics in caches of others, all together, 60 MB; beyond it these caches are emptied."""

MAX_OF_ONE = 20_000
MAX_BYTES = 256 * 1024 * 1024
"""Subscriptions of one receiver, and what those of all cost: 150,000 of four levels. There is room
for no new one beyond either."""

GRANT_BYTES = 700
LEVEL_BYTES = 300
"""What a subscription and each level of its filter cost, about, where nobody else has the same."""


Share: TypeAlias = tuple[str, str]
"""A shared subscription: its name and filter."""


class Receiver(Protocol):
    """Somebody who can subscribe."""

    @property
    def is_present(self) -> bool:
        """Whether what is delivered now can leave now; decides who gets a shared message."""


R = TypeVar("R", bound=Receiver)


@dataclass(frozen=True, slots=True)
class Grant:
    """One subscription as it was granted. `share` is the group's name, None where not shared."""

    topic_filter: str
    qos: QoS
    no_local: bool = False
    retain_as_published: bool = False
    identifier: int | None = None
    share: str | None = None


@dataclass(frozen=True, slots=True)
class Route(Generic[R]):
    """How one receiver gets the messages of one topic."""

    receiver: R
    qos: QoS
    retain_as_published: bool
    identifiers: tuple[int, ...]
    no_local: bool = False
    """Whether one of its subscriptions has No Local: what it published itself goes by `own`."""
    own: Route[R] | None = None
    share: Share | None = None
    """The shared subscription that this is a turn of."""


@dataclass(frozen=True, slots=True)
class Routes(Generic[R]):
    """Everybody who gets the messages of one topic: these all, and one of each group."""

    all: tuple[Route[R], ...]
    groups: tuple[ShareGroup[R], ...]


class ShareGroup(Generic[R]):
    """A shared subscription `$share/<name>/<filter>`: one of its members gets each message."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._members: dict[R, Route[R]] = {}
        self._order: tuple[Route[R], ...] = ()
        self._turn = 0

    def __len__(self) -> int:
        return len(self._members)

    def join(self, receiver: R, grant: Grant) -> None:
        identifiers = () if grant.identifier is None else (grant.identifier,)
        self._members[receiver] = Route(
            receiver, grant.qos, grant.retain_as_published, identifiers, share=self._share
        )
        self._order = tuple(self._members.values())

    def leave(self, receiver: R) -> None:
        del self._members[receiver]
        self._order = tuple(self._members.values())

    def choose(self) -> Route[R] | None:
        """The next in turn who is present; where none is, the next in turn."""
        order = self._order
        count = len(order)
        if not count:
            return None
        start = self._turn % count
        for place in range(start, start + count):
            route = order[place % count]
            if route.receiver.is_present:
                self._turn = place + 1
                return route
        self._turn = start + 1
        return order[start]


class _Subscribers(Generic[R]):
    """Everybody who subscribed to one filter."""

    __slots__ = ("groups", "plain")

    def __init__(self) -> None:
        self.plain: dict[R, Grant] = {}
        self.groups: dict[str, ShareGroup[R]] = {}


class Router(Generic[R]):
    """All subscriptions of all sessions. Whoever adds one asks first whether it `has_room`."""

    def __init__(self) -> None:
        self._filters: dict[str, _Subscribers[R]] = {}
        self._trie: FilterTrie[_Subscribers[R]] = FilterTrie()
        self._grants: dict[R, dict[tuple[str | None, str], Grant]] = {}
        self._routes: dict[str, Routes[R]] = {}
        self._cached = 0
        self._alike: dict[frozenset[_Subscribers[R]], Routes[R]] = {}
        self._caches: list[dict[bytes, Routes[R]]] = []
        self._remembered = 0
        self.count = 0
        """Subscriptions in force."""
        self.bytes = 0
        """What they cost, about."""

    def subscribe(self, receiver: R, grant: Grant) -> bool:
        """Put a subscription in force, in place of one to the same filter; false if it did."""
        subscribers = self._filters.get(grant.topic_filter)
        if subscribers is None:
            subscribers = self._filters[grant.topic_filter] = _Subscribers()
            self._trie.add(grant.topic_filter, subscribers)
        if grant.share is None:
            subscribers.plain[receiver] = grant
        else:
            group = subscribers.groups.get(grant.share)
            if group is None:
                group = ShareGroup((grant.share, grant.topic_filter))
                subscribers.groups[grant.share] = group
            group.join(receiver, grant)
        grants = self._grants.setdefault(receiver, {})
        key = (grant.share, grant.topic_filter)
        is_new = key not in grants
        grants[key] = grant
        if is_new:
            self.count += 1
            self.bytes += _cost(grant.topic_filter)
        self._forget_routes()
        return is_new

    def unsubscribe(self, receiver: R, topic_filter: str, share: str | None = None) -> bool:
        """End a subscription; false if there was none."""
        grants = self._grants.get(receiver, {})
        if grants.pop((share, topic_filter), None) is None:
            return False
        if not grants:
            del self._grants[receiver]
        self.count -= 1
        self.bytes -= _cost(topic_filter)
        subscribers = self._filters[topic_filter]
        if share is None:
            del subscribers.plain[receiver]
        else:
            subscribers.groups[share].leave(receiver)
            if not subscribers.groups[share]:
                del subscribers.groups[share]
        if not subscribers.plain and not subscribers.groups:
            del self._filters[topic_filter]
            self._trie.discard(topic_filter, subscribers)
        self._forget_routes()
        return True

    def forget(self, receiver: R) -> None:
        """End all subscriptions of a receiver."""
        for grant in self.grants(receiver):
            self.unsubscribe(receiver, grant.topic_filter, grant.share)

    def grants(self, receiver: R) -> tuple[Grant, ...]:
        """The subscriptions of a receiver."""
        return tuple(self._grants.get(receiver, {}).values())

    def holds(self, receiver: R, grant: Grant) -> bool:
        """Whether this very subscription is in force."""
        key = (grant.share, grant.topic_filter)
        return self._grants.get(receiver, {}).get(key) is grant

    def member_of(self, share: Share) -> Route[R] | None:
        """The next in turn of a shared subscription, if it has any members."""
        name, topic_filter = share
        subscribers = self._filters.get(topic_filter)
        group = None if subscribers is None else subscribers.groups.get(name)
        return None if group is None else group.choose()

    def has_room(self, receiver: R, grant: Grant) -> bool:
        """Whether a subscription may be put in force; one in place of another always may."""
        grants = self._grants.get(receiver, {})
        return (grant.share, grant.topic_filter) in grants or (
            len(grants) < MAX_OF_ONE and self.bytes + _cost(grant.topic_filter) <= MAX_BYTES
        )

    def routes(self, topic: str) -> Routes[R]:
        """Who gets the messages of a topic."""
        found = self._routes.get(topic)
        if found is None:
            if len(self._routes) >= MAX_CACHED_TOPICS or self._cached > MAX_CACHED_ROUTES:
                self._forget_routes()
            found = self._routes[topic] = self._find(topic)
        return found

    def remember(self, topic: str, cache: dict[bytes, Routes[R]]) -> None:
        """Note in somebody's own cache who gets the messages of a topic, until that changes.

        Not where some of them are chosen for each message anew.
        """
        routes = self.routes(topic)
        if routes.groups:
            return
        if self._remembered >= MAX_REMEMBERED:
            self._empty_caches()
        if not cache:
            self._caches.append(cache)
        name = topic.encode()
        self._remembered += name not in cache
        cache[name] = routes

    def _forget_routes(self) -> None:
        self._routes.clear()
        self._alike.clear()
        self._cached = 0
        self._empty_caches()

    def _empty_caches(self) -> None:
        for cache in self._caches:
            cache.clear()
        self._caches.clear()
        self._remembered = 0

    def _find(self, topic: str) -> Routes[R]:
        """Topics that the same filters match have the same routes."""
        matching = frozenset(self._trie.match(topic))
        found = self._alike.get(matching)
        if found is None:
            found = self._alike[matching] = self._joined(matching)
            self._cached += len(found.all)
        return found

    def _joined(self, filters: Iterable[_Subscribers[R]]) -> Routes[R]:
        matching: dict[R, list[Grant]] = {}
        groups: list[ShareGroup[R]] = []
        for subscribers in filters:
            for receiver, grant in subscribers.plain.items():
                matching.setdefault(receiver, []).append(grant)
            groups.extend(subscribers.groups.values())
        plain = (_joined(receiver, grants) for receiver, grants in matching.items())
        return Routes(tuple(plain), tuple(groups))


def _cost(topic_filter: str) -> int:
    return GRANT_BYTES + len(topic_filter) + LEVEL_BYTES * (topic_filter.count("/") + 1)


def _joined(receiver: R, grants: Sequence[Grant]) -> Route[R]:
    others = [grant for grant in grants if not grant.no_local]
    has_no_local = len(others) < len(grants)
    return Route(
        receiver,
        max(grant.qos for grant in grants),
        any(grant.retain_as_published for grant in grants),
        tuple(grant.identifier for grant in grants if grant.identifier is not None),
        no_local=has_no_local,
        own=_joined(receiver, others) if has_no_local and others else None,
    )

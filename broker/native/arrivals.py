"""How many connections there may be, in all and of one address. Pure."""

from __future__ import annotations

from broker.attempts import source_of
from broker.listen import is_loopback
from broker.native.counters import Counters

MAX_CONNECTIONS = 10_000
MAX_PER_ADDRESS = 2_000
"""A fifth of all: a whole plant behind one router fits, and none can shut out the others."""


class Arrivals:
    """Counts connections in and out; at either bound a new one is refused, and counted."""

    def __init__(
        self,
        counters: Counters,
        *,
        max_connections: int | None = None,
        max_per_address: int | None = None,
    ) -> None:
        self._counters = counters
        self._max = MAX_CONNECTIONS if max_connections is None else max_connections
        self._max_per_address = MAX_PER_ADDRESS if max_per_address is None else max_per_address
        self._by_source: dict[str, int] = {}

    def enter(self, address: str) -> bool:
        """Count a connection in; false if it is one too many."""
        counters = self._counters
        if counters.open >= self._max:
            counters.refused += 1
            return False
        if not is_loopback(address):
            source = source_of(address)
            count = self._by_source.get(source, 0)
            if count >= self._max_per_address:
                counters.refused_by_address += 1
                return False
            self._by_source[source] = count + 1
        counters.open += 1
        counters.connections += 1
        return True

    def leave(self, address: str) -> None:
        """Count out a connection that was counted in."""
        self._counters.open -= 1
        if not is_loopback(address):
            source = source_of(address)
            left = self._by_source[source] - 1
            if left:
                self._by_source[source] = left
            else:
                del self._by_source[source]

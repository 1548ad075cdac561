"""How many wrong passwords an address may try before it has to wait."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address, ip_network

MAX_KEYS = 4096
"""Keys that are remembered; at the bound the one that erred longest ago is forgotten."""

MAX_WRONG = 100
MAX_WRONG_OF_NAME = 10
"""Wrong passwords at once, of an address and for a name at it; then one each few seconds."""

Key = tuple[str, ...]


class Allowance:
    """A few wrong tries at once, then one each `refill_s`; time comes in as an argument."""

    def __init__(self, burst: int, refill_s: float) -> None:
        self._burst = burst
        self._refill_s = refill_s
        self._paid_at: OrderedDict[Key, float] = OrderedDict()  # when all is forgiven

    def wait_s(self, key: Key, now: float) -> float:
        """How long until the next try; 0 means now."""
        ahead_s = self._paid_at.get(key, now) - now
        return max(0.0, ahead_s - (self._burst - 1) * self._refill_s)

    def wrong(self, key: Key, now: float) -> None:
        """Count one wrong password."""
        self._paid_at[key] = max(self._paid_at.get(key, now), now) + self._refill_s
        self._paid_at.move_to_end(key)
        if len(self._paid_at) > MAX_KEYS:
            self._paid_at.popitem(last=False)


class Attempts:
    """Wrong passwords of each address, and of each user name at an address.

    A right password forgives nothing, else somebody with an account could guess for ever. The name
    counts by itself so that one device with a stale password doesn't lock its whole address out.
    """

    def __init__(self) -> None:
        self._named = Allowance(burst=MAX_WRONG_OF_NAME, refill_s=30)
        self._from_there = Allowance(burst=MAX_WRONG, refill_s=5)

    def wait_s(self, source: str, name: str, now: float) -> float:
        """How long until this address may try this name again; 0 means now."""
        return max(self._named.wait_s((source, name), now), self._from_there.wait_s((source,), now))

    def wrong(self, source: str, name: str, now: float) -> None:
        """Count one wrong password for this name from this address."""
        self._named.wrong((source, name), now)
        self._from_there.wrong((source,), now)


def source_of(address: str) -> str:
    """What counts as one address: IPv4 as it is, IPv6 its /64, which is one household."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))
    return str(ip)

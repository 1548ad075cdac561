"""The native broker on listeners of any kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from broker.access import NoUsers, Users, parse_users
from broker.native import engine
from broker.native.counters import Counters
from broker.tls import ServerCertificate


@dataclass(frozen=True, slots=True)
class Listening:
    """A broker to connect to."""

    engine: engine.Engine
    urls: Sequence[str]

    @property
    def ports(self) -> list[int]:
        return [int(url.split("/")[2].rpartition(":")[2]) for url in self.urls]

    @property
    def counters(self) -> Counters:
        return self.engine.core.counters


@asynccontextmanager
async def listening(
    *schemes: str,
    users: str | None = None,
    certificates: Path | None = None,
    client_ca: bool = False,
    origins: Collection[str] = (),
) -> AsyncIterator[Listening]:
    """On a free port for each of these: `mqtt`, or with a path `ws/mqtt`."""
    tls = None
    if certificates is not None:
        tls = ServerCertificate(
            str(certificates / "cert.pem"),
            str(certificates / "key.pem"),
            str(certificates / "ca.pem") if client_ca else None,
            section="broker.tls",
        )
    urls = []
    for each in schemes:
        scheme, slash, path = each.partition("/")
        urls.append(f"{scheme}://127.0.0.1:0{slash}{path}")
    in_force = Users(parse_users(users)) if users else NoUsers()
    try:
        async with (
            tls.watched() if tls else nullcontext(),
            engine.running(urls, in_force, anonymous=True, tls=tls, origins=origins) as (
                running,
                real,
            ),
        ):
            yield Listening(running, real)
    finally:
        in_force.close()

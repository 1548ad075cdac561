"""MQTT over somebody else's connection, as over the WebSocket `/mqtt` of the web port."""

from __future__ import annotations

from typing import Protocol


class Attached(Protocol):
    """One client of the broker, whose bytes the caller carries."""

    async def feed(self, data: bytes) -> None:
        """Hand over what the client sent, cut anywhere; returns when the broker takes more."""

    async def read(self) -> bytes:
        """What the client is to be sent, as soon as there is some; b"" once the broker is done.

        What isn't fetched is bounded as what a client doesn't read.
        """

    async def aborted(self) -> None:
        """Return when what is left isn't worth sending any more: the client reads nothing."""

    def stop(self) -> None:
        """Say goodbye to the client, since the carrier stops; `read` gives the rest."""

    def lost(self) -> None:
        """The connection is gone. Must be called at the end, whoever ended it."""


class Attach(Protocol):
    """What a running broker offers to carriers."""

    def __call__(
        self, peer_host: str, *, must_log_in: bool, known_as: str | None = None
    ) -> Attached | None:
        """A new client from this address; None where it would be one too many.

        `must_log_in`: nobody is anonymous there, whatever the rules for "*" are. `known_as`: the
        user who has logged in with the carrier, for a CONNECT that names none.
        """

"""What every request can reach: the hub, the bridge's health, and who is here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from broker.serving import Attach
from webui.audit import Audit, audited
from webui.authenticator import Authenticator
from webui.close_code import SERVICE_RESTART, TOKEN_ENDED, USERS_CHANGED
from webui.ending import Ending
from webui.history.history import OFF, History
from webui.hub import Hub
from webui.identity import Identity
from webui.publishing import PublishAs, PublishRate, limited
from webui.roster import Roster


@dataclass(slots=True)
class WebState:
    """The web application's state. `why_not_ready()` is a sentence, empty when all is well.

    `attach` is the way of `/mqtt` to the broker, where that runs in this process; `topics` are
    the topic filters that the bridge subscribes to, and `node` is this web server's name among
    several. `version` is Fieldgate's, `metrics` what Prometheus gets.
    """

    hub: Hub
    publish: PublishAs
    base_topic: str
    why_not_ready: Callable[[], str]
    authenticator: Authenticator
    attach: Attach | None = None
    topics: Sequence[str] = ("#",)
    node: str = ""
    version: str = "0"
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    history: History = OFF
    roster: Roster = field(default_factory=Roster)
    rate: PublishRate = field(default_factory=PublishRate)
    stopping: Ending = field(default_factory=Ending)
    audit: Audit = field(init=False)
    _carried: dict[Ending, Identity] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.audit = Audit(self.base_topic, self.node)

    def publish_from(self, address: str) -> PublishAs:
        """How somebody at this address publishes: no faster than one may, and written down."""
        return audited(limited(self.publish, self.rate, address), self.audit)

    @contextmanager
    def carried(self, identity: Identity) -> Iterator[Ending]:
        """An MQTT client of `/mqtt`: who came with a login is told when that ends.

        Others are the broker's own business, which knows who they are.
        """
        ending = Ending()
        if identity.end is None:
            yield ending
            return
        timer = ending.tell_at(identity.end)
        self._carried[ending] = identity
        try:
            yield ending
        finally:
            timer.cancel()
            del self._carried[ending]

    def end_sessions(
        self, code: int, reason: str, *, whose: Callable[[Identity], bool] = lambda _: True
    ) -> None:
        """End WebSockets, with this close code, and streams; new ones may come."""
        sessions = {session.ending: session.identity for session in self.roster}
        for ending, identity in (sessions | self._carried).items():
            if whose(identity):
                ending.tell(code, reason)

    def watch_access(self) -> None:
        """From now on, end whatever is open by users, rules or a token that change."""
        users, tokens = self.authenticator.users, self.authenticator.tokens

        def users_changed() -> None:
            reason = "the users or their rules have changed"
            self.end_sessions(USERS_CHANGED, reason, whose=lambda each: each.token is None)

        def tokens_changed() -> None:
            def has_lost_it(identity: Identity) -> bool:
                return identity.token is not None and not tokens.holds(identity.token)

            self.end_sessions(TOKEN_ENDED, "the token was revoked", whose=has_lost_it)

        users.on_change(users_changed)
        tokens.on_change(tokens_changed)

    def stop(self, *, spread_s: float = 0.0) -> None:
        """End everything within `spread_s`, since the server stops; nobody is let in any more."""
        self.roster.is_stopping = True
        for ending in (self.stopping, *(session.ending for session in self.roster)):
            ending.tell(SERVICE_RESTART, "the server stops or restarts", spread_s=spread_s)

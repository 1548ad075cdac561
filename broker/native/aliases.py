"""Topic aliases: two bytes in place of a topic that was sent before [MQTT5-3.3.2.3.4]. Pure."""

from __future__ import annotations

MAX_ALIASES = 100
"""The most that we give to a client, and take from one: its busiest topics, and 6 MB at worst."""


class TopicAliases:
    """The aliases that we gave on one connection: the first topics get them, and keep them."""

    __slots__ = ("_known", "_maximum")

    def __init__(self, maximum: int) -> None:
        self._known: dict[str, int] = {}
        self._maximum = min(maximum, MAX_ALIASES)

    def of(self, topic: str) -> tuple[int | None, bool]:
        """The topic's alias, if it has one, and whether the client must be told the topic."""
        alias = self._known.get(topic)
        if alias is not None:
            return alias, False
        if len(self._known) >= self._maximum:
            return None, True
        alias = self._known[topic] = len(self._known) + 1
        return alias, True

    def untold(self, topic: str) -> None:
        """The packet that named this topic's new alias was not sent; it was the last one given."""
        del self._known[topic]

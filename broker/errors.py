"""What can go wrong in `broker`, by whose fault it is.

BrokerError
├── TopicError          a topic name or filter breaks the rules of MQTT 4.7 (also a ValueError)
├── ListenError         an address can't be listened on: taken, or not ours
├── EngineError         the chosen engine can't do what the config asks of it
├── AccessError         a users or tokens file is wrong, or there is none where one is needed
├── PacketError         bytes that break the rules of MQTT, or a packet that can't be written
├── TooManyAttemptsError    too many wrong passwords or tokens from there: try later
├── PasswordsBusyError  too many passwords wait to be checked already: try later
└── LinkError
    ├── LinkFullError   too much waits for the broker already: try later
    └── LinkAwayError   there is no broker right now, and this message is not one that waits
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.native.reason import Reason


class BrokerError(Exception):
    """Anything that this package reports; each message is a sentence for a person."""


class TopicError(BrokerError, ValueError):
    """A topic name or filter that MQTT doesn't allow."""


class ListenError(BrokerError):
    """An address that can't be listened on."""


class EngineError(BrokerError):
    """The engine can't serve this config."""


class AccessError(BrokerError):
    """A file of users or tokens can't be used; the message has a line for each thing wrong."""


class PacketError(BrokerError):
    """A packet that MQTT doesn't allow; `reason` is what MQTT 5 says to whoever sent it."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TooManyAttemptsError(BrokerError):
    """Wrong passwords or tokens came from this address; no more are checked for a while."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many wrong logins from this address: wait {wait_s:.0f} s")
        self.wait_s = wait_s


class PasswordsBusyError(BrokerError):
    """The queue of passwords to be checked is at its bound."""


class LinkError(BrokerError):
    """The connection to a broker can't do what was asked."""


class LinkFullError(LinkError):
    """The outgoing queue is at its bound."""


class LinkAwayError(LinkError):
    """The broker is not connected, and the message is not one that waits."""

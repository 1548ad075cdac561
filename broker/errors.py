"""What can go wrong in `broker`, by whose fault it is.

BrokerError
├── TopicError          a topic name or filter breaks the rules of MQTT 4.7 (also a ValueError)
├── ListenError         an address can't be listened on: taken, or not ours
├── EngineError         the chosen engine can't do what the config asks of it
└── LinkError
    ├── LinkFullError   too much waits for the broker already: try later
    └── LinkAwayError   there is no broker right now, and this message is not one that waits
"""


class BrokerError(Exception):
    """Anything that this package reports; each message is a sentence for a person."""


class TopicError(BrokerError, ValueError):
    """A topic name or filter that MQTT doesn't allow."""


class ListenError(BrokerError):
    """An address that can't be listened on."""


class EngineError(BrokerError):
    """The engine can't serve this config."""


class LinkError(BrokerError):
    """The connection to a broker can't do what was asked."""


class LinkFullError(LinkError):
    """The outgoing queue is at its bound."""


class LinkAwayError(LinkError):
    """The broker is not connected, and the message is not one that waits."""

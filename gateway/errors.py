"""What can go wrong in `gateway`, by whose fault it is.

GatewayError
├── ConfigError        fieldgate.yaml, an environment variable or a file that they name
│   └── UnreadableError    (problem.py) its text gives no tree at all
├── LockedError        (instance_lock.py) another process works with our data folder
├── FolderError        (instance_lock.py) the data folder can't be made or written to
├── RivalError         (hardware.py) another gateway publishes under our base topic
├── ReaderError        the hardware side went away or never was there (also an OSError)
└── DecodeError        one frame makes no sense; the next may
"""


class GatewayError(Exception):
    """Anything that this package reports; each message is a sentence for a person."""


class ConfigError(GatewayError):
    """The config can't be used; the message has one line for each thing that is wrong."""


class ReaderError(GatewayError, OSError):
    """The reader can't reach its hardware (any more)."""


class DecodeError(GatewayError, ValueError):
    """A frame that its decoder can't make values of."""

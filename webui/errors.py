"""What can go wrong in `webui`, by whose fault it is.

WebError
├── RefusedError     a frame or a request that we don't do; its code and message go to whoever asked
├── KeyFileError     the key of the login cookies can't be read, made or used
└── HistoryError     the file of history can't be used by this version
"""

FRAME_CODES = (
    "bad_frame",
    "unknown_op",
    "bad_filter",
    "bad_topic",
    "too_large",
    "too_many",
    "forbidden",
    "rate_limited",
    "unavailable",
)
"""Why a frame is not done."""

HTTP_CODES = (*FRAME_CODES, "bad_request", "unauthorized", "not_found", "not_allowed")
"""Why a request is not done."""


class WebError(Exception):
    """Anything that this package reports; each message is a sentence for a person."""


class RefusedError(WebError):
    """What a client asked for and doesn't get: `code` is for programs, the text for people.

    Codes: FRAME_CODES, over HTTP also others of HTTP_CODES.
    """

    def __init__(self, code: str, message: str, frame_id: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.frame_id = frame_id


class KeyFileError(WebError):
    """There is no key to sign login cookies with; the message says what to do."""


class HistoryError(WebError):
    """The file of history is of a newer version."""

"""Publishing from a browser: the same checks over WebSocket and HTTP."""

from __future__ import annotations

from collections.abc import Callable

from broker.errors import LinkAwayError, LinkFullError
from broker.link import Link
from webui.errors import RefusedError
from webui.identity import Identity
from webui.wire import Publication, to_message

PublishAs = Callable[[Identity, Publication, int], None]
"""Publish what somebody asks for, under the id of their frame; raises RefusedError."""


def publisher(link: Link) -> PublishAs:
    """What publishes over a link for whoever may."""

    def publish(identity: Identity, publication: Publication, frame_id: int = 0) -> None:
        message = to_message(publication, frame_id)
        if not identity.may_publish(message.topic):
            who = f"user {identity.user}" if identity.user else "nobody without a login"
            raise RefusedError("forbidden", f"{who} may not publish to {message.topic}", frame_id)
        try:
            link.publish(message)
        except LinkAwayError as error:
            raise RefusedError("unavailable", str(error), frame_id) from None
        except LinkFullError as error:
            raise RefusedError("rate_limited", str(error), frame_id) from None

    return publish

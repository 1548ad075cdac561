"""What every `framing` section may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.framers.checksum import ChecksumConfig
from gateway.framers.framer import MAX_FRAME_BYTES
from gateway.section import Section


class FramingSection(Section):
    """The bound and the checksum of a frame."""

    max_bytes: Annotated[int, Field(ge=1, le=65_536)] = Field(
        default=MAX_FRAME_BYTES, description="The longest frame; what is longer is dropped."
    )
    checksum: ChecksumConfig | None = Field(
        default=None, description="What stands at the end of each frame and must fit the rest."
    )

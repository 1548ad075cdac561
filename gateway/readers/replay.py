"""A recorded capture, read again at its own pace or faster."""

from typing import Annotated, Literal

from pydantic import Field

from gateway.section import Section


class ReplayConfig(Section):
    """`reader: {type: replay, file: docs/demo.capture, speed: 10, repeat: true}`"""

    type: Literal["replay"]
    file: str
    speed: Annotated[float, Field(gt=0, le=1000)] = 1.0
    repeat: bool = True

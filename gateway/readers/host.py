"""This machine itself, by psutil: the one piece of hardware that everybody has."""

from typing import Annotated, Literal

from pydantic import Field

from gateway.section import Section


class HostConfig(Section):
    """`reader: {type: host, interval_s: 2}`"""

    type: Literal["host"]
    interval_s: Annotated[float, Field(ge=0.1, le=3600)] = 2.0

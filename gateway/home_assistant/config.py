"""What the `home_assistant` section may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from broker.topics import check_name
from gateway.section import Section


class HomeAssistantConfig(Section):
    """`home_assistant: {enabled: true}`"""

    enabled: bool = Field(
        default=False, description="Announce the devices to Home Assistant by MQTT discovery."
    )
    discovery_prefix: Annotated[
        str, Field(min_length=1, max_length=200), AfterValidator(check_name)
    ] = Field(
        default="homeassistant",
        description="Where it looks for them, as in its MQTT settings.",
        examples=["homeassistant"],
    )
    configuration_url: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=1000)] | None = (
        Field(
            default=None,
            description="Where Home Assistant's people find our page.",
            examples=["http://gateway.local:8088/"],
        )
    )
    announce: Literal["auto", "ask"] = Field(
        default="auto",
        description="auto: at once; ask: a new device only once a message on"
        " bridge/request/announce has named it.",
    )

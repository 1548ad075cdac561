"""JSON objects: `{"temperature": 21.5, "pump": {"on": true}}`."""

from typing import Literal

from gateway.section import Section


class JsonConfig(Section):
    """`decoder: {type: json}`"""

    type: Literal["json"]

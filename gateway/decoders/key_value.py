"""Pairs: `T=21.5 P=1013 PUMP=on`."""

from typing import Literal

from gateway.section import Section


class KeyValueConfig(Section):
    """`decoder: {type: key_value}`"""

    type: Literal["key_value"]
    pair_separators: str = " ,;\t"
    assignments: str = "=:"

"""Anything else: named groups, `T (?P<temperature>[-.0-9]+)`."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.section import Section


def _check_pattern(pattern: str) -> str:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    if not compiled.groupindex:
        raise ValueError("has no named group, as in (?P<temperature>[-.0-9]+)")
    return pattern


class RegexConfig(Section):
    """`decoder: {type: regex, pattern: 'T (?P<temperature>[-.0-9]+)'}`"""

    type: Literal["regex"]
    pattern: Annotated[str, AfterValidator(_check_pattern), Field(max_length=1000)]

"""Columns: `21.5;1013;on`, named by the config."""

from typing import Annotated, Literal

from pydantic import Field

from gateway.section import Section


class CsvConfig(Section):
    """`decoder: {type: csv, columns: [temperature, pressure]}`; an empty name skips a column."""

    type: Literal["csv"]
    columns: Annotated[list[str], Field(min_length=1, max_length=64)]
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","

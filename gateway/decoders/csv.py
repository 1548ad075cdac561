"""Columns: `21.5;1013;on`, named by the config."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.decoders.decoder import TextSection, text_of, value_of
from gateway.errors import DecodeError
from gateway.measurement import Value


def _check_columns(columns: list[str]) -> list[str]:
    named = [column for column in columns if column]
    if not named:
        raise ValueError("names no column, as in [temperature, pressure]")
    if twice := sorted({column for column in named if named.count(column) > 1}):
        raise ValueError(f"names a column twice: {', '.join(twice)}")
    return columns


def _check_delimiter(delimiter: str) -> str:
    if delimiter in '"\r\n\0':
        raise ValueError("must not be a quote, a line end or NUL")
    return delimiter


class CsvConfig(TextSection):
    """`decoder: {type: csv, columns: [temperature, pressure]}`; an empty name skips a column."""

    type: Literal["csv"]
    columns: Annotated[
        list[str], Field(min_length=1, max_length=64), AfterValidator(_check_columns)
    ] = Field(description="The fields' names in their order; an empty name skips a column.")
    delimiter: Annotated[
        str, Field(min_length=1, max_length=1), AfterValidator(_check_delimiter)
    ] = Field(
        default=",", description="What stands between two columns; a space is any run of blanks."
    )


class CsvDecoder:
    """A row has exactly the columns that the config names: a cut row must not shift values.

    Columns may be quoted ("a,b"). With a space as the delimiter any run of blanks is one.
    """

    def __init__(
        self, columns: Sequence[str], delimiter: str = ",", *, encoding: str = "utf-8"
    ) -> None:
        self._encoding = encoding
        self._columns = tuple(columns)
        self._delimiter = delimiter

    def decode(self, frame: bytes) -> Mapping[str, Value]:
        cells = self._cells(text_of(frame, self._encoding))
        if len(cells) != len(self._columns):
            raise DecodeError(f"has {len(cells)} columns, not the {len(self._columns)} named")
        return {
            column: value_of(cell)
            for column, cell in zip(self._columns, cells, strict=True)
            if column
        }

    def _cells(self, text: str) -> list[str]:
        if self._delimiter == " ":
            return text.split()
        rows = csv.reader(
            [text], delimiter=self._delimiter, skipinitialspace=self._delimiter != "\t"
        )
        try:
            return next(rows, [])
        except csv.Error as error:
            raise DecodeError(f"is no row of columns: {error}") from None

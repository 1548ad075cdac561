"""Frames into fields: the documented values, or DecodeError and nothing else."""

from __future__ import annotations

import contextlib
import encodings.aliases
import json
import math
import string
from collections.abc import Mapping

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.decoders import Decoder, DecoderConfig, build
from gateway.decoders.decoder import value_of
from gateway.errors import DecodeError
from gateway.measurement import Value
from gateway.points.payload import payload

CONFIG: TypeAdapter[DecoderConfig] = TypeAdapter(DecoderConfig)


def decoder(**section: object) -> Decoder:
    return build(CONFIG.validate_python(section))


KEY_VALUE = decoder(type="key_value")
JSON = decoder(type="json")
CSV = decoder(type="csv", columns=["temperature", "", "pump"], delimiter=";")
REGEX = decoder(type="regex", pattern=r"T (?P<temperature>\S+)(?: P (?P<pressure>\S+))?")

DECODERS = [
    pytest.param(KEY_VALUE, id="key_value"),
    pytest.param(decoder(type="key_value", pair_separators="^]", assignments="-"), id="odd pairs"),
    pytest.param(JSON, id="json"),
    pytest.param(CSV, id="csv"),
    pytest.param(decoder(type="csv", columns=["a", "b"], delimiter=" "), id="blanks"),
    pytest.param(decoder(type="csv", columns=["a"], delimiter="\t"), id="tabs"),
    pytest.param(REGEX, id="regex"),
    pytest.param(decoder(type="regex", pattern="(?s)(?P<all>.*)"), id="any text"),
    pytest.param(decoder(type="key_value", encoding="latin-1"), id="latin-1"),
    pytest.param(decoder(type="json", encoding="utf-16"), id="utf-16"),
    pytest.param(decoder(type="csv", columns=["a"], encoding="utf-7"), id="utf-7"),
    pytest.param(decoder(type="struct", format="hd", names=["a", "b"], repeated=True), id="struct"),
    pytest.param(decoder(type="struct", format="4s", names=["a"]), id="text in a struct"),
]

JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
).map(lambda value: json.dumps(value).encode())
FRAMES = st.one_of(
    st.binary(),
    st.text(st.characters()).map(lambda text: text.encode(errors="surrogatepass")),
    st.text('T P=:;,."\\{}[]+-eE0159naif\t\r\n\0').map(str.encode),
    JSON_LIKE,
)


@pytest.mark.parametrize("decoder", DECODERS)
@settings(max_examples=200)
@given(frame=FRAMES)
@example(frame=b"[" * 100_000)
@example(frame=b'{"a":' * 100_000)
@example(frame=b'{"a": ' + b"9" * 5_000 + b"}")
@example(frame=b'{"a": 1e' + b"9" * 5_000 + b"}")
@example(frame=b'{"a": "\\ud800", "\\udc00": 1}')
@example(frame=b"T=\0;\0;\0")
@example(frame=b'"' * 200_001)
@example(frame=b"x" * 200_000 + b";;")
def test_any_bytes_give_publishable_values_or_decode_error(decoder: Decoder, frame: bytes) -> None:
    try:
        fields = decoder.decode(frame)
    except DecodeError:
        return
    for name, value in fields.items():
        assert isinstance(name, str)
        assert value is None or type(value) in (bool, int, float, str)
        name.encode()
        payload(value)


@pytest.mark.parametrize("decoder", DECODERS)
def test_ten_million_digits_are_text_or_an_error_and_never_parsed(decoder: Decoder) -> None:
    for before, after in ((b"T ", b""), (b"T=", b""), (b'{"T": ', b"}"), (b"", b";;")):
        with contextlib.suppress(DecodeError):
            for value in decoder.decode(before + b"9" * 10_000_000 + after).values():
                assert isinstance(value, str | None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("21.5", 21.5),
        (" -3 ", -3),
        ("+0012", 12),
        ("5.", 5.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("True", True),
        ("FALSE", False),
        ("", None),
        ("  ", None),
        ("on", "on"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("21,5", "21,5"),
        ("٣", "٣"),
        ("1.2.3", "1.2.3"),
        ("999999999999999999", 999_999_999_999_999_999),
        ("1000000000000000000", "1000000000000000000"),
        ("1" * 65, "1" * 65),
    ],
)
def test_text_is_a_number_only_where_it_is_a_plain_decimal_one(text: str, value: Value) -> None:
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_number_that_is_no_value() -> None:
    found = value_of("NaN")
    assert isinstance(found, float)
    assert math.isnan(found)


@given(st.integers(min_value=-(10**18) + 1, max_value=10**18 - 1) | st.floats(allow_nan=False))
def test_a_number_comes_back_as_it_was_written(number: float) -> None:
    found = value_of(repr(number))
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("T=21.5 P=1013 PUMP=on", {"T": 21.5, "P": 1013, "PUMP": "on"}),
        ("T:21.5,P:1013;ok:true", {"T": 21.5, "P": 1013, "ok": True}),
        ("T = 21.5, P= 1013 Q =3", {"T": 21.5, "P": 1013, "Q": 3}),
        ("Temp: 21.5 C Hum: 40 %", {"Temp": 21.5, "Hum": 40}),
        ("T= P=3", {"T": None, "P": 3}),
        ("T=, 5 P=3", {"T": None, "P": 3}),
        ("OK T=1", {"T": 1}),
        ("at: 12:30 T=1", {"at": "12:30", "T": 1}),
        ("at=12:30:05", {"at": "12:30:05"}),
        ("a==b", {"a": "=b"}),
        ("=5 T=1", {"T": 1}),
        ("28FF64=20.5 1=3", {"28FF64": 20.5, "1": 3}),
        ("T=1 T=2", {"T": 2}),
        ("T=-", {"T": "-"}),
    ],
)
def test_pairs_are_found_in_what_devices_write(line: str, fields: Mapping[str, Value]) -> None:
    assert KEY_VALUE.decode(line.encode()) == fields


def test_blanks_belong_to_the_value_where_they_do_not_separate() -> None:
    pairs = decoder(type="key_value", pair_separators=";", assignments="=")
    assert pairs.decode(b"room temp = 21.5 ;mode=half open;") == {
        "room temp": 21.5,
        "mode": "half open",
    }


NAMES = st.text(string.ascii_letters + "_", min_size=1)
WORDS = st.text(string.ascii_letters + string.digits + ".-+", min_size=1)


@given(st.dictionaries(NAMES, WORDS, min_size=1), st.sampled_from([" ", ",", "; ", "\t"]))
def test_written_pairs_come_back(pairs: dict[str, str], separator: str) -> None:
    line = separator.join(f"{name}={word}" for name, word in pairs.items())
    assert repr(KEY_VALUE.decode(line.encode())) == repr(
        {name: value_of(word) for name, word in pairs.items()}  # repr, because nan != nan
    )


def test_nested_json_becomes_flat_and_arrays_are_numbered() -> None:
    frame = b'{"t": 21.5, "pump": {"on": true, "rpm": {"now": 900}}, "level": [1, "x", null]}'
    assert JSON.decode(frame) == {
        "t": 21.5,
        "pump_on": True,
        "pump_rpm_now": 900,
        "level_0": 1,
        "level_1": "x",
        "level_2": None,
    }


def test_json_keeps_text_as_text_and_long_integers_digit_by_digit() -> None:
    fields = JSON.decode(b'{"a": "21.5", "b": 12345678901234567890, "c": -999999999999999999}')
    assert fields == {"a": "21.5", "b": "12345678901234567890", "c": -999_999_999_999_999_999}


def test_json_may_hold_what_devices_print_instead_of_a_number() -> None:
    assert repr(JSON.decode(b'{"a": NaN, "b": -Infinity}')) == "{'a': nan, 'b': -inf}"


def test_json_nested_to_the_bound_is_taken_and_one_deeper_is_not() -> None:
    JSON.decode(b'{"a":' * 8 + b"1" + b"}" * 8)
    with pytest.raises(DecodeError, match="deeper than 8"):
        JSON.decode(b'{"a":' * 9 + b"1" + b"}" * 9)


def test_columns_get_their_names_and_unnamed_ones_are_skipped() -> None:
    assert CSV.decode(b'21.5; 99 ;"on;off"') == {"temperature": 21.5, "pump": "on;off"}
    assert CSV.decode(b";;") == {"temperature": None, "pump": None}


def test_with_a_blank_as_the_delimiter_any_run_of_blanks_is_one() -> None:
    blanks = decoder(type="csv", columns=["a", "b"], delimiter=" ")
    assert blanks.decode(b"  21.5     on ") == {"a": 21.5, "b": "on"}


def test_groups_of_a_pattern_become_fields_and_absent_groups_none() -> None:
    assert REGEX.decode(b"> T 21.5 P 1013") == {"temperature": 21.5, "pressure": 1013}
    assert REGEX.decode(b"T 21.5") == {"temperature": 21.5}


@pytest.mark.parametrize(
    ("decoder", "frame", "reason"),
    [
        (KEY_VALUE, b"hello", "holds no pair, such as T=21.5"),
        (KEY_VALUE, b"T=\xff", "byte 0xff at place 3; are baudrate and parity right"),
        (JSON, b"{", "is no JSON: Expecting property name .* at place 2"),
        (JSON, b"[1]", "no object"),
        (JSON, b'{"a": "\\ud800"}', "half a surrogate pair"),
        (JSON, b"\xff", "is no UTF-8 text"),
        (CSV, b"21.5;3", "has 2 columns, not the 3 named"),
        (CSV, b"\xff", "is no UTF-8 text"),
        (REGEX, b"P 1013", "doesn't match the pattern"),
        (REGEX, b"\xff", "is no UTF-8 text"),
    ],
)
def test_an_error_says_what_is_wrong_with_the_frame(
    decoder: Decoder, frame: bytes, reason: str
) -> None:
    with pytest.raises(DecodeError, match=reason):
        decoder.decode(frame)


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"type": "regex", "pattern": "("}, "is no regular expression"),
        ({"type": "regex", "pattern": "(?P<a>x{99999999999})"}, "is no regular expression"),
        ({"type": "regex", "pattern": "T (.*)"}, "has no named group"),
        ({"type": "csv", "columns": ["", ""]}, "names no column"),
        ({"type": "csv", "columns": ["a", "b", "a"]}, "names a column twice: a"),
        ({"type": "csv", "columns": ["a"], "delimiter": '"'}, "must not be a quote"),
        ({"type": "key_value", "pair_separators": ":;"}, "both hold ':'"),
    ],
)
def test_a_section_that_can_not_work_is_refused(section: object, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        CONFIG.validate_python(section)


def test_a_pattern_that_could_take_for_ever_is_given_up() -> None:
    endless = decoder(type="regex", pattern="(?P<a>(a|aa)+)$")
    with pytest.raises(DecodeError, match="repeats inside repeats"):
        endless.decode(b"a" * 40 + b"!")


def test_text_may_be_written_otherwise_than_in_utf_8() -> None:
    line = "T=21.5 place=Küche".encode("latin-1")
    assert decoder(type="key_value", encoding="latin-1").decode(line)["place"] == "Küche"
    with pytest.raises(DecodeError, match="is no UTF-8 text: byte 0xfc at place 15"):
        KEY_VALUE.decode(line)
    with pytest.raises(DecodeError, match="is no ASCII text: byte 0xfc at place 15"):
        decoder(type="key_value", encoding="ascii").decode(line)


@pytest.mark.parametrize("name", ["utf-99", "base64", "idna", "unicode_escape", "", "a\0b"])
def test_an_encoding_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="no text encoding that is known"):
        decoder(type="json", encoding=name)


@pytest.mark.parametrize("name", sorted(set(encodings.aliases.aliases.values())))
def test_every_encoding_of_python_gives_text_or_says_why_not_or_is_refused(name: str) -> None:
    try:
        lines = decoder(type="csv", columns=["a"], delimiter="|", encoding=name)
    except ValidationError:
        return
    for frame in (
        b"",
        b"T",
        b"\xff",
        b"+AGE",
        b"\x1b$)C",
        *(bytes([n, 255 - n]) for n in range(256)),
    ):
        with contextlib.suppress(DecodeError):
            lines.decode(frame)

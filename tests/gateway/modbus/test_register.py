from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.measurement import Value
from gateway.readers.modbus.block import blocks
from gateway.readers.modbus.register import FORMATS, RegisterConfig


def register(**keys: Any) -> RegisterConfig:
    return RegisterConfig.model_validate({"address": 0, **keys})


@pytest.mark.parametrize(
    ("keys", "words", "value"),
    [
        ({}, [0xFFFE], 65_534),
        ({"type": "int16"}, [0xFFFE], -2),
        ({"type": "uint32"}, [0x0001, 0x0002], 65_538),
        ({"type": "uint32", "word_order": "little"}, [0x0002, 0x0001], 65_538),
        ({"type": "uint16", "byte_order": "little"}, [0x3412], 0x1234),
        ({"type": "uint32", "byte_order": "little"}, [0x3412, 0x7856], 0x12345678),
        ({"type": "float32"}, [0x4148, 0x0000], 12.5),
        ({"type": "float32", "word_order": "little"}, [0x0000, 0x4148], 12.5),
        ({"type": "float64"}, [0x4029, 0, 0, 0], 12.5),
        ({"type": "int64"}, [0xFFFF] * 4, -1),
        ({"type": "string", "length": 3}, [0x4142, 0x4300, 0x4444], "ABC"),
        ({"bit": 3}, [0b1000], True),
        ({"bit": 3}, [0b0111], False),
        ({"bit": 4, "bits": 3}, [0b0101_0000], 5),
        ({"type": "uint32", "bit": 16}, [1, 0], True),
        ({"table": "coil"}, [True], True),
        ({"table": "discrete"}, [False], False),
    ],
)
def test_words_mean_what_the_register_says(
    keys: dict[str, Any], words: list[int], value: Value
) -> None:
    assert register(**keys).count == len(words)
    found = register(**keys).value(words)
    assert found == value
    assert type(found) is type(value)


NUMBERS = st.one_of(st.integers(-(2**15), 2**15 - 1), st.integers(0, 2**64 - 1))
SPANS = {
    f"{sign}int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if not sign else (0, 2**bits - 1)
    for sign in ("", "u")
    for bits in (16, 32, 64)
}
ORDERS = st.sampled_from(["big", "little"])


@given(kind=st.sampled_from(list(FORMATS)), number=NUMBERS, byte_order=ORDERS, word_order=ORDERS)
def test_what_is_written_is_read_back(
    kind: str, number: int, byte_order: str, word_order: str
) -> None:
    one = register(type=kind, byte_order=byte_order, word_order=word_order)
    if not kind.startswith("float") and not SPANS[kind][0] <= number <= SPANS[kind][1]:
        with pytest.raises(ValueError, match=f"{number} is no {kind}"):
            one.words(number, [])
        return
    words = one.words(number, [])
    assert len(words) == one.count
    assert all(0 <= word <= 0xFFFF for word in words)
    back = one.value(words)
    assert isinstance(back, int | float)
    if kind == "float32":
        assert math.isclose(back, number, rel_tol=1e-6)
    else:
        assert back == (float(number) if kind == "float64" else number)


@given(st.integers(0, 15), st.integers(1, 16), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_a_written_field_leaves_the_other_bits_alone(
    bit: int, bits: int, before: int, field: int
) -> None:
    bits = min(bits, 16 - bit)
    field &= (1 << bits) - 1
    one = register(bit=bit, bits=bits)
    (after,) = one.words(field if bits > 1 else bool(field), [before])
    mask = ((1 << bits) - 1) << bit
    assert after & ~mask == before & ~mask
    assert one.value([after]) == (field if bits > 1 else bool(field))


def test_a_string_is_padded_and_read_back() -> None:
    one = register(type="string", length=3)
    assert one.value(one.words("abc", [])) == "abc"


@pytest.mark.parametrize(
    ("keys", "value", "why"),
    [
        ({}, -1, "-1 is no uint16"),
        ({}, 65_536, "65536 is no uint16"),
        ({}, "x", "'x' is no number"),
        ({}, None, "None is no number"),
        ({"type": "float32"}, 1e39, "is no float32"),
        ({"type": "int16"}, math.inf, "inf is no int16"),
        ({"type": "int16"}, math.nan, "nan is no int16"),
        ({"bit": 0}, 2, "2 is neither true nor false"),
        ({"bit": 0, "bits": 2}, 4, "4 is no number of 2 bits"),
        ({"bit": 0, "bits": 2}, "x", "'x' is no number of 2 bits"),
        ({"table": "coil"}, "on", "'on' is neither true nor false"),
        ({"type": "string", "length": 1}, "abc", "'abc' is longer than 2 bytes"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(keys: dict[str, Any], value: Value, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        register(**keys).words(value, [0])


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"type": "string"}, "a string needs it"),
        ({"length": 2}, "`length` belongs to type string"),
        ({"bits": 2}, "`bits` needs `bit`"),
        ({"bit": 0, "type": "int16"}, "give a type uint"),
        ({"bit": 0, "table": "coil"}, "unsigned register"),
        ({"bit": 15, "bits": 2}, "uint16 has no bit 16"),
        ({"address": 65_535, "type": "uint32"}, "go beyond 65535"),
        ({"address": 65_536}, "less than or equal to 65535"),
    ],
)
def test_a_register_that_contradicts_itself_is_refused(keys: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        register(**keys)


def test_neighbours_are_read_in_one_request() -> None:
    found = blocks(
        {
            "c": register(address=4),
            "a": register(address=0, type="float32"),
            "b": register(address=2, type="uint32"),
            "far": register(address=6),
            "other": register(address=5, table="input"),
        }
    )
    assert [(one.table, one.start, one.count, list(one.points)) for one in found] == [
        ("holding", 0, 5, ["a", "b", "c"]),
        ("holding", 6, 1, ["far"]),
        ("input", 5, 1, ["other"]),
    ]


def test_gaps_are_read_along_where_they_may_be() -> None:
    registers = {"a": register(address=0), "b": register(address=3), "c": register(address=9)}
    assert [(one.start, one.count) for one in blocks(registers, max_gap=2)] == [(0, 4), (9, 1)]


def test_points_may_share_a_register() -> None:
    (block,) = blocks({f"bit{bit}": register(address=7, bit=bit) for bit in range(3)})
    assert (block.start, block.count) == (7, 1)
    assert dict(block.values([0b101])) == {"bit0": True, "bit1": False, "bit2": True}


@given(
    st.dictionaries(
        st.text("abcdef", min_size=1, max_size=3),
        st.builds(
            register,
            address=st.integers(0, 400),
            table=st.sampled_from(["holding", "coil"]),
            type=st.sampled_from(["uint16", "uint32", "float64"]),
        ),
        max_size=40,
    ),
    st.integers(0, 20),
)
def test_blocks_hold_every_point_once_and_no_more_than_a_request_may(
    registers: dict[str, RegisterConfig], max_gap: int
) -> None:
    found = blocks(registers, max_gap)
    assert sorted(name for block in found for name in block.points) == sorted(registers)
    for block in found:
        assert block.count <= (2000 if block.table == "coil" else 125)
        memory = list(range(block.start, block.start + block.count))
        for name, value in block.values(memory):
            assert value == registers[name].value(
                memory[registers[name].address - block.start :][: registers[name].count]
            )

"""Checksums against the check values of the RevEng catalogue and of manuals."""

from functools import reduce
from operator import xor
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.framers.checksum import ALGORITHMS, Checksum, ChecksumConfig

CHECK = b"123456789"


def checksum(name: str, **keys: object) -> Checksum:
    return Checksum(ChecksumConfig.model_validate({"name": name, **keys}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CRC-8/SMBUS", 0xF4),
        ("CRC-8", 0xF4),
        ("CRC-8/MAXIM-DOW", 0xA1),
        ("crc-8/maxim", 0xA1),
        ("CRC-8/BLUETOOTH", 0x26),
        ("CRC-16/ARC", 0xBB3D),
        ("CRC-16/MODBUS", 0x4B37),
        ("CRC-16/IBM-3740", 0x29B1),
        ("CRC-16/CCITT-FALSE", 0x29B1),
        ("CRC-16/XMODEM", 0x31C3),
        ("CRC-16/KERMIT", 0x2189),
        ("CRC-16/IBM-SDLC", 0x906E),
        ("CRC-16/EN-13757", 0xC2B7),
        ("CRC-16/DNP", 0xEA82),
        ("CRC-32/ISO-HDLC", 0xCBF43926),
        ("CRC-32", 0xCBF43926),
        ("CRC-32/MPEG-2", 0x0376E6E7),
        ("CRC-32C", 0xE3069283),
        ("CRC-32/CKSUM", 0x765E7680),
        ("sum", 0xDD),
        ("sum-16", 0x01DD),
        ("lrc", 0x23),
        ("xor", 0x31),
    ],
)
def test_the_check_value_of_the_catalogue_comes_out(name: str, value: int) -> None:
    compute, size = ALGORITHMS[name.upper()]
    assert compute(CHECK) == value
    assert checksum(name).content(CHECK + value.to_bytes(size, "big")) == CHECK


@given(st.binary(max_size=300))
def test_xor_is_that_of_all_bytes(content: bytes) -> None:
    compute, _ = ALGORITHMS["XOR"]
    assert compute(content) == reduce(xor, content, 0)


def test_modbus_sends_the_low_byte_first() -> None:
    frame = bytes.fromhex("01 03 00 00 00 0A C5 CD")
    assert checksum("CRC-16/MODBUS", byte_order="little").content(frame) == frame[:-2]
    assert checksum("CRC-16/MODBUS").content(frame) is None


def test_nmea_has_hexadecimal_digits_behind_an_asterisk_and_skips_its_first_byte() -> None:
    sentence = b"$GPGLL,5300.97914,N,00259.98174,E,125926,A"
    keys = {"encoding": "hex", "separator": "*", "skip": 1}
    assert checksum("xor", **keys).content(sentence + b"*28") == sentence
    assert checksum("xor", **keys).content(sentence.replace(b"$", b"!") + b"*28") is not None
    for wrong in (b"*29", b"28", b"*2", b"* 8", b""):
        assert checksum("xor", **keys).content(sentence + wrong) is None


def test_modbus_ascii_takes_capitals_and_small_letters() -> None:
    for digits in (b"f6", b"F6"):
        assert checksum("lrc", encoding="hex").content(b"\x0a" + digits) == b"\x0a"


@pytest.mark.parametrize(
    ("name", "meant"),
    [("CRC-16/MODBUSS", "CRC-16/MODBUS"), ("CRC16", "CRC-16"), ("md5", "sum, sum-16, lrc, xor")],
)
def test_a_name_that_is_none_is_told_what_is(name: str, meant: str) -> None:
    with pytest.raises(ValidationError, match=f"no checksum that is known.*{meant}"):
        checksum(name)


@given(st.binary(max_size=40), st.sampled_from(sorted(ALGORITHMS)), st.booleans(), st.booleans())
def test_what_was_summed_up_fits_and_one_flipped_bit_does_not(
    content: bytes, name: str, is_hex: bool, is_little: bool
) -> None:
    order: Literal["big", "little"] = "little" if is_little else "big"
    sums = checksum(name, byte_order=order, encoding="hex" if is_hex else "binary")
    compute, size = ALGORITHMS[name]
    summed = compute(content).to_bytes(size, order)
    frame = content + (summed.hex().encode() if is_hex else summed)
    assert sums.content(frame) == content
    if content:
        flipped = bytes([frame[0] ^ 1]) + frame[1:]
        assert sums.content(flipped) is None


@given(st.binary(max_size=10), st.sampled_from(sorted(ALGORITHMS)))
def test_any_bytes_are_content_or_no_frame(frame: bytes, name: str) -> None:
    content = checksum(name, encoding="hex", separator="*", skip=3).content(frame)
    assert content is None or frame.startswith(content)

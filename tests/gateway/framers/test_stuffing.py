"""COBS and SLIP against their papers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.framers.stuffing import cobs_decoded, slip_decoded
from tests.gateway.framers.streams import cobs, slip


@pytest.mark.parametrize(
    ("frame", "content"),
    [
        ("01", ""),
        ("01 01", "00"),
        ("01 01 01", "00 00"),
        ("03 11 22 02 33", "11 22 00 33"),
        ("05 11 22 33 44", "11 22 33 44"),
        ("02 11 01 01 01", "11 00 00 00"),
    ],
)
def test_cobs_gives_the_examples_of_its_paper(frame: str, content: str) -> None:
    assert cobs_decoded(bytes.fromhex(frame)) == bytes.fromhex(content)


def test_cobs_knows_runs_of_254_bytes_without_a_zero() -> None:
    run = bytes(range(1, 255))
    assert cobs_decoded(b"\xff" + run) == run
    assert cobs_decoded(b"\xff" + run + b"\x02\xff") == run + b"\xff"
    assert cobs_decoded(b"\xff" + run + b"\x01\x01") == run + b"\0"


@pytest.mark.parametrize("frame", [b"\x05\x11", b"\x02", b"\x00", b"\x02\x11\x00"])
def test_what_is_no_cobs_is_none(frame: bytes) -> None:
    assert cobs_decoded(frame) is None


def test_slip_undoes_its_two_escapes_and_knows_no_others() -> None:
    assert slip_decoded(b"a\xdb\xdcb\xdb\xddc") == b"a\xc0b\xdbc"
    for wrong in (b"a\xdb", b"\xdb\xdb", b"\xdbx\xdb\xdc"):
        assert slip_decoded(wrong) is None


@given(st.binary(max_size=600))
def test_both_give_back_what_was_stuffed(content: bytes) -> None:
    assert cobs_decoded(cobs(content)) == content
    assert slip_decoded(slip(content)) == content


@given(st.binary(max_size=60))
def test_any_bytes_are_content_or_none(frame: bytes) -> None:
    for decoded in (cobs_decoded(frame), slip_decoded(frame)):
        assert decoded is None or len(decoded) <= len(frame)

"""What every framer keeps, whatever its framing."""

import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.framers.streams import (
    CUTS,
    FRAMINGS,
    MAX_BYTES,
    STREAMS,
    Framing,
    framer,
    pieces,
)

every_framing = pytest.mark.parametrize("framing", FRAMINGS, ids=str)


def fed(framing: Framing, chunks: Iterable[bytes], *, joins_midway: bool) -> tuple[object, ...]:
    """The frames, and what was counted."""
    config = {**framing.config, "max_bytes": MAX_BYTES}
    cutting, rejects = framer(config, joins_midway=joins_midway)
    frames = [frame for chunk in chunks for frame in cutting.feed(chunk)]
    return frames, rejects.counts


@every_framing
@given(data=st.data(), cuts=CUTS, joins_midway=st.booleans())
def test_the_same_stream_gives_the_same_frames_and_counts_however_it_is_cut(
    framing: Framing, data: st.DataObject, cuts: list[int], joins_midway: bool
) -> None:
    stream = data.draw(framing.traffic)
    whole = fed(framing, [stream], joins_midway=joins_midway)
    assert fed(framing, pieces(stream, cuts), joins_midway=joins_midway) == whole
    single = (bytes([byte]) for byte in stream)
    assert fed(framing, single, joins_midway=joins_midway) == whole


@every_framing
@given(data=st.data(), cuts=CUTS)
def test_what_was_framed_comes_out_again(
    framing: Framing, data: st.DataObject, cuts: list[int]
) -> None:
    payloads = data.draw(st.lists(framing.payloads, max_size=10))
    stream = b"".join(map(framing.wrap, payloads))
    frames, counts = fed(framing, pieces(stream, cuts), joins_midway=False)
    assert frames == list(map(framing.content, payloads))
    assert counts == {}


@every_framing
@given(data=st.data(), garbage=STREAMS)
def test_after_garbage_and_some_frames_all_is_well_again(
    framing: Framing, data: st.DataObject, garbage: bytes
) -> None:
    cutting, _ = framer({**framing.config, "max_bytes": MAX_BYTES})
    cutting.feed(garbage)
    payload = data.draw(framing.payloads)
    lost = MAX_BYTES // len(framing.wrap(payload)) + 2
    last = data.draw(st.lists(framing.payloads, min_size=1, max_size=3))
    cutting.feed(b"".join(framing.wrap(payload) for _ in range(lost)))
    frames = cutting.feed(b"".join(map(framing.wrap, last)))
    assert frames[-len(last) :] == list(map(framing.content, last))


@every_framing
@given(stream=STREAMS, cuts=CUTS)
def test_a_pause_never_raises_and_leaves_nothing_that_spoils_the_next_frame(
    framing: Framing, stream: bytes, cuts: list[int]
) -> None:
    cutting, rejects = framer({**framing.config, "max_bytes": MAX_BYTES})
    for piece in pieces(stream, cuts):
        cutting.feed(piece)
        cutting.silence()
    assert all(len(bad.content) <= 64 for bad in rejects.last)
    assert len(rejects.last) <= 5
    cutting.restart()
    assert cutting.feed(b"") == []


@every_framing
@pytest.mark.parametrize("junk", [b"x", b"\x02", b"\x68\xff\xff", b"\xaa\x55", b"<<", b"[}"])
def test_endless_junk_takes_no_more_memory_than_a_frame(framing: Framing, junk: bytes) -> None:
    cutting, rejects = framer(framing.config)
    chunk = junk * 1_000
    tracemalloc.start()
    try:
        frames = sum(len(cutting.feed(chunk)) for _ in range(20))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    assert frames or rejects.counts

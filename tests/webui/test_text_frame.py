from __future__ import annotations

import pytest

from tests.webui.client import content_of
from webui.text_frame import text_frame


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, "81 00"),
        (125, "81 7d"),
        (126, "81 7e 00 7e"),
        (65_535, "81 7e ff ff"),
        (65_536, "81 7f 00 00 00 00 00 01 00 00"),
    ],
)
def test_a_frame_tells_its_length_in_as_few_bytes_as_it_takes(size: int, head: str) -> None:
    frame = text_frame(b"x" * size)
    assert frame == bytes.fromhex(head) + b"x" * size
    assert content_of(frame) == b"x" * size

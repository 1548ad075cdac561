from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui import publishing
from webui.errors import RefusedError
from webui.identity import EVERYBODY, Identity
from webui.publishing import PublishRate, limited
from webui.wire import Publication


@given(steps=st.lists(st.floats(0, 3), max_size=200), burst=st.integers(1, 20))
def test_an_address_never_gets_more_than_its_burst_and_what_time_gives(
    steps: list[float], burst: int
) -> None:
    rate, now = PublishRate(per_s=2, burst=burst), 0.0
    taken: list[float] = []
    for step in steps:
        now += step
        if rate.take("a", now):
            taken.append(now)
    for start, began in enumerate(taken):
        for count, at in enumerate(taken[start:], 1):
            assert count <= burst + (at - began) * 2 + 1e-6


@given(gaps=st.lists(st.floats(0.5, 3), max_size=50))
def test_an_address_that_keeps_to_the_rate_is_never_refused(gaps: list[float]) -> None:
    rate, now = PublishRate(per_s=2, burst=1), 0.0
    assert rate.take("a", now)
    for gap in gaps:
        now += gap + 1e-6
        assert rate.take("a", now)


def test_addresses_do_not_disturb_each_other_and_only_so_many_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "MAX_SOURCES", 3)
    rate = PublishRate(per_s=1, burst=1)
    assert [rate.take(source, 0) for source in "aabb"] == [True, False, True, False]
    assert [rate.take(source, 0) for source in "cd"] == [True, True]
    assert [rate.take(source, 0) for source in "bda"] == [False, False, True], "a was forgotten"


def test_who_publishes_too_fast_is_told_so_and_nothing_is_published() -> None:
    published: list[int] = []

    def publish(_identity: Identity, _publication: Publication, frame_id: int) -> None:
        published.append(frame_id)

    slow = limited(publish, PublishRate(per_s=1e-6, burst=2), "192.0.2.1")
    for frame_id in (1, 2):
        slow(EVERYBODY, Publication("a"), frame_id)
    with pytest.raises(RefusedError, match=r"from 192\.0\.2\.1: wait") as refusal:
        slow(EVERYBODY, Publication("a"), 3)
    assert (refusal.value.code, refusal.value.frame_id) == ("rate_limited", 3)
    assert published == [1, 2]

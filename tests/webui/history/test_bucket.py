from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webui.history.samples import NOON_S, Expected, Sample, expected, samples
from webui.history.bucket import Bucket
from webui.history.coarse import Coarse
from webui.history.level import HOUR, MINUTE


def seconds(all_samples: list[Sample]) -> list[Bucket]:
    found: dict[int, Bucket] = {}
    for sample in all_samples:
        start = sample.time_ms // 1000
        if start in found:
            found[start].add(sample.time_ms, sample.value)
        else:
            found[start] = Bucket.of(start, sample.time_ms, sample.value)
    return list(found.values())


def said(bucket: Bucket) -> Expected:
    return Expected(
        bucket.first_ms, bucket.low, bucket.mean, bucket.high, bucket.last, bucket.count
    )


@given(samples(10))
def test_a_bucket_says_of_its_samples_what_is_true_in_whatever_order_they_come(
    all_samples: list[Sample],
) -> None:
    found = {bucket.start: said(bucket) for bucket in seconds(all_samples)}
    assert found == expected(all_samples, 1)


@given(samples(7200))
def test_minutes_and_hours_say_of_all_samples_what_is_true(all_samples: list[Sample]) -> None:
    coarse = Coarse({1: NOON_S + 7200})
    # Buckets of a second don't tell which of two samples at one time was the later.
    distinct = list({sample.time_ms: sample for sample in all_samples}.values())
    for bucket in seconds(distinct):
        coarse.add(1, bucket)
    for level in (MINUTE, HOUR):
        found = {bucket.start: said(bucket) for _, bucket in coarse.of(level)}
        assert found == expected(distinct, level.width_s)
    assert coarse.later == set()


@given(samples(3, most=10), st.integers(1, 3600))
def test_a_row_holds_all_of_a_bucket(all_samples: list[Sample], width_s: int) -> None:
    for bucket in seconds(all_samples):
        wide = bucket.within(width_s)
        read = Bucket.from_row(wide.row)
        assert read.mean == pytest.approx(wide.mean)
        assert replace(said(read), mean=0) == replace(said(wide), mean=0)
        assert wide.start % width_s == 0
        assert 0 <= wide.row[1] <= wide.row[2] < width_s * 1000

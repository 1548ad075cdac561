from __future__ import annotations

import json

from gateway.latency import BUCKETS_S, PublishLatency


def test_each_bucket_counts_all_that_took_no_longer() -> None:
    latency = PublishLatency()
    for took_ms in (1, 3, 40, 7_000):
        latency.observe(1_700_000_000_000, 1_700_000_000_000 + took_ms)
    summary = latency.summary()
    buckets = summary["buckets"]
    assert isinstance(buckets, dict)
    assert [float(bound) for bound in buckets] == [*BUCKETS_S, float("inf")]
    assert (buckets["0.001"], buckets["0.0025"], buckets["0.005"]) == (1, 1, 2)
    assert (buckets["0.05"], buckets["5.0"], buckets["+Inf"]) == (3, 3, 4)
    assert summary["sum"] == 7.044
    json.dumps(summary)


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    latency = PublishLatency()
    latency.observe(2000, 1000)
    assert latency.summary()["sum"] == 0

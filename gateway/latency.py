"""How long measurements take from being read to being published, as a histogram."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Histogram

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""From what an idle machine takes to what nobody calls live any more."""


class PublishLatency:
    """Takes one measurement of each burst; what it counted goes out with `bridge/health`."""

    def __init__(self) -> None:
        self._histogram = Histogram(
            "read_to_publish_seconds", "From read to published", registry=None, buckets=BUCKETS_S
        )

    def observe(self, read_ms: int, now_ms: int) -> None:
        """A measurement was published that was read at `read_ms`; both are ms since 1970."""
        self._histogram.observe(max(0, now_ms - read_ms) / 1000)

    def summary(self) -> Mapping[str, object]:
        """`buckets`: upper bound in seconds → how many took no longer; and the `sum` of all."""
        (metric,) = self._histogram.collect()
        values = {sample.name: sample.value for sample in metric.samples}
        buckets = {
            sample.labels["le"]: int(sample.value)
            for sample in metric.samples
            if sample.name.endswith("_bucket")
        }
        return {"buckets": buckets, "sum": round(values["read_to_publish_seconds_sum"], 6)}

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.history.backlog import LateMeasurement, measurements

TIME = "2026-11-21T08:15:30.250Z"
TIME_MS = 1_795_248_930_250
NOW_MS = TIME_MS + 60_000


def test_a_measurement_or_a_list_of_them_each_has_its_own_time() -> None:
    one = b'{"time":"%b","temperature":21.5,"pump":true,"mode":"eco","x":null}' % TIME.encode()
    late = LateMeasurement(TIME_MS, {"temperature": 21.5, "pump": 1.0})
    assert measurements(one, NOW_MS) == ([late], 0)
    two = b'[%b,{"time":%d,"temperature":22}]' % (one, TIME_MS + 1)
    after = LateMeasurement(TIME_MS + 1, {"temperature": 22.0})
    assert measurements(two, NOW_MS) == ([late, after], 0)


def test_what_is_no_point_is_passed_over() -> None:
    payload = b'{"time":"%b","availability":1,"set":2,"a/b":3,"":4,"c":5}' % TIME.encode()
    assert measurements(payload, NOW_MS) == ([LateMeasurement(TIME_MS, {"c": 5.0})], 0)


@pytest.mark.parametrize(
    "wrong",
    [b"{}", b'{"time":null}', b'{"time":"soon"}', b'{"time":0}', b'{"time":9e12}', b"7", b"[]"],
)
def test_a_measurement_without_a_time_that_can_be_is_refused_alone(wrong: bytes) -> None:
    good = b'{"time":"%b","a":1}' % TIME.encode()
    found, refused = measurements(b"[%b,%b]" % (wrong, good), NOW_MS)
    assert (len(found), refused) == (1, 1)


def test_what_is_no_json_is_one_refusal() -> None:
    assert measurements(b"{", NOW_MS) == ([], 1)
    assert measurements(b"[]", NOW_MS) == ([], 0)


@given(st.binary(max_size=100))
def test_any_payload_is_taken_or_refused(payload: bytes) -> None:
    found, refused = measurements(payload, NOW_MS)
    assert len(found) + refused >= 0

"""When to ask, with a clock of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.readers.polling import PollConfig, Polling


def polling(*send: str, **keys: object) -> Polling:
    return Polling(PollConfig.model_validate({"send": list(send), **keys}))


def test_the_first_request_is_due_at_once_and_the_next_when_its_time_comes() -> None:
    asking = polling("T?\r\n", every_s=5)
    assert asking.due(100.0) == b"T?\r\n"
    asking.sent(100.0)
    assert asking.due(100.0) is None
    asking.answered()
    assert asking.due(104.9) is None
    assert asking.wait_s(104.0) == 1.0
    assert asking.due(105.0) == b"T?\r\n"


def test_the_cadence_does_not_drift_and_is_not_made_up_for() -> None:
    asking = polling("?", every_s=5)
    for now_s, next_s in ((100.0, 105.0), (105.2, 110.0), (133.0, 133.0), (133.1, 138.0)):
        assert asking.due(now_s)
        asking.sent(now_s)
        asking.answered()
        assert asking.wait_s(now_s) == pytest.approx(next_s - now_s)


def test_several_requests_go_out_one_after_the_other_each_after_its_answer() -> None:
    asking = polling("hex:01", "hex:02 03", every_s=10)
    sent = []
    for now_s in (0.0, 0.1, 0.2, 10.0):
        if request := asking.due(now_s):
            sent.append((now_s, request))
            asking.sent(now_s)
            assert asking.is_waiting
            asking.answered()
    assert sent == [(0.0, b"\x01"), (0.1, b"\x02\x03"), (10.0, b"\x01")]


def test_a_request_without_an_answer_is_given_up_and_the_next_goes_out() -> None:
    asking = polling("A", "B", timeout_s=2, every_s=60)
    asking.sent(0.0)
    assert asking.unanswered(1.9) is None
    assert asking.wait_s(1.5) == 0.5
    assert asking.unanswered(2.0) == b"A"
    assert asking.unanswered(2.0) is None
    assert asking.due(2.0) == b"B"
    assert asking.wait_s(2.0) == 0


def test_what_comes_unasked_answers_nothing() -> None:
    asking = polling("A", "B")
    asking.answered()
    assert asking.due(0.0) == b"A"


def test_a_restart_begins_with_a_round() -> None:
    asking = polling("A", "B", every_s=60)
    asking.sent(0.0)
    asking.answered()
    asking.sent(0.1)
    asking.restart()
    assert asking.due(0.2) == b"A"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"send": []}, "at least 1 item"),
        ({"send": "hex:0"}, "must hold pairs of hexadecimal digits"),
        ({"send": ["°"]}, "is no ASCII"),
        ({"send": "T?", "timeout_s": 0}, "greater than or equal to 0.01"),
    ],
)
def test_a_section_that_can_not_be_is_refused(keys: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        PollConfig.model_validate(keys)


EVENTS = st.lists(st.tuples(st.sampled_from(["answer", "nothing"]), st.floats(0, 3)), max_size=50)


@given(EVENTS, st.integers(1, 3))
def test_one_request_is_out_at_a_time_and_they_take_turns(
    events: list[tuple[str, float]], requests: int
) -> None:
    asking = polling(*(str(number) for number in range(requests)), every_s=1, timeout_s=1)
    now_s, sent = 0.0, list[bytes]()
    for event, pause_s in events:
        now_s += pause_s
        asking.unanswered(now_s)
        if event == "answer":
            asking.answered()
        if (request := asking.due(now_s)) is not None:
            assert not asking.is_waiting
            sent.append(request)
            asking.sent(now_s)
        assert asking.wait_s(now_s) <= 1 + 1e-9
    assert sent == [str(number % requests).encode() for number in range(len(sent))]

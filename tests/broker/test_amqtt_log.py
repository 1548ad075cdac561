from __future__ import annotations

import logging

import pytest

from broker.amqtt_log import hush_amqtt, quiet_amqtt


def warn(number: int) -> None:
    logging.getLogger("amqtt.broker").warning("lost %d", number)


def test_a_flood_from_one_line_of_amqtt_is_one_line_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with quiet_amqtt():
        for number in range(1000):
            warn(number)
    assert caplog.messages == ["amqtt: lost 0"]


def test_after_a_minute_the_line_comes_again_with_the_number_of_those_between(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("broker.amqtt_log.time.monotonic", lambda: now)
    with quiet_amqtt():
        for number in (1, 2, 3):
            warn(number)
        now += 61
        warn(4)
    assert caplog.messages == ["amqtt: lost 1", "amqtt: lost 4 (and 2 more such)"]


def test_what_is_less_than_a_warning_is_not_heard(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), quiet_amqtt():
        logging.getLogger("amqtt.broker").info("a client came")
        logging.getLogger("transitions.core").info("a state changed")
    assert caplog.messages == []


def test_nothing_is_heard_while_it_stops_and_all_is_as_before_afterwards(
    caplog: pytest.LogCaptureFixture,
) -> None:
    amqtt = logging.getLogger("amqtt")
    before = amqtt.level, amqtt.propagate, list(amqtt.handlers)
    with quiet_amqtt():
        hush_amqtt()
        warn(1)
    assert (amqtt.level, amqtt.propagate, list(amqtt.handlers)) == before
    assert caplog.messages == []

from __future__ import annotations

import tracemalloc
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from broker.link import Message
from tests.webui.client import Client, matching
from webui.cursor import Lag
from webui.errors import RefusedError
from webui.hub import Hub, HubLimits
from webui.wire import Gap, Mode, frame_of_messages

TOPICS = ("a", "a/b", "a/c", "b", "b/c/d", "cmd/a", "cmd/b", "$SYS/x")
FILTERS = (
    ("#",),
    ("a/#",),
    ("+",),
    ("a/b",),
    ("a/+", "b/#"),
    ("cmd/#",),
    ("#", "$SYS/#"),
    ("nothing/here",),
)


def is_kept(topic: str) -> bool:
    return not topic.startswith("cmd/")


def of(topic: str, payload: str = "x", *, retain: bool = False) -> Message:
    return Message(topic, payload.encode(), retain=retain)


messages = st.builds(
    of,
    st.sampled_from(TOPICS),
    st.sampled_from(["", "1", "2", "3", "long " * 30]),
    retain=st.booleans(),
)
limits = st.builds(
    HubLimits,
    log_messages=st.integers(1, 20),
    log_bytes=st.integers(1, 4000),
    channel_references=st.integers(1, 60),
    last_topics=st.just(len(TOPICS)),
    last_bytes=st.just(100_000),
    tombstones=st.integers(0, 4),
    routed_topics=st.integers(1, 4),
    sweep_messages=st.integers(1, 10),
    sweep_bytes=st.integers(1, 4000),
    frame_bytes=st.integers(1, 1000),
)
crowded_limits = st.builds(
    HubLimits,
    log_messages=st.integers(1, 20),
    log_bytes=st.integers(1, 4000),
    channel_references=st.integers(1, 60),
    last_topics=st.integers(0, 5),
    last_bytes=st.integers(0, 800),
    tombstones=st.integers(0, 4),
    frame_bytes=st.integers(1, 1000),
)


class HubMachine(RuleBasedStateMachine):
    """Any traffic, any clients, any pace, beside a broker and a hub that forget nothing."""

    is_crowded = False

    @initialize(limits=limits)
    def begin(self, limits: HubLimits) -> None:
        self.begin_with(limits)

    def begin_with(self, limits: HubLimits) -> None:
        self.limits = limits
        self.hub = Hub("e1", is_kept, limits)
        self.history: list[tuple[int, str]] = []
        self.truth: dict[str, tuple[str, bool]] = {}
        self.clients: list[Client] = []
        self.everyone: list[Client] = []
        self.unconfirmed: set[str] | None = None
        self.link_gaps_due: dict[Client, int] = {}

    # --- traffic

    @rule(burst=st.lists(messages, min_size=1, max_size=8))
    def publish(self, burst: list[Message]) -> None:
        before = self.hub.seq
        self.hub.publish(burst, time_ms=1)
        new = [message for message in burst if self._is_new(message)]
        assert self.hub.seq == before + len(new)
        self.history += [(before + n, message.topic) for n, message in enumerate(new, 1)]

    def _is_new(self, message: Message) -> bool:
        """Whether the hub should take it for a message; keeps the truth."""
        payload = message.payload.decode()
        if self.unconfirmed is not None:
            self.unconfirmed.discard(message.topic)
            if message.retain and self.truth.get(message.topic, ("", False))[0] == payload != "":
                return False
        if is_kept(message.topic):
            self.truth.pop(message.topic, None)
            if payload:
                self.truth[message.topic] = (payload, message.retain)
        return True

    @precondition(lambda self: not self.is_crowded)
    @rule()
    def link_comes_back(self) -> None:
        self.hub.begin_resync()
        self.unconfirmed = {topic for topic, (_, is_retained) in self.truth.items() if is_retained}
        for client in self.clients:
            self.link_gaps_due[client] = self.hub.seq

    @precondition(lambda self: self.unconfirmed is not None)
    @rule()
    def replay_ends(self) -> None:
        assert self.unconfirmed is not None
        before = self.hub.seq
        self.hub.end_resync(time_ms=2)
        for topic in self.unconfirmed:
            del self.truth[topic]
        self.history += [(before + n, topic) for n, topic in enumerate(sorted(self.unconfirmed), 1)]
        self.unconfirmed = None

    # --- clients

    @rule(
        filters=st.sampled_from(FILTERS),
        mode=st.sampled_from(["all", "latest"]),
        since=st.sampled_from([None, "now", "other-1", "e1-999999"]),
    )
    def subscribe(self, filters: tuple[str, ...], mode: Mode, since: str | None) -> None:
        if len(self.clients) > 8:
            return
        client = Client(self.hub, filters, mode, since)
        self.clients.append(client)
        self.everyone.append(client)
        assert client.welcome.seq == self.hub.seq
        assert client.welcome.recovered is (False if since and since != "now" else None)
        if since == "now":  # it knows by other means what is there
            client.values = self._true_values(client)

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), pulls=st.integers(1, 5))
    def pull(self, data: st.DataObject, pulls: int) -> None:
        client = data.draw(st.sampled_from(self.clients))
        for _ in range(pulls):
            self._pull(client)

    def _pull(self, client: Client) -> bool:
        due_at = self.link_gaps_due.get(client)
        taken = client.pull()
        if isinstance(taken, Gap) and taken.reset and taken.reason == "slow":
            self.link_gaps_due.pop(client, None)
        if isinstance(taken, Gap) and taken.reason == "link":
            assert due_at is not None, "a link gap that no outage made"
            if client.mode == "all" and all(gap.reason == "link" for gap in client.gaps):
                assert client.seen is None or client.seen <= due_at, "told too late"
            del self.link_gaps_due[client]
        if isinstance(taken, list):
            frame = client.frames[-1]
            assert len(frame) <= self.limits.frame_bytes or len(taken) == 1
        return taken is not None

    def _pull_all(self, client: Client) -> None:
        for _ in range(1000):
            if not self._pull(client):
                return
        raise AssertionError("a cursor that never comes to its end")

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def catch_up(self, data: st.DataObject) -> None:
        client = data.draw(st.sampled_from(self.clients))
        self._pull_all(client)
        self.check_complete(client)

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def cut_and_resume(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.clients) - 1))
        old = self.clients[index]
        if old.since == "now" and old.seen is None:
            return  # it never learned a place to resume from
        seen, history = old.seen, self.history
        client = self.clients[index] = old.resumed()
        self.everyone.append(client)
        self.link_gaps_due.pop(old, None)
        if seen is None:
            assert client.welcome.recovered is None
        elif client.welcome.recovered and self.hub.link_gaps and seen <= self.hub.link_gap_seq:
            self.link_gaps_due[client] = self.hub.link_gap_seq
        if client.welcome.recovered:
            assert seen is not None
            pulled: list[int] = []
            for _ in range(1000):
                taken = client.pull()
                if taken is None:
                    break
                if isinstance(taken, Gap):
                    assert taken.reason == "link"
                    del self.link_gaps_due[client]
                else:
                    pulled += [message["seq"] for message in taken]
            if client.mode == "all":
                assert pulled == [
                    seq for seq, topic in history if seq > seen and matching(client.filters, topic)
                ]
            self.check_complete(client)

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        client = self.clients.pop(data.draw(st.integers(0, len(self.clients) - 1)))
        client.close()
        self.link_gaps_due.pop(client, None)

    # --- what must hold

    def _true_values(self, client: Client) -> dict[str, str]:
        return {
            topic: payload
            for topic, (payload, _) in self.truth.items()
            if matching(client.filters, topic)
        }

    def check_complete(self, client: Client) -> None:
        """A client that pulled everything."""
        assert client not in self.link_gaps_due, "an outage of which it was not told"
        assert client.welcome.cursor.lag() == Lag(0, None)
        if not self.is_crowded:
            kept = {topic: value for topic, value in client.values.items() if is_kept(topic)}
            assert kept == self._true_values(client)
        client.skipped_nothing_silently(self.history)

    @invariant()
    def stays_within_its_limits(self) -> None:
        if not hasattr(self, "hub"):
            return
        size, limits = self.hub.size(), self.limits
        assert size.log_messages <= limits.log_messages
        assert size.log_bytes <= limits.log_bytes or size.log_messages == 1
        assert size.last_topics <= limits.last_topics
        assert size.last_bytes <= limits.last_bytes
        assert size.tombstones <= limits.tombstones
        assert size.channels == len({client.filters for client in self.clients})
        assert size.channel_references <= max(limits.channel_references, size.channels)

    @invariant()
    def counts_what_everyone_was_given(self) -> None:
        if not hasattr(self, "hub"):
            return
        counts = self.hub.counts
        gaps = [gap for client in self.everyone for gap in client.gaps]
        assert counts.messages_out == sum(client.received for client in self.everyone)
        assert counts.gaps == Counter(gap.reason for gap in gaps)
        assert counts.missed == sum(gap.missed or 0 for gap in gaps)

    def teardown(self) -> None:
        if not hasattr(self, "hub"):
            return
        for client in self.clients:
            self._pull_all(client)
            self.check_complete(client)
            client.close()
        assert self.hub.size().channels == 0
        assert self.hub.size().channel_references == 0


class CrowdedHubMachine(HubMachine):
    """The same with too little room for last values: what is kept out is counted."""

    is_crowded = True

    @initialize(limits=crowded_limits)
    def begin(self, limits: HubLimits) -> None:
        self.begin_with(limits)


TestHub = HubMachine.TestCase
TestHub.settings = settings(max_examples=150, stateful_step_count=40)
TestCrowdedHub = CrowdedHubMachine.TestCase
TestCrowdedHub.settings = settings(max_examples=60, stateful_step_count=40)


def hub_with(**limits: int) -> Hub:
    return Hub("e1", is_kept, HubLimits(**limits))


def numbers(topic: str, count: int, start: int = 0) -> list[Message]:
    return [of(topic, str(n)) for n in range(start, start + count)]


# --- resume


def test_a_resume_works_where_nobody_watched_these_filters_before() -> None:
    hub = hub_with()
    hub.publish([of("a", "1"), of("b", "1"), of("a", "2")], 1)
    client = Client(hub, ("a",), since="e1-1")
    client.pull_all()
    assert client.welcome.recovered is True
    assert (client.delivered, client.gaps) == ([3], [])


def test_a_resume_within_a_channels_share_works_though_the_log_reaches_further_back() -> None:
    hub = hub_with(log_messages=100, channel_references=50)
    hub.publish(numbers("a", 100), 1)
    client = Client(hub, ("#",), since="e1-90")
    client.pull_all()
    assert client.welcome.recovered is True
    assert client.delivered == list(range(91, 101))


def test_a_few_filters_reach_as_far_back_as_the_log() -> None:
    hub = hub_with(log_messages=100)
    hub.publish(numbers("a", 100), 1)
    client = Client(hub, ("#",), since="e1-0")
    hub.publish([of("b", "1")], 1)
    client.pull_all()
    assert client.welcome.recovered is True
    assert client.delivered == list(range(1, 102))


def test_a_resume_from_beyond_a_channels_share_is_not_called_complete() -> None:
    hub = hub_with(log_messages=100, channel_references=50)
    hub.publish(numbers("a", 100), 1)
    client = Client(hub, ("#",), since="e1-10")
    client.pull_all()
    assert client.welcome.recovered is False
    assert [gap.reason for gap in client.gaps] == ["resume"]


def test_what_a_resume_brought_back_is_not_pushed_out_by_the_next_message() -> None:
    hub = hub_with(log_messages=100, channel_references=50)
    hub.publish(numbers("a", 100), 1)
    client = Client(hub, ("#",), since="e1-60")
    hub.publish([of("a", "new")], 1)
    client.pull_all()
    assert client.delivered == list(range(61, 102))


def test_a_resume_from_before_the_log_counts_nothing_and_brings_the_last_values() -> None:
    hub = hub_with(log_messages=10)
    hub.publish([of("a", "1"), of("b", "1"), *numbers("a", 20)], 1)
    client = Client(hub, ("#",), since="e1-1", values={"a": "1"})
    client.pull_all()
    assert client.welcome.recovered is False
    assert client.gaps == [Gap(0, None, ["b", "a"], reset=False, reason="resume")]
    assert client.values == {"a": "19", "b": "1"}


@pytest.mark.parametrize("since", ["other-1", "e1-3"])
def test_a_place_that_this_hub_never_gave_is_a_reset(since: str) -> None:
    hub = hub_with()
    hub.publish([of("a", "1")], 1)
    client = Client(hub, ("#",), since=since, values={"gone": "1"})
    client.pull_all()
    assert client.welcome.recovered is False
    assert client.gaps == [Gap(0, None, [], reset=True, reason="restart")]
    assert client.values == {"a": "1"}


@pytest.mark.parametrize(
    "since",
    ["", "-", "e1", "e1-", "-1", "e1-x", "e1--1", "e1-1-1", "e1-¹", "e1-" + "9" * 17, "NOW"],
)
def test_a_malformed_place_is_refused_and_leaves_nothing_behind(since: str) -> None:
    hub = hub_with()
    with pytest.raises(RefusedError, match="since must be") as refusal:
        hub.subscribe(("#",), render=frame_of_messages(7), wake=print, frame_id=7, since=since)
    assert (refusal.value.code, refusal.value.frame_id) == ("bad_frame", 7)
    assert hub.size().channels == 0


# --- slow


def test_a_slow_cursor_is_told_how_much_it_missed_and_gets_the_newest() -> None:
    hub = hub_with(log_messages=10)
    client = Client(hub, ("#",))
    hub.publish([*numbers("a", 30), *numbers("cmd/a", 3), of("b", "1")], 1)
    client.pull_all()
    assert client.gaps == [Gap(0, 32, ["a", "b"], reset=False, reason="slow")]
    assert client.delivered == [30, 34]


def test_a_gap_names_sixteen_topics_at_most() -> None:
    hub = hub_with(log_messages=10)
    client = Client(hub, ("#",))
    hub.publish([of(f"t/{n}") for n in range(17)], 1)
    client.pull_all()
    assert client.gaps == [Gap(0, 0, [], reset=False, reason="slow")]


def test_a_tombstone_that_is_dropped_before_a_slow_cursor_was_told_makes_a_reset() -> None:
    hub = hub_with(channel_references=2, tombstones=1, frame_bytes=1)
    client = Client(hub, ("#",))
    hub.publish([of("a", "1"), of("b", "1")], 1)
    client.pull_all()
    hub.publish([of("c", "1"), of("d", "1"), of("a", "")], 1)
    client.pull()
    client.pull()
    hub.publish([of("b", "")], 1)  # pushes out the tombstone of a
    client.pull_all()
    assert [gap.reset for gap in client.gaps] == [False, True]
    assert client.values == {"c": "1", "d": "1"}


def test_what_is_overtaken_while_a_slow_cursor_catches_up_is_counted_too() -> None:
    hub = hub_with(channel_references=3, frame_bytes=1)
    client = Client(hub, ("#",))
    hub.publish([of("a"), of("a"), of("b"), of("c"), of("d")], 1)
    client.pull()
    client.pull()
    hub.publish([of("c", "2")], 1)
    client.pull_all()
    assert client.gaps == [
        Gap(0, 1, ["a", "b", "c", "d"], reset=False, reason="slow"),
        Gap(0, 1, ["c"], reset=False, reason="slow"),
    ]
    assert client.delivered == [2, 3, 5, 6]


def test_a_slow_cursor_from_before_the_oldest_tombstone_makes_a_reset() -> None:
    hub = hub_with(channel_references=2, tombstones=1)
    client = Client(hub, ("#",))
    hub.publish([of("a"), of("b")], 1)
    client.pull_all()
    hub.publish([of("a", ""), of("b", ""), of("c")], 1)
    client.pull_all()
    assert client.gaps == [Gap(0, None, [], reset=True, reason="slow")]
    assert client.values == {"c": "x"}


def test_a_newcomer_need_not_know_of_topics_that_were_gone_before_it_came() -> None:
    hub = hub_with(channel_references=2, tombstones=0)
    hub.publish([of("a"), of("b"), of("b", "")], 1)
    client = Client(hub, ("#",))
    client.pull_all()
    hub.publish(numbers("c", 5), 1)
    client.pull_all()
    assert [gap.reset for gap in client.gaps] == [False]


def test_latest_mode_skips_without_a_gap() -> None:
    hub = hub_with(log_messages=10)
    client = Client(hub, ("#",), mode="latest")
    hub.publish([of("a", "1"), of("b", "1"), of("a", "2")], 1)
    client.pull_all()
    hub.publish(numbers("a", 30), 1)
    client.pull_all()
    assert client.gaps == []
    assert client.delivered == [2, 3, 33]


# --- the link to the broker


def test_a_slow_cursor_is_told_of_an_outage_too() -> None:
    hub = hub_with(log_messages=10)
    client = Client(hub, ("#",))
    hub.begin_resync()
    hub.publish(numbers("a", 30), 1)
    client.pull_all()
    assert [(gap.reason, gap.missed) for gap in client.gaps] == [("link", None), ("slow", 29)]


def test_after_an_outage_the_gap_stands_between_what_came_before_and_after() -> None:
    hub = hub_with()
    client = Client(hub, ("#",))
    hub.publish([of("a", "1")], 1)
    hub.begin_resync()
    hub.publish([of("a", "2")], 1)
    taken = [client.pull() for _ in range(4)]
    assert taken[1] == Gap(0, None, [], reset=False, reason="link")
    assert [type(each) for each in taken] == [list, Gap, list, type(None)]


def test_a_replay_that_says_nothing_new_is_no_message() -> None:
    hub = hub_with()
    hub.publish([of("a", "1", retain=True), of("b", "1", retain=True), of("c", "1")], 1)
    hub.begin_resync()
    hub.publish([of("a", "1", retain=True), of("b", "2", retain=True)], 2)
    assert hub.seq == 4
    hub.end_resync(3)
    assert hub.seq == 4


def test_what_the_broker_no_longer_retains_is_gone_after_the_replay() -> None:
    hub = hub_with()
    client = Client(hub, ("#",))
    hub.publish([of("a", "1", retain=True), of("b", "1", retain=True), of("c", "1")], 1)
    hub.begin_resync()
    hub.publish([of("b", "1", retain=True)], 2)
    hub.end_resync(3)
    client.pull_all()
    assert client.values == {"b": "1", "c": "1"}


def test_what_is_published_live_during_the_replay_is_not_gone_after_it() -> None:
    hub = hub_with()
    hub.publish([of("a", "1", retain=True)], 1)
    hub.begin_resync()
    hub.publish([of("a", "2")], 2)
    hub.end_resync(3)
    assert hub.last_payload("a") == b"2"


def test_an_outage_during_the_replay_begins_it_anew() -> None:
    hub = hub_with()
    hub.publish([of("a", "1", retain=True)], 1)
    hub.begin_resync()
    hub.publish([of("a", "1", retain=True)], 2)
    hub.begin_resync()
    hub.end_resync(3)
    assert hub.last_payload("a") is None


# --- sharing and bounds


def test_cursors_at_the_same_place_get_the_very_same_frame() -> None:
    hub = hub_with()
    clients = [Client(hub, ("a/#",)) for _ in range(3)]
    other = Client(hub, ("a/#",), frame_id=1)
    hub.publish([of("a/b", "1"), of("a/c", "1")], 1)
    for client in (*clients, other):
        client.pull_all()
    assert clients[0].frames[0] is clients[1].frames[0] is clients[2].frames[0]
    assert other.frames[0] != clients[0].frames[0]


def test_a_cursor_behind_the_others_shares_from_where_it_meets_them() -> None:
    hub = hub_with()
    quick, late = Client(hub, ("#",)), Client(hub, ("#",))
    hub.publish([of("a", "1")], 1)
    quick.pull_all()
    hub.publish([of("a", "2")], 1)
    quick.pull_all()
    late.pull_all()
    hub.publish([of("a", "3")], 1)
    quick.pull_all()
    late.pull_all()
    assert len(late.frames) == 2
    assert late.frames[-1] is quick.frames[-1]


def test_newcomers_share_one_look_at_the_last_values_while_their_topics_are_quiet() -> None:
    hub = hub_with()
    hub.publish([of("a", "1"), of("b", "1")], 1)
    channel = Client(hub, ("a",)).welcome.cursor.channel
    first = hub.snapshot(channel, 0, tombstones=False)
    hub.publish([of("b", "2")], 1)
    assert hub.snapshot(channel, 0, tombstones=False) is first
    hub.publish([of("a", "2")], 1)
    assert hub.snapshot(channel, 0, tombstones=False) is not first


def test_a_channel_gets_its_room_back_when_the_others_have_gone() -> None:
    hub = hub_with(log_messages=100, channel_references=100)
    first = Client(hub, ("#",))
    others = [Client(hub, (f"other/{n}",)) for n in range(9)]
    for other in others:
        other.close()
    hub.publish(numbers("a", 100), 1)
    first.pull_all()
    assert first.gaps == []


def test_channels_let_go_of_what_left_the_log() -> None:
    hub = hub_with(log_bytes=10_000, sweep_messages=10)
    Client(hub, ("quiet",))
    hub.publish(numbers("quiet", 5), 1)
    hub.publish([of("loud", "x" * 1000) for _ in range(50)], 1)
    assert hub.size().channel_references == 0


def test_the_newest_message_stays_in_the_log_however_large_it_is() -> None:
    hub = hub_with(log_bytes=100)
    client = Client(hub, ("#",))
    hub.publish([of("a", "x" * 1000)], 1)
    client.pull_all()
    assert client.values == {"a": "x" * 1000}
    assert hub.size().log_messages == 1


def test_a_frozen_cursor_costs_no_more_than_the_names_of_the_topics() -> None:
    hub = hub_with(log_messages=100, log_bytes=100_000)
    frozen = [Client(hub, ("#",)) for _ in range(200)]
    for client in frozen:
        client.pull()
    hub.publish([of(f"t/{n % 20}", "x" * 500) for n in range(200)], 1)
    tracemalloc.start()
    for round_ in range(50):
        hub.publish([of(f"t/{n % 20}", f"{round_}" * 500) for n in range(200)], 1)
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now < 1_000_000
    frozen[0].pull_all()
    assert frozen[0].values.keys() == {f"t/{n}" for n in range(20)}


# --- what is counted


def test_a_cursor_knows_how_far_behind_it_is_and_since_when() -> None:
    hub = hub_with()
    hub.publish(numbers("a", 2), time_ms=1000)
    hub.publish([of("b")], time_ms=2000)
    client = Client(hub, ("#",))
    assert client.welcome.cursor.lag() == Lag(2, None)
    client.pull_all()
    hub.publish(numbers("a", 3), time_ms=5000)
    hub.publish(numbers("a", 3), time_ms=6000)
    assert client.welcome.cursor.lag() == Lag(6, 5000)
    assert list(hub.cursors()) == [client.welcome.cursor]


def test_a_cursor_that_fell_off_the_log_is_behind_since_the_oldest_message_there() -> None:
    hub = hub_with(log_messages=4, sweep_messages=1)
    client = Client(hub, ("a",))
    for time_ms in range(10):
        hub.publish([of("a", str(time_ms))], time_ms=time_ms)
    assert client.welcome.cursor.lag() == Lag(10, 6)


def test_bytes_in_are_those_of_all_that_came_whatever_has_left_the_log() -> None:
    hub, all_kept = hub_with(log_messages=2), hub_with()
    for each in (hub, all_kept):
        each.publish(numbers("a", 50), time_ms=1)
    assert hub.bytes_in == all_kept.bytes_in == all_kept.size().log_bytes > 0


def test_what_a_latest_subscription_skips_is_counted_as_conflated_and_not_as_missed() -> None:
    hub = hub_with(log_messages=20, sweep_messages=1)
    client = Client(hub, ("#",), mode="latest")
    hub.publish(numbers("a", 10), time_ms=1)
    client.pull_all()
    assert (hub.counts.messages_out, hub.counts.conflated) == (1, 9)
    hub.publish(numbers("a", 50), time_ms=1)
    client.pull_all()
    assert (hub.counts.messages_out, hub.counts.conflated) == (2, 58)
    assert hub.counts.missed == 0


def test_bytes_out_are_counted_for_each_session_that_gets_a_frame() -> None:
    hub = hub_with()
    clients = [Client(hub, ("a",), since="now") for _ in range(3)]
    hub.publish(numbers("a", 5), time_ms=1)
    for client in clients:
        client.pull_all()
    assert hub.counts.bytes_out == 3 * hub.bytes_in

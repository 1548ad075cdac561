from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.native.batch import Changes

STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 3), st.booleans()))


@given(st.sets(st.sampled_from("abc")), STEPS)
def test_changes_in_any_number_of_parts_lead_from_what_was_to_what_is(
    before: set[str], steps: list[tuple[str, int | None, bool]]
) -> None:
    file, memory = dict.fromkeys(before, -1), dict.fromkeys(before, -1)
    refused, gathering = Changes[str, int](), Changes[str, int]()
    for key, row, is_cut in steps:
        if row is None:
            if memory.pop(key, None) is not None:
                gathering.drop(key)
        else:
            gathering.put(key, row, is_new=key not in memory)
            memory[key] = row
        if is_cut:  # the disk refused what was gathered until now
            refused.take_in(gathering)
            gathering = Changes()
    refused.take_in(gathering)
    known = set(refused.dropped_ones)
    assert known <= set(file), "what came and went was never there"
    file.update(refused.put_ones)
    for key in known:
        del file[key]
    assert file == memory

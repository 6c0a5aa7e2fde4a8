"""Deadlines against the simplest thing that could be right: a dictionary searched for its smallest value."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from ottla_broker.coordinator.timers import Timers


class Key(NamedTuple):
    partition: int
    name: int


KEYS = st.builds(Key, st.integers(0, 1), st.integers(0, 4))
STEPS = st.one_of(
    st.tuples(st.just("set"), KEYS, st.integers(0, 50)),
    st.tuples(st.just("cancel"), KEYS, st.just(0)),
    st.tuples(st.just("cancel_partition"), KEYS, st.just(0)),
    st.tuples(st.just("pop"), KEYS, st.integers(0, 50)),
    st.tuples(st.just("shift"), KEYS, st.integers(-50, 50)),
)


@given(st.lists(STEPS, max_size=60))
def test_the_earliest_deadline_always_comes_first(steps):
    timers: Timers[Key] = Timers()
    model: dict[Key, int] = {}
    for step, key, number in steps:
        if step == "set":
            timers.set(key, number)
            model[key] = number
        elif step == "cancel":
            timers.cancel(key)
            model.pop(key, None)
        elif step == "cancel_partition":
            timers.cancel_partition(key.partition)
            model = {other: deadline for other, deadline in model.items() if other.partition != key.partition}
        elif step == "shift":
            timers.shift(number)
            model = {other: deadline + number for other, deadline in model.items()}
        else:
            due = timers.pop_due(number)
            if due is None:
                assert all(deadline > number for deadline in model.values())
            else:
                assert model.pop(due) <= min(model.values(), default=number)
        assert timers.next_deadline() == min(model.values(), default=None)
        assert len(timers) == len(model)
        assert all(timers.deadline(key) == deadline for key, deadline in model.items())


def test_pushing_a_deadline_back_keeps_one_entry_in_the_heap():
    timers: Timers[Key] = Timers()
    for deadline_ms in range(10_000):
        timers.set(Key(0, 0), deadline_ms)
    assert len(timers._heap) == 1

"""Changes in columns are what a list of pairs would be."""

from hypothesis import given
from hypothesis import strategies as st

from ottla.state.changes import Change, Changes

PAIRS = st.lists(st.tuples(st.binary(max_size=5), st.none() | st.binary(max_size=5)))


@given(pairs=PAIRS, more=PAIRS, place=st.integers(0, 9))
def test_they_are_what_the_pairs_are(pairs: list[Change], more: list[Change], place: int) -> None:
    changes = Changes.of(pairs)
    assert (list(changes), len(changes)) == (pairs, len(pairs))
    assert list(changes[:place]) == pairs[:place]
    assert changes[place : place + 1] or place >= len(pairs)
    assert list(changes + Changes.of(more)) == pairs + more
    assert dict(pairs) == dict(changes)
    changes += Changes.of(more)
    assert [changes[at] for at in range(len(changes))] == pairs + more
    assert Changes.of(changes) is changes


@given(pairs=PAIRS)
def test_their_size_is_that_of_keys_and_values(pairs: list[Change]) -> None:
    changes = Changes.of(pairs)
    assert changes.size == sum(len(key) + len(value or b"") for key, value in pairs)
    changes += Changes.of([(b"key", b"value")])
    assert changes.size == sum(len(key) + len(value or b"") for key, value in pairs) + 8


@given(pairs=PAIRS, most=st.integers(0, 12))
def test_none_exceeds_what_none_may(pairs: list[Change], most: int) -> None:
    changes = Changes.of(pairs)
    if not changes.may_exceed(most):
        assert all(len(key) + len(value or b"") <= most for key, value in pairs)
    longest = max((len(each or b"") for pair in pairs for each in pair), default=0)
    assert not changes.may_exceed(2 * longest)

"""Compiled aggregations against the same figures computed plainly."""

import statistics
import traceback
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ottla
from ottla.aggregations import State, compile_aggregations


class Sale(msgspec.Struct):
    amount: float | None
    items: int = 1


def aggregate(values: list[Any], **aggregations: ottla.Aggregation) -> Any:
    compiled = compile_aggregations("sales", aggregations)
    state = None
    for timestamp, value in enumerate(values):
        state = compiled.update(state, value, timestamp)
    assert state is not None
    return compiled.result(state)


ALL = {
    "sales": ottla.count(),
    "total": ottla.sum("amount"),
    "average": ottla.mean("amount"),
    "smallest": ottla.minimum("amount"),
    "largest": ottla.maximum("amount"),
    "items": ottla.sum(lambda sale: sale.items),
    "list": ottla.reduce(lambda so_far, sale: [*so_far, sale.amount], list),
}


@given(st.lists(st.none() | st.integers(-1000, 1000), min_size=1))
def test_aggregations_are_what_a_plain_computation_gives(amounts: list[int | None]) -> None:
    result = aggregate([Sale(amount, 2) for amount in amounts], **ALL)
    present = [amount for amount in amounts if amount is not None]
    assert result.sales == len(amounts)
    assert result.total == sum(present)
    assert result.average == (pytest.approx(statistics.fmean(present)) if present else None)
    assert result.smallest == min(present, default=None)
    assert result.largest == max(present, default=None)
    assert result.items == 2 * len(amounts)
    assert result.list == amounts


def test_fields_are_keys_where_values_are_dicts() -> None:
    result = aggregate([{"amount": 1}, {"amount": 3}], total=ottla.sum("amount"))
    assert result.total == 4


def test_an_event_without_a_value_counts_but_has_no_fields() -> None:
    result = aggregate([None, Sale(2.0)], sales=ottla.count(), average=ottla.mean("amount"))
    assert (result.sales, result.average) == (2, 2.0)


def test_reduce_without_an_initial_value_begins_with_the_first_event() -> None:
    def longer(so_far: str, word: str) -> str:
        return max(so_far, word, key=len)

    assert aggregate(["a", "ccc", "bb"], longest=ottla.reduce(longer)).longest == "ccc"


def test_what_comes_after_a_null_value_begins_anew() -> None:
    def longer(so_far: str, word: str) -> str:
        return max(so_far, word, key=len)

    assert aggregate([None, "a", "bbb"], longest=ottla.reduce(longer)).longest == "bbb"


def test_a_state_of_none_is_begun_again() -> None:
    def until_stop(so_far: str, word: str) -> str | None:
        return None if word == "stop" else so_far + word

    assert aggregate(["a", "stop", "b", "c"], text=ottla.reduce(until_stop, ">")).text == ">bc"
    assert aggregate(["a", "stop"], text=ottla.reduce(until_stop, ">")).text is None


def test_a_session_without_a_state_leaves_that_of_the_other() -> None:
    compiled = compile_aggregations("words", {"all": ottla.reduce(lambda one, other: one + other, type=str)})
    assert compiled.merge is not None
    assert compiled.merge((1, None), (2, "b")) == (2, "b")
    assert compiled.merge((1, "a"), (2, None)) == (2, "a")
    assert compiled.merge((1, "a"), (2, "b")) == (2, "ab")


def test_a_null_value_in_a_reduction_survives_being_stored() -> None:
    compiled = compile_aggregations("words", {"all": ottla.reduce(lambda one, other: one + other, type=str)})
    codec = ottla.serdes.state_codec_for(compiled.state_type)
    state = compiled.update(None, None, 1)
    assert codec.decode(codec.encode(state)) == state == (1, None)


def test_the_state_keeps_the_newest_timestamp_whatever_the_order() -> None:
    compiled = compile_aggregations("sales", {"sales": ottla.count()})
    state = None
    for timestamp in (5, 9, 7):
        state = compiled.update(state, Sale(1.0), timestamp)
    assert state == (9, 3)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=1))
def test_state_survives_being_stored(amounts: list[float | None]) -> None:
    compiled = compile_aggregations("sales", ALL)
    state = None
    for amount in amounts:
        state = compiled.update(state, Sale(amount), 0)
    codec = ottla.serdes.state_codec_for(compiled.state_type)
    assert codec.decode(codec.encode(state)) == state


def test_an_update_that_raises_leaves_the_state_as_it_was() -> None:
    compiled = compile_aggregations("sales", ALL)
    state = compiled.update(None, Sale(1.0), 0)
    with pytest.raises(TypeError):
        compiled.update(state, Sale("much"), 1)  # type: ignore[arg-type]
    assert compiled.result(state).sales == 1


EVENTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-9, 9) | st.just("nine"), st.integers(0, 99)))


@given(before=EVENTS, events=EVENTS)
def test_many_events_are_folded_as_they_are_one_by_one(
    before: list[tuple[str, Any, int]], events: list[tuple[str, Any, int]]
) -> None:
    compiled = compile_aggregations("figures", {"n": ottla.count(), "total": ottla.sum(lambda amount: amount + 0)})
    states: dict[str, State] = {}
    for so_far in (before, events):
        expected: dict[str, State] = {}
        for key, value, timestamp in so_far:
            if value != "nine":
                expected[key] = compiled.update(expected.get(key, states.get(key)), value, timestamp)
        written: dict[str, State] = {}
        failures: dict[int, Exception] = {}
        compiled.fold(so_far, written, states.get, failures.__setitem__)
        assert written == expected
        assert list(failures) == [row for row, (_, value, _) in enumerate(so_far) if value == "nine"]
        states |= written


def test_a_traceback_shows_the_compiled_line() -> None:
    compiled = compile_aggregations("sales", {"total": ottla.sum("amount")})
    with pytest.raises(AttributeError) as raised:
        compiled.update(None, 1, 0)
    assert "value.amount" in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: compile_aggregations("sales", {}), "computes nothing"),
        (lambda: compile_aggregations("sales", {"n": 1}), "is no aggregation"),  # type: ignore[dict-item]
        (lambda: ottla.sum("a.b"), "a field name is an identifier"),
        (lambda: ottla.mean(3), "takes a field name or a function"),  # type: ignore[arg-type]
        (lambda: ottla.reduce(lambda so_far, value: (so_far, value)), "annotate the function's return type"),
    ],
)
def test_a_definition_that_cannot_work_is_refused_with_the_reason(make: Any, message: str) -> None:
    with pytest.raises(ottla.OttlaError, match=message):
        make()


def test_a_type_tells_a_restart_what_the_state_is() -> None:
    compiled = compile_aggregations(
        "sales", {"total": ottla.sum("amount", type=Decimal), "least": ottla.minimum("amount", type=Decimal)}
    )
    codec = ottla.serdes.state_codec_for(compiled.state_type)
    state = compiled.update(None, {"amount": Decimal("0.1")}, 0)
    state = compiled.update(codec.decode(codec.encode(state)), {"amount": Decimal("0.2")}, 1)
    assert compiled.result(state) == compiled.result_type(total=Decimal("0.3"), least=Decimal("0.1"))


def test_collect_stops_when_it_is_full_and_leaves_out_what_it_has() -> None:
    sales = [Sale(amount) for amount in (3, None, 1, 3, 2, 1)]
    result = aggregate(
        sales,
        all=ottla.collect("amount"),
        some=ottla.collect("amount", limit=2),
        different=ottla.collect("amount", distinct=True),
        few=ottla.collect("amount", distinct=True, limit=2),
    )
    assert (result.all, result.some, result.different, result.few) == ([3, 1, 3, 2, 1], [3, 1], [3, 1, 2], [3, 1])


def test_top_keeps_the_largest_in_order_and_of_equal_ones_the_first() -> None:
    sales = [Sale(amount, items) for items, amount in enumerate([5, None, 9, 5, 1, 9])]
    result = aggregate(
        sales, largest=ottla.top(3, "amount"), of=ottla.top(4, "amount", of="items"), by=ottla.top(1, lambda s: s.items)
    )
    assert (result.largest, result.of, result.by) == ([9, 9, 5], [2, 5, 0, 3], [5])


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)), st.integers(1, 4))
def test_sessions_that_become_one_have_what_one_session_would_have(
    earlier: list[int], later: list[int], most: int
) -> None:
    compiled = compile_aggregations(
        "sales",
        {
            "some": ottla.collect("amount", limit=most),
            "different": ottla.collect("amount", distinct=True),
            "largest": ottla.top(most, "amount"),
        },
    )
    assert compiled.merge is not None

    def state(amounts: list[int]) -> Any:
        so_far = None
        for amount in amounts:
            so_far = compiled.update(so_far, Sale(amount), 0)
        return so_far

    if earlier and later:
        assert compiled.result(compiled.merge(state(earlier), state(later))) == compiled.result(state(earlier + later))


REMOVABLE = {
    "sales": ottla.count(),
    "total": ottla.sum("amount"),
    "average": ottla.mean("amount"),
    "list": ottla.collect("amount"),
    "items": ottla.reduce(
        lambda so_far, sale: so_far + sale.items, int, remove=lambda so_far, sale: so_far - sale.items
    ),
}


@given(st.lists(st.tuples(st.none() | st.integers(0, 9), st.integers(0, 3)), min_size=1), st.data())
def test_what_is_taken_out_leaves_the_figures_of_the_rest(
    rows: list[tuple[int | None, int]], data: st.DataObject
) -> None:
    compiled = compile_aggregations("sales", REMOVABLE)
    assert compiled.undo is not None
    sales = [Sale(amount, items) for amount, items in rows]
    state = None
    for sale in sales:
        state = compiled.update(state, sale, 0)
    taken = data.draw(st.lists(st.sampled_from(range(len(sales))), unique=True))
    for place in taken:
        assert state is not None
        state = compiled.undo(state, sales[place], 0)
    assert state is not None
    result = compiled.result(state)
    rest = [sale for place, sale in enumerate(sales) if place not in taken]
    amounts = [sale.amount for sale in rest if sale.amount is not None]
    assert (result.sales, result.total, result.items) == (len(rest), sum(amounts), sum(sale.items for sale in rest))
    assert result.average == (pytest.approx(statistics.fmean(amounts)) if amounts else None)
    assert sorted(result.list) == sorted(amounts)


@pytest.mark.parametrize(
    "lasting",
    [
        ottla.minimum("amount"),
        ottla.first("amount"),
        ottla.top(2, "amount"),
        ottla.collect("amount", limit=2),
        ottla.collect("amount", distinct=True),
        ottla.reduce(lambda so_far, _: so_far, int),
    ],
)
def test_what_cannot_be_taken_out_is_known(lasting: ottla.Aggregation) -> None:
    assert compile_aggregations("sales", {"count": ottla.count(), "lasting": lasting}).undo is None


def test_bounds_below_one_are_refused() -> None:
    with pytest.raises(ottla.ConfigError, match=r"collect\(limit=0\) collects nothing"):
        ottla.collect(limit=0)
    with pytest.raises(ottla.ConfigError, match=r"top\(0\) keeps nothing"):
        ottla.top(0, "amount")

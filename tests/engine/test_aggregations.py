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
from ottla.aggregations import compile_aggregations


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

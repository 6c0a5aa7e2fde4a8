"""While a worker runs, garbage is looked for less often, and among what is new."""

import gc
from collections.abc import Iterator

import pytest

from ottla.worker.garbage import collected_seldom


@pytest.fixture(autouse=True)
def _thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.parametrize(("young", "meanwhile"), [(700, 25_000), (2_000, 25_000), (100_000, 100_000), (0, 0)])
def test_what_the_program_set_counts_if_it_is_less_often(young: int, meanwhile: int) -> None:
    gc.set_threshold(young, 7, 8)
    with collected_seldom():
        assert gc.get_threshold() == (meanwhile, 7, 8)
    assert gc.get_threshold() == (young, 7, 8)


def test_what_was_there_before_is_left_out_meanwhile() -> None:
    before: list[list[int]] = [[]]
    with collected_seldom():
        meanwhile: list[list[int]] = [[]]
        assert gc.get_freeze_count() > 0
        looked_at = {id(each) for each in gc.get_objects()}
        assert id(before) not in looked_at
        assert id(meanwhile) in looked_at
    assert gc.get_freeze_count() == 0
    assert id(before) in {id(each) for each in gc.get_objects()}


def test_what_the_program_has_frozen_stays_frozen_and_nothing_else_is() -> None:
    frozen: list[list[int]] = [[]]
    gc.freeze()
    before: list[list[int]] = [[]]
    with collected_seldom():
        looked_at = {id(each) for each in gc.get_objects()}
        assert id(before) in looked_at
        assert id(frozen) not in looked_at
    assert id(frozen) not in {id(each) for each in gc.get_objects()}

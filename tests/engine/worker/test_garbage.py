"""While a worker runs, garbage is looked for less often."""

import gc
from collections.abc import Iterator

import pytest

from ottla.worker.garbage import collected_seldom


@pytest.fixture(autouse=True)
def _thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize(("young", "meanwhile"), [(700, 25_000), (2_000, 25_000), (100_000, 100_000), (0, 0)])
def test_what_the_program_set_counts_if_it_is_less_often(young: int, meanwhile: int) -> None:
    gc.set_threshold(young, 7, 8)
    with collected_seldom():
        assert gc.get_threshold() == (meanwhile, 7, 8)
    assert gc.get_threshold() == (young, 7, 8)

"""Fixtures for the tests of apps. pytest loads them by itself where Ottla is installed.

def test_amounts_add_up(ottla_driver):
    driver = ottla_driver(app)
    driver.send("payments", key="ann", value=Payment("ann", 10))
    assert driver.table("balance")["ann"] == 10
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # pytest loads this in every run: what a test does not ask for costs it nothing
    from ottla.app import App
    from ottla.testing import Driver


@pytest.fixture
def ottla_driver() -> Iterator[Callable[..., Driver]]:
    """`ottla_driver(app)` is `app.test()`, with the same options, closed when the test is over."""
    with ExitStack() as drivers:

        def driver(app: App, **options: Any) -> Driver:
            return drivers.enter_context(app.test(**options))

        yield driver


@pytest.fixture(scope="session")
def ottla_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an `ottla broker` that runs for the session, for tests with real clients and workers.

    It is an app's `broker=`, and without `kafka://` a client's `bootstrap.servers`. Tests share it: names of topics and
    apps must be their own.
    """
    from ottla.worker.embedded import serving

    with serving(f"embedded://{tmp_path_factory.mktemp('ottla-broker')}") as address:
        yield f"kafka://{address}"

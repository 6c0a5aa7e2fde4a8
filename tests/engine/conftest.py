"""What the engine's tests share: an app with one partition everywhere unless a test says otherwise."""

from collections.abc import Callable

import pytest

import ottla


@pytest.fixture
def app() -> ottla.App:
    return ottla.App("shop")


@pytest.fixture
def make_app() -> Callable[..., ottla.App]:
    return lambda **options: ottla.App("shop", **options)

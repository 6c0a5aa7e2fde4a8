"""Which tables are seen in a function's code."""

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import ottla
from ottla.topology.discovery import tables_used_by

APP = ottla.App("shop")
GLOBAL = APP.Table("global", default=int)
tables = SimpleNamespace(attribute=APP.Table("attribute", default=int))


def reads_global(key: str) -> int:
    return GLOBAL[key]


def calls_another(key: str) -> int:
    return reads_global(key)


def has_a_default(key: str, table: ottla.Table[Any, int] = GLOBAL) -> int:
    return table[key]


def nests(keys: list[str]) -> list[int]:
    return [value for value in map(lambda key: GLOBAL[key], keys)]  # noqa: C416, C417


def recurses(key: str) -> int:
    return recurses(key) if key else GLOBAL[key]


def reads_attribute(key: str) -> int:
    return tables.attribute[key]  # type: ignore[no-any-return]


class Service:
    def __init__(self) -> None:
        self.own = APP.Table("own", default=int)

    def method(self, key: str) -> int:
        return self.own[key]

    def __call__(self, key: str) -> int:
        return GLOBAL[key]


SERVICE = Service()


def decorated(function: Callable[[str], int]) -> Callable[[str], int]:
    @functools.wraps(function)
    def wrapper(key: str) -> int:
        return function(key)

    return wrapper


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (reads_global, ["global"]),
        (calls_another, ["global"]),
        (has_a_default, ["global"]),
        (nests, ["global"]),
        (recurses, ["global"]),
        (decorated(reads_global), ["global"]),
        (functools.partial(has_a_default, table=tables.attribute), ["attribute", "global"]),
        (SERVICE.method, ["own", "global"]),
        (lambda key: SERVICE.method(key), ["own", "global"]),
        (SERVICE, ["own", "global"]),
        (len, []),
        (str.upper, []),
    ],
)
def test_tables_are_found_where_a_function_refers_to_them(function: Callable[..., Any], found: list[str]) -> None:
    assert sorted(table.name for table in tables_used_by([function])) == sorted(found)


def test_what_is_reached_at_run_time_only_is_not_found() -> None:
    assert tables_used_by([reads_attribute]) == []

"""Every message class and version as test parameters, and instances of them made from their declared fields.

OTTLA_EXAMPLES sets how many examples each message and version gets (5 unless set); raise it for a long run.
"""

import importlib
import os
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import ottla_wire.messages
from ottla_wire.fields import Array, Blob, Field, Fixed, Nested, Text
from ottla_wire.message import Message, Struct

EXAMPLES = int(os.environ.get("OTTLA_EXAMPLES", "5"))

settings.register_profile(
    "wire",
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

INTEGERS = {
    "b": st.integers(-(2**7), 2**7 - 1),
    "h": st.integers(-(2**15), 2**15 - 1),
    "i": st.integers(-(2**31), 2**31 - 1),
    "q": st.integers(-(2**63), 2**63 - 1),
    "H": st.integers(0, 2**16 - 1),
    "I": st.integers(0, 2**32 - 1),
}

# Strategies that replace those derived from the declaration, by class and field name.
Overrides = Mapping[tuple[type, str], st.SearchStrategy[Any]]


def _all_messages() -> list[type[Message]]:
    names = [module.name for module in pkgutil.iter_modules(ottla_wire.messages.__path__)]
    modules = [importlib.import_module(f"ottla_wire.messages.{name}") for name in names]
    classes = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return [cls for cls in classes if issubclass(cls, Message) and cls is not Message]


MESSAGES = _all_messages()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `message` runs for every class; one that also takes `version`, for every version of each.

    A test module may narrow the latter by a function `carries(message, version)`.
    """
    if "version" in metafunc.fixturenames and "message" in metafunc.fixturenames:
        pairs = [(m, v) for m in MESSAGES for v in range(m.versions.lowest, m.versions.highest + 1)]
        if (carries := getattr(metafunc.module, "carries", None)) is not None:
            pairs = [pair for pair in pairs if carries(*pair)]
        metafunc.parametrize(("message", "version"), pairs, ids=[f"{m.__name__}-{v}" for m, v in pairs])
    elif "message" in metafunc.fixturenames:
        metafunc.parametrize("message", MESSAGES, ids=[m.__name__ for m in MESSAGES])


def _of_type(wire_type: Any, version: int, overrides: Overrides) -> st.SearchStrategy[Any]:
    match wire_type:
        case Fixed("?"):
            return st.booleans()
        case Fixed("16s"):
            return st.uuids()
        case Fixed("d"):
            return st.floats(allow_nan=False, allow_infinity=False)
        case Fixed(character):
            return INTEGERS[character]
        case Text():
            return st.text(max_size=5)
        case Blob():
            return st.binary(max_size=10)
        case Array(element):
            return st.lists(_of_type(element, version, overrides), max_size=2)
        case Nested(cls):
            return _instances(cls, version, overrides)
    raise AssertionError(wire_type)


def _of_field(cls: type, field: Field, version: int, overrides: Overrides) -> st.SearchStrategy[Any]:
    values = overrides.get((cls, field.name))
    if values is None:
        values = _of_type(field.type, version, overrides)
    if field.tag is not None and isinstance(field.type, Nested):
        # Others take a tagged structure that is all defaults for one that was not sent.
        return st.none() | values.filter(lambda value: value != type(value)())
    return st.none() | values if version in field.nullable else values


def _instances(cls: type[Struct], version: int, overrides: Overrides) -> st.SearchStrategy[Any]:
    fields = [field for field in cls.fields if version in field.versions]
    return st.builds(cls, **{field.name: _of_field(cls, field, version, overrides) for field in fields})


@pytest.fixture(scope="session")
def instances() -> Callable[..., st.SearchStrategy[Any]]:
    """`instances(cls, version, overrides={})`: a strategy for instances that the version can carry in full."""

    def strategy(cls: type[Struct], version: int, overrides: Overrides | None = None) -> st.SearchStrategy[Any]:
        return _instances(cls, version, overrides or {})

    return strategy


@pytest.fixture(scope="session")
def wire_settings() -> settings:
    """The hypothesis settings of this folder, kept from the rest of the test run."""
    return settings.get_profile("wire")

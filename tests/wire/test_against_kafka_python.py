"""The messages that kafka-python 3 carries, byte for byte, against its codecs."""

import importlib
import pkgutil
import warnings
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ottla_wire.message import Message, Struct
from ottla_wire.messages.api_versions import ApiVersionsResponse

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of importlib.resources, which it reads its schemas by
    import kafka.protocol
    from kafka.protocol.api_message import ApiMessage


def _their_messages() -> dict[str, Any]:
    names = [module.name for module in pkgutil.walk_packages(kafka.protocol.__path__, "kafka.protocol.")]
    modules = [importlib.import_module(name) for name in names if ".old" not in name]
    classes = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return {cls.__name__: cls for cls in classes if issubclass(cls, ApiMessage) and cls is not ApiMessage}


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    THEIRS = _their_messages()


def carries(message: type[Message], version: int) -> bool:
    return message.__name__ in THEIRS and version <= THEIRS[message.__name__].max_version


def their_value(yours: Any, name: str) -> Any:
    """A field of theirs, under our name and as our type: it turns the bits of allowed operations into a set."""
    own = name if hasattr(yours, name) else "authorized_operations"
    value = getattr(yours, own)
    if not own.endswith("authorized_operations") or isinstance(value, int):
        return value
    return -(2**31) if value is None else sum(-(2**31) if bit == 31 else 1 << bit for bit in value)


def assert_same(mine: Any, yours: Any, version: int) -> None:
    if isinstance(mine, Struct):
        for field in type(mine).fields:
            if version in field.versions:
                assert_same(getattr(mine, field.name), their_value(yours, field.name), version)
    elif isinstance(mine, list):
        assert len(mine) == len(yours)
        for one, other in zip(mine, yours, strict=True):
            assert_same(one, other, version)
    else:
        assert mine == yours


def test_encodes_and_decodes_as_kafka_python_does(
    message: type[Message], version: int, instances: Callable[..., Any], wire_settings: settings
) -> None:
    theirs = THEIRS[message.__name__]

    # Theirs reads an ApiVersions response that carries an error as version 0, whatever the version.
    no_error = {(message, "error_code"): st.just(0)} if message is ApiVersionsResponse else {}

    @wire_settings
    @given(ours=instances(message, version, no_error))
    def check(ours: Message) -> None:
        encoded = ours.encode(version)
        yours = theirs.decode(encoded, version=version)
        assert_same(ours, yours, version)

        yours._header = None  # an instance that it decoded lacks this, and cannot encode without
        assert yours.encode(version=version) == encoded

    check()

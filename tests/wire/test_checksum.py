"""CRC-32C comes from the compiled module of the crc32c package, or from the package if that is built otherwise."""

import random
from importlib.machinery import PathFinder
from typing import Any

import crc32c
import pytest

from ottla_wire import checksum


def test_it_is_the_checksum_of_the_castagnoli_polynomial() -> None:
    assert checksum.crc32c(b"123456789") == 0xE3069283  # the check value of RFC 3720
    data = random.Random(1).randbytes(5_000)
    for start, end in ((0, 0), (1, 2), (3, 5_000)):
        for view in (data[start:end], bytearray(data)[start:end], memoryview(data)[start:end]):
            assert checksum.crc32c(view) == crc32c.crc32c(data[start:end])


@pytest.mark.parametrize("missing", ["crc32c", "crc32c._crc32c"])
def test_without_the_compiled_module_it_is_the_packages(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    find_spec = PathFinder.find_spec

    def find(name: str, *arguments: Any) -> Any:
        return None if name == missing else find_spec(name, *arguments)

    monkeypatch.setattr(PathFinder, "find_spec", find)
    assert checksum._load() is crc32c.crc32c

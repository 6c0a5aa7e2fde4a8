"""CRC-32C, the checksum of record batches, from the compiled module of the crc32c package.

Importing the package itself would take a seventh of a broker's start: it looks up its own version in its metadata, and
brings a command line.
"""

from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import TypeAlias

_Buffer: TypeAlias = bytes | bytearray | memoryview


def _load() -> Callable[[_Buffer], int]:
    package = PathFinder.find_spec("crc32c")
    places = None if package is None else package.submodule_search_locations
    spec = PathFinder.find_spec("crc32c._crc32c", places)
    if spec is None or spec.loader is None:  # another release may be built otherwise
        import crc32c

        return crc32c.crc32c
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    compiled: Callable[[_Buffer], int] = module.crc32c
    return compiled


crc32c = _load()
"""The CRC-32C of bytes."""

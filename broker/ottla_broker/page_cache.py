"""Keeps cold files from stalling the event loop.

`sendfile` from a file that is not in the page cache waits for the disk, and with it everybody waits. So a region is
probed before it is sent, a byte in every stretch that the kernel reads ahead at once, and read in a thread if it is not
there.
"""

import asyncio
import errno
import os

from ottla_wire.chunks import FileRegion

# The kernel reads ahead 128 KB by default, so what lies between two probes is there if both are.
_PROBE_EVERY = 128 * 1024
_probe = bytearray(1)


async def warm(region: FileRegion) -> None:
    """Return when the region can be sent without waiting for the disk, as far as can be known."""
    if not is_cached(region):
        await asyncio.to_thread(_read, region)


def is_cached(region: FileRegion) -> bool:
    """Whether the region can be sent without waiting for the disk, as far as can be known."""
    last = region.position + region.size - 1
    try:
        for position in range(region.position, last, _PROBE_EVERY):
            os.preadv(region.file, [_probe], position, os.RWF_NOWAIT)
        os.preadv(region.file, [_probe], last, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError as error:
        return error.errno == errno.EOPNOTSUPP  # the filesystem cannot say: take it that everything is there
    return True


def read_cached(region: FileRegion) -> bytes | bytearray | None:
    """The bytes of a region that is small, with one call to probe and read; None if that would have to wait for the
    disk, or fails: whoever then reads it the long way finds out why.
    """
    data = bytearray(region.size)
    try:
        count = os.preadv(region.file, [data], region.position, os.RWF_NOWAIT)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            return None
        return os.pread(region.file, region.size, region.position)
    return data if count == region.size else None


def _read(region: FileRegion) -> None:
    for position in range(region.position, region.position + region.size, _PROBE_EVERY):
        os.pread(region.file, min(_PROBE_EVERY, region.position + region.size - position), position)

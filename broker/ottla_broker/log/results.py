"""What appends to a partition and reads of it return."""

import msgspec

from ottla_broker.log.transactions import AbortedTransaction
from ottla_wire.records import FileRegion


class Appended(msgspec.Struct, frozen=True, gc=False):
    """The outcome of an append. `log_append_time_ms` is -1 unless the topic has LogAppendTime.

    `duplicate`: the batch was there already, and the offsets are those of its first append. `flush_due`: flush.messages
    is reached, so the acknowledgement must wait for a flush that begins after this (`LogManager.flush`).
    """

    base_offset: int
    last_offset: int
    log_append_time_ms: int
    log_start_offset: int
    duplicate: bool
    flush_due: bool


class Slice(msgspec.Struct, frozen=True):
    """What a read returns; `region` is None if there is nothing to read (yet).

    `aborted` is None unless only committed records were asked for; it is sorted by first offset.
    """

    region: FileRegion | None
    size: int
    high_watermark: int
    last_stable_offset: int
    log_start_offset: int
    aborted: list[AbortedTransaction] | None

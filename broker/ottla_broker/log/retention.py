"""Which segments a log may discard. Pure.

The oldest segments go first and never one that reaches beyond the high watermark. They go because the log start
offset has passed them (always), or, if `cleanup.policy` says delete, because the partition is larger than
retention.bytes or their newest record is older than retention.ms.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ottla_broker.log.config import LogConfig


class SegmentSummary(NamedTuple):
    """What retention must know of a segment. `end_offset` is the next one's base offset, or the log end offset."""

    size: int
    end_offset: int
    largest_timestamp: int


def expired_segments(
    segments: Sequence[SegmentSummary], config: LogConfig, log_start_offset: int, high_watermark: int, now_ms: int
) -> int:
    """How many of the segments, oldest first, are to be discarded. The last one counts only if it is not empty."""
    excess = sum(segment.size for segment in segments) - config.retention_bytes
    for count, segment in enumerate(segments):
        is_last = count == len(segments) - 1
        if segment.end_offset > high_watermark or (is_last and segment.size == 0):
            return count
        passed = not is_last and segment.end_offset <= log_start_offset
        too_large = config.delete and config.retention_bytes >= 0 and excess - segment.size >= 0
        too_old = (
            config.delete and config.retention_ms >= 0 and now_ms - segment.largest_timestamp > config.retention_ms
        )
        if not (passed or too_large or too_old):
            return count
        excess -= segment.size
    return len(segments)

"""Which segments go: a table. Each segment is 100 bytes and ten offsets, with the timestamps 0, 10, 20, ..."""

import pytest

from ottla_broker.log.config import LogConfig
from ottla_broker.log.retention import SegmentSummary, expired_segments

DELETE, COMPACT, BOTH = frozenset({"delete"}), frozenset({"compact"}), frozenset({"compact", "delete"})


@pytest.mark.parametrize(
    ("settings", "log_start", "high_watermark", "now_ms", "gone"),
    [
        pytest.param({}, 0, 50, 100, 0, id="seven days are not over"),
        pytest.param({"retention_ms": 75}, 0, 50, 100, 3, id="older than retention.ms"),
        pytest.param({"retention_ms": 80}, 0, 50, 100, 2, id="as old as retention.ms is not older"),
        pytest.param({"retention_ms": -1}, 0, 50, 10**15, 0, id="no time limit"),
        pytest.param({"retention_ms": 0}, 0, 50, 100, 5, id="all of them, the last one too"),
        pytest.param({"retention_ms": 0}, 0, 25, 100, 2, id="not beyond the high watermark"),
        pytest.param({"retention_bytes": 250}, 0, 50, 0, 2, id="larger than retention.bytes"),
        pytest.param({"retention_bytes": 300}, 0, 50, 0, 2, id="exactly down to retention.bytes"),
        pytest.param({"retention_bytes": 500}, 0, 50, 0, 0, id="as large as retention.bytes is not larger"),
        pytest.param({"retention_bytes": 300, "retention_ms": 75}, 0, 50, 100, 3, id="size and time"),
        pytest.param({}, 20, 50, 0, 2, id="below the log start offset"),
        pytest.param({}, 29, 50, 0, 2, id="not while a record is left"),
        pytest.param({"cleanup_policy": COMPACT, "retention_ms": 0}, 0, 50, 100, 0, id="compacted: nothing by age"),
        pytest.param({"cleanup_policy": COMPACT}, 20, 50, 100, 2, id="compacted: below the log start offset"),
        pytest.param({"cleanup_policy": BOTH, "retention_ms": 75}, 0, 50, 100, 3, id="compact,delete"),
    ],
)
def test_expired_segments(
    settings: dict[str, object], log_start: int, high_watermark: int, now_ms: int, gone: int
) -> None:
    segments = [SegmentSummary(100, end, end - 10) for end in range(10, 60, 10)]
    config = LogConfig(**{"cleanup_policy": DELETE} | settings)
    assert expired_segments(segments, config, log_start, high_watermark, now_ms) == gone


def test_an_empty_last_segment_stays() -> None:
    segments = [SegmentSummary(100, 10, 0), SegmentSummary(0, 10, 0)]
    assert expired_segments(segments, LogConfig(retention_ms=0), 0, 10, 10**6) == 1

"""What Faust's sensors are told and its monitor counts that those of the facade are not and do not."""

from __future__ import annotations

from collections.abc import Mapping

from ottla.faust.missing.reasons import KEEPS, OF_SERVICES, each

_COUNTED = "a worker counts that for itself: Prometheus reads /metrics"
_NO_BUFFER = "no buffer stands between the broker and an agent"

SENSOR: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "on_commit_completed",
            "on_commit_initiated",
            "on_send_completed",
            "on_send_error",
            "on_send_initiated",
            "on_tp_commit",
            "track_tp_end_offset",
        ),
        _COUNTED,
    ),
    **dict.fromkeys(
        (
            "on_assignment_completed",
            "on_assignment_error",
            "on_assignment_start",
            "on_rebalance_end",
            "on_rebalance_return",
            "on_rebalance_start",
        ),
        KEEPS,
    ),
    **OF_SERVICES,
    **dict.fromkeys(("on_threaded_producer_buffer_processed", "on_topic_buffer_full"), _NO_BUFFER),
}
"""What Faust's sensors are told and those of the facade are not."""

MONITOR: Mapping[str, str] = {
    **SENSOR,
    **dict.fromkeys(
        (
            "commit_latency",
            "messages_sent",
            "messages_sent_by_topic",
            "send_errors",
            "send_latency",
            "tp_committed_offsets",
            "tp_end_offsets",
        ),
        _COUNTED,
    ),
    **dict.fromkeys(
        (
            "assignment_latency",
            "assignments_completed",
            "assignments_failed",
            "rebalance_end_avg",
            "rebalance_end_latency",
            "rebalance_return_avg",
            "rebalance_return_latency",
            "rebalances",
        ),
        KEEPS,
    ),
    "events_by_task": "events_by_stream has a count for each agent",
    "topic_buffer_full": _NO_BUFFER,
    "max_assignment_latency_history": KEEPS,
    **each(_COUNTED, "max_commit_latency_history max_send_latency_history"),
    **each("what is not counted has no past", "stream_inbound_time stream_lookup task_lookup"),
    **each("time with time.monotonic()", "ms_since secs_since secs_to_ms"),
}

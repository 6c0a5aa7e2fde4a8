"""What Faust has and the facade has not: each name with the reason, and what to use instead.

Nothing of it fails as if it were a slip of the pen: asking for it raises `TopologyError` with that sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ottla.errors import TopologyError

_INSIDE = "it is how Faust works inside"
_GLOBAL = "a table that all workers hold is app.GlobalTable(name)"
_KEEPS = (
    "workers keep their tasks while others come and go: app.on_partitions_assigned and _revoked tell of those that move"
)
_SERVICE = "declare it with @app.service, or what it does with @app.task"
_WEB = "pages are declared with @app.page, and the web server is Ottla's own"
_CLIENT = "outside a worker, send within: async with app.ottla.client()"
_LOG = "log from your own functions; what a worker does is in the loggers `ottla`"
_READ = "a topic is read by an agent: @app.agent(topic)"
_DECLARED = "Faust does not implement joins; Ottla's are declared: app.ottla.stream(topic).join(...)"

APP: Mapping[str, str] = {
    "LiveCheck": "app.ottla.test() runs the app against what should come out of it",
    "Worker": "call app.main(), or faust.Worker(app).execute_from_commandline()",
    "commit": "a worker commits every broker_commit_interval",
    "config_from_object": "give the options to faust.App()",
    "create_event": "send to a topic",
    "http_client": "make a client of your own in app.on_worker_init, and close it in app.on_before_shutdown",
    "in_transaction": "under exactly_once everything is",
    "is_leader": "on_leader=True makes a task, timer or cron job the leader's",
    "maybe_start_producer": _CLIENT,
    "on_init_extra_service": _SERVICE,
    "on_produce_message": "add headers where the event is sent",
    "on_rebalance_end": _KEEPS,
    "on_rebalance_return": _KEEPS,
    "on_rebalance_start": _KEEPS,
    "on_started_init_extra_services": _SERVICE,
    "on_started_init_extra_tasks": "declare them with @app.task",
    "on_webserver_init": "a blueprint's on_webserver_init is called when its pages were declared",
    "router": "app.ottla.query(table).get(key) asks the worker that has the key",
    "serializers": "register codecs with faust.serializers.codecs.register",
    "trace": _LOG,
    "traced": _LOG,
    "tracer": _LOG,
    "web_server": _WEB,
    "web_server_url": _WEB,
    **dict.fromkeys(
        (
            "FlowControlQueue",
            "assignor",
            "client_only",
            "consumer",
            "consumer_generation_id",
            "in_recovery",
            "on_started_init_web_server",
            "producer",
            "producer_only",
            "producer_transport",
            "rebalancing_count",
            "topics",
            "transport",
            "unassigned",
            "web_server_driver_version",
            "worker_init",
            "worker_init_post_autodiscover",
        ),
        _INSIDE,
    ),
}

WEB: Mapping[str, str] = dict.fromkeys(("init_server", "on_start", "route", "wsgi"), _WEB)

AGENT: Mapping[str, str] = {
    "cancel": "workers begin and end their agents",
    "clone": "declare another agent",
    "stream": "an agent is given its stream",
    **dict.fromkeys(
        (
            "actor_from_stream",
            "actor_tracebacks",
            "channel_iterator",
            "get_topic_names",
            "info",
            "on_isolated_partitions_assigned",
            "on_isolated_partitions_revoked",
            "on_partitions_assigned",
            "on_partitions_revoked",
            "on_shared_partitions_assigned",
            "on_shared_partitions_revoked",
        ),
        _INSIDE,
    ),
}

STREAM: Mapping[str, str] = {
    "derive_topic": "declare the topic",
    "inner_join": _DECLARED,
    "join": _DECLARED,
    "left_join": _DECLARED,
    "noack_take": "what waits for its list is kept as state: take it with take()",
    "outer_join": _DECLARED,
    "throw": "an agent fails by raising itself",
    **dict.fromkeys(
        (
            "clone",
            "concurrency_index",
            "contribute_to_stream",
            "enable_acks",
            "events_total",
            "get_root_stream",
            "info",
            "join_strategy",
            "on_merge",
            "outbox",
            "prefix",
            "remove_from_stream",
            "task_owner",
        ),
        _INSIDE,
    ),
}

TOPIC: Mapping[str, str] = {
    "derive": "declare the other topic with app.topic()",
    "derive_topic": "declare the other topic with app.topic()",
    "get": _READ,
    "put": "send to the topic",
    **dict.fromkeys(
        (
            "as_future_message",
            "clone",
            "clone_using_queue",
            "decode",
            "deliver",
            "empty",
            "on_decode_error",
            "on_key_decode_error",
            "on_stop_iteration",
            "on_value_decode_error",
            "prepare_headers",
            "prepare_key",
            "prepare_value",
            "publish_message",
            "queue",
            "subscriber_count",
            "throw",
        ),
        _INSIDE,
    ),
}

CHANNEL: Mapping[str, str] = {
    "stream": _READ,
    "throw": "send to it what its agent is to fail on",
    **{name: text for name, text in TOPIC.items() if text == _INSIDE and name != "empty"},
}

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
        _KEEPS,
    ),
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
        _KEEPS,
    ),
    "events_by_task": "events_by_stream has a count for each agent",
    "topic_buffer_full": _NO_BUFFER,
}

_HOOK = "a sensor is told of what is read and written, app.sensors.add(...); the changelog is a topic"

TABLE: Mapping[str, str] = {
    "combine": _DECLARED,
    "inner_join": _DECLARED,
    "on_changelog_event": _HOOK,
    "on_clear": _HOOK,
    "on_key_del": _HOOK,
    "on_key_get": _HOOK,
    "on_key_set": _HOOK,
    "on_window_close": "it is given to app.Table(on_window_close=)",
    **dict.fromkeys(
        (
            "WindowWrapper",
            "apply_changelog_batch",
            "call_recover_callbacks",
            "changelog_topic",
            "changelog_topic_name",
            "clone",
            "contribute_to_stream",
            "data",
            "info",
            "need_active_standby_for",
            "on_rebalance",
            "on_recovery_completed",
            "partition_for_key",
            "persisted_offset",
            "raw_update",
            "remove_from_stream",
            "reset_state",
            "send_changelog",
            "using_window",
        ),
        _INSIDE,
    ),
}

TABLE_OPTIONS: Mapping[str, str] = {
    "is_global": _GLOBAL,
    "manager_topic_name": "an agent of its own changes the sets, with what is sent to it",
    "manager_topic_suffix": "an agent of its own changes the sets, with what is sent to it",
    "on_changelog_event": "read the changelog as a topic",
    "schema": "give key_type= and value_type=",
    "start_manager": "an agent of its own changes the sets, with what is sent to it",
    "synchronize_all_active_partitions": _GLOBAL,
    "use_partitioner": "a table has the partitions of the topics that its agents read",
}


class Lacking:
    """What stands for a thing of Faust's. `_lacks` are the names that it has not, `_called` what to call it."""

    __slots__ = ()
    _lacks: ClassVar[Mapping[str, str]]
    _called: ClassVar[str]

    def __getattr__(self, name: str) -> Any:
        if name in self._lacks:
            raise TopologyError(f"{self._called}.{name} is not part of Ottla's Faust facade: {self._lacks[name]}")
        raise AttributeError(f"Ottla's Faust facade has no {self._called}.{name}")

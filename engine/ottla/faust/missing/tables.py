"""What Faust's tables have and those of the facade have not."""

from __future__ import annotations

from collections.abc import Mapping

from ottla.faust.missing.reasons import GLOBAL, INSIDE, JOINS, OF_SERVICES, each

_HOOK = "a sensor is told of what is read and written, app.sensors.add(...); the changelog is a topic"
_SETS = "an agent of its own changes the sets, with what is sent to it"
_DECLARED = "it is what the table was declared with"

TABLE: Mapping[str, str] = {
    **OF_SERVICES,
    **each(JOINS, "combine inner_join"),
    "copy": "dict(table.items()) is what this worker has of it",
    "fromkeys": "declare the table with app.Table()",
    **each(_HOOK, "on_changelog_event on_clear on_key_del on_key_get on_key_set"),
    "on_window_close": "it is given to app.Table(on_window_close=)",
    **each(_SETS, "Manager manager manager_topic_name manager_topic_suffix start_manager"),
    **each(
        _DECLARED,
        "key_serializer key_type options schema use_partitioner value_serializer value_type window "
        "synchronize_all_active_partitions",
    ),
    **each(
        INSIDE,
        "WindowWrapper apply_changelog_batch call_recover_callbacks changelog_topic changelog_topic_name clone "
        "contribute_to_stream data info last_closed_window need_active_standby_for on_rebalance on_recovery_completed "
        "partition_for_key persisted_offset raw_update recovery_buffer_size remove_from_stream reset_state "
        "send_changelog standby_buffer_size using_window",
    ),
}

WINDOWS: Mapping[str, str] = {
    **TABLE,
    **each(INSIDE, "ValueType get_relative_timestamp key_index_table on_del_key on_set_key"),
    "get_timestamp": "table[key].value(event) is the value at the time of an event",
    "key_index": "keys can be gone through with or without it",
    "table": "it is the table itself",
}

WINDOW_SET: Mapping[str, str] = each(
    "a key's windows are read one by one: now(), current(), value(), delta()",
    "apply clear copy data event fromkeys items keys update values",
)

TABLE_OPTIONS: Mapping[str, str] = {
    "is_global": GLOBAL,
    "manager_topic_name": _SETS,
    "manager_topic_suffix": _SETS,
    "on_changelog_event": "read the changelog as a topic",
    "schema": "give key_type= and value_type=",
    "start_manager": _SETS,
    "synchronize_all_active_partitions": GLOBAL,
    "window": "tables with windows are declared with app.Table()",
    "use_partitioner": "a table has the partitions of the topics that its agents read",
}
"""Options of tables that would change something here."""

BUFFER_OPTIONS = ("recovery_buffer_size", "standby_buffer_size")
"""Those that are taken and change nothing: what is restored is written as it comes."""

"""What Faust's streams, topics, channels, messages and schemas have and those of the facade have not."""

from __future__ import annotations

from collections.abc import Mapping

from ottla.faust.missing.reasons import INSIDE, JOINS, OF_SERVICES, READ, each

STREAM: Mapping[str, str] = {
    **OF_SERVICES,
    "derive_topic": "declare the topic",
    **each(JOINS, "inner_join join left_join outer_join"),
    "noack_take": "what waits for its list is kept as state: take it with take()",
    "stop": "an agent ends its stream by returning",
    "throw": "an agent fails by raising itself",
    **each(
        INSIDE,
        "channel clone combined concurrency_index contribute_to_stream enable_acks events_total get_root_stream info "
        "join_strategy on_merge outbox prefix remove_from_stream task_owner",
    ),
}

_OF_BOTH = each(
    INSIDE,
    "active_partitions as_future_message clone_using_queue decode deliver is_iterator label loop on_decode_error "
    "on_key_decode_error on_stop_iteration on_value_decode_error prepare_headers prepare_key prepare_value "
    "publish_message queue subscriber_count throw",
)

TOPIC: Mapping[str, str] = {
    **_OF_BOTH,
    "clone": "topic.derive() declares it again",
    "empty": READ,
    "get": READ,
    "put": "send to the topic",
    **each("it is the cluster's", "acks has_prefix maxsize replicas"),
}

CHANNEL: Mapping[str, str] = {
    **_OF_BOTH,
    **each("it is asked of topics; a channel is in memory", "derive get_topic_name send_soon"),
    "clone": "declare another channel",
    **each("nothing is written, so that events keep their types", "key_type schema value_type"),
    "throw": "send to it what its agent is to fail on",
}

MESSAGE: Mapping[str, str] = {
    **each(
        "an event is acknowledged: event.ack()", "ack acked decref incref on_final_ack refcount tracked use_tracking"
    ),
    **each(
        INSIDE,
        "checksum from_message generation_id serialized_key_size serialized_value_size span time_in time_out "
        "time_total timestamp_type",
    ),
}

SCHEMA: Mapping[str, str] = each(
    "a schema names types and serializers; what is made of bytes says a Codec, registered with "
    "faust.serializers.codecs.register",
    "compile decode dumps_key dumps_value loads_key loads_value on_dumps_key_prepare_headers "
    "on_dumps_value_prepare_headers update",
)

"""Every name that Faust documents is there, or is refused with what to do instead; none fails as if it were a slip."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ottla.faust as faust
from ottla import OttlaError, TopologyError
from ottla.faust.missing.listing import listing

PAGE = Path(__file__).resolve().parents[3] / "docs" / "from-faust-names.md"

MODULE = """
Agent App AppCommand Command Channel ChannelT Event EventT Model ModelOptions Record Monitor Schema Sensor
SetTable SetGlobalTable Codec Service ServiceT Stream StreamT current_event Table GlobalTable Topic TopicT
GSSAPICredentials SASLCredentials OAuthCredentials SSLCredentials Settings HoppingWindow TumblingWindow
SlidingWindow Window Worker uuid cli livecheck models sensors serializers types web
"""
APP = """
FlowControlQueue GlobalTable LiveCheck SetGlobalTable SetTable Table Worker actor agent assignor cache channel
client_only command commit conf config_from_object consumer consumer_generation_id create_event crontab
discover finalize finalized flow_control http_client in_recovery in_transaction is_leader main
maybe_start_client maybe_start_producer monitor on_after_configured on_before_configured on_before_shutdown
on_configured on_init_extra_service on_partitions_assigned on_partitions_revoked on_produce_message
on_rebalance_complete on_rebalance_end on_rebalance_return on_rebalance_start on_started_init_extra_services
on_started_init_extra_tasks on_started_init_web_server on_webserver_init on_worker_init page producer
producer_only producer_transport rebalancing rebalancing_count router send sensors serializers service
should_stop sleep log loop start_client stream table_route tables task timer topic topic_route topics trace
traced tracer transport unassigned web web_server web_server_driver_version web_server_url worker_init
worker_init_post_autodiscover
"""
AGENT = """
actor_from_stream actor_tracebacks add_sink ask ask_nowait cancel cast channel channel_iterator clone
get_topic_names info join kvjoin kvmap map on_isolated_partitions_assigned on_isolated_partitions_revoked
on_partitions_assigned on_partitions_revoked on_shared_partitions_assigned on_shared_partitions_revoked send
stream test_context
"""
STREAM = """
ack active_partitions add_processor clone combine concurrency_index contribute_to_stream current_event
derive_topic echo enable_acks enumerate events events_total filter get_active_stream get_root_stream group_by
info inner_join items join join_strategy left_join noack noack_take on_merge outbox outer_join prefix
remove_from_stream take take_events take_with_timestamp task_owner through throw
"""
TOPIC = """
as_future_message clone clone_using_queue declare decode deliver derive derive_topic empty get get_topic_name
maybe_declare on_decode_error on_key_decode_error on_stop_iteration on_value_decode_error pattern
prepare_headers prepare_key prepare_value publish_message put queue send send_soon stream subscriber_count
throw
"""
CHANNEL = """
as_future_message clone declare decode deliver empty get maybe_declare on_decode_error
on_key_decode_error on_stop_iteration on_value_decode_error prepare_headers prepare_key prepare_value publish_message
put queue send stream subscriber_count throw
"""
RECORD = "asdict derive dumps from_data is_valid loads to_representation validate validate_or_raise validation_errors"
EVENT = "ack app forward headers key message send value"
TABLE = """
WindowWrapper apply_changelog_batch as_ansitable call_recover_callbacks changelog_topic changelog_topic_name clear clone
combine contribute_to_stream data get hopping info inner_join items join keys left_join need_active_standby_for
on_changelog_event on_clear on_key_del on_key_get on_key_set on_rebalance on_recover on_recovery_completed
on_window_close outer_join partition_for_key persisted_offset pop popitem raw_update remove_from_stream reset_state
send_changelog setdefault tumbling update using_window values
"""
WINDOWS = """
clear get items keys on_key_set on_window_close pop relative_to relative_to_field relative_to_now update values
"""
TYPES = """
AgentManagerT AgentT AppT ChannelT CodecArg CodecT CollectionT ConsumerCallback ConsumerMessage ConsumerT
EventT FieldDescriptorT FixupT FutureMessage HeadersArg JoinT JoinableT K Message MessageSentCallback ModelArg
ModelOptions ModelT PendingMessage ProcessingGuarantee Processor ProducerT RecordMetadata RegistryT SchemaT
SensorT ServiceT StoreT StreamT TP TableT TopicT TransactionManagerT TransportT V WindowRange WindowT
"""


class Order(faust.Record):
    amount: int


def agent() -> faust.Agent:
    app = faust.App("shop")

    @app.agent(app.topic("orders"))
    async def process(stream: faust.Stream[Any]) -> None:
        async for _ in stream:
            pass

    return process


MONITOR = """
asdict assignment_latency assignments_completed assignments_failed commit_latency count events_active events_by_stream
events_by_task events_runtime events_runtime_avg events_s events_total http_response_codes http_response_latency
http_response_latency_avg max_avg_history messages_active messages_received_by_topic messages_received_total messages_s
messages_sent messages_sent_by_topic metric_counts rebalance_end_avg rebalance_end_latency rebalance_return_avg
rebalance_return_latency rebalances send_errors send_latency tables topic_buffer_full tp_committed_offsets
tp_end_offsets tp_read_offsets
"""
THINGS: dict[str, tuple[Callable[[], Any], str]] = {
    "module": (lambda: faust, MODULE),
    "types": (lambda: faust.types, TYPES),
    "app": (lambda: faust.App("shop"), APP),
    "agent": (agent, AGENT),
    "stream": (lambda: faust.Stream(faust.App("shop"), None), STREAM),  # type: ignore[arg-type]
    "topic": (lambda: faust.App("shop").topic("orders"), TOPIC),
    "channel": (lambda: faust.App("shop").channel(), CHANNEL),
    "monitor": (lambda: faust.App("shop").monitor, MONITOR),
    "record": (lambda: Order(1), RECORD),
    "event": (lambda: faust.Event, EVENT),
    "table": (lambda: faust.App("shop").Table("counts", default=int), TABLE),
    "set table": (lambda: faust.App("shop").SetTable("seen"), "get items keys on_key_set as_ansitable values"),
    "windows": (lambda: faust.App("shop").Table("counts", default=int).tumbling(60), WINDOWS),
}


@pytest.mark.parametrize("thing", THINGS)
def test_every_name_is_there_or_refused(thing: str) -> None:
    make, names = THINGS[thing]
    found = make()
    for name in names.split():
        try:
            getattr(found, name)
        except OttlaError as refusal:
            assert "is not part of Ottla's Faust facade: " in str(refusal)  # noqa: PT017 - of many names


def test_a_page_lists_all_that_is_refused() -> None:
    assert PAGE.read_text() == listing(), "write it anew: python -m ottla.faust.missing > docs/from-faust-names.md"


def test_a_hook_that_nobody_would_call_is_refused_where_it_is_written() -> None:
    with pytest.raises(
        TopologyError, match=r"Shop.on_rebalance_end would never be called: .* app.on_partitions_assigned"
    ):

        class Shop(faust.App):
            def on_rebalance_end(self) -> None: ...


@pytest.mark.parametrize("thing", ["module", "types", "app", "agent", "stream", "topic", "table"])
def test_a_slip_of_the_pen_is_just_that(thing: str) -> None:
    make, _ = THINGS[thing]
    with pytest.raises(AttributeError, match="nonsense"):
        _ = make().nonsense


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ({"on_changelog_event": print}, "read the changelog as a topic"),
        ({"start_manager": True}, "an agent of its own"),
        ({"nonsense": 1}, ""),
    ],
)
def test_options_of_tables_that_cannot_be_had_are_refused(app: faust.App, option: dict[str, Any], instead: str) -> None:
    for declare in (app.Table, app.SetTable):
        with pytest.raises(OttlaError, match=rf"table 'x': {next(iter(option))}= is not part of .*{instead}"):
            declare("x", **option)
    assert app.SetTable("y", start_manager=False, help="kept") is not None


@pytest.fixture
def app() -> faust.App:
    return faust.App("shop")

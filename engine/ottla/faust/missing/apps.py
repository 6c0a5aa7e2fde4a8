"""What Faust's apps, agents, pages, workers and commands have and those of the facade have not."""

from __future__ import annotations

from collections.abc import Mapping

from ottla.faust.missing.reasons import (
    CLIENT,
    INSIDE,
    KEEPS,
    LOG,
    OF_SERVICES,
    SERVICE,
    WEB_SERVER,
    each,
)

_STARTED_WITH = {"on_first_start", "on_start", "on_started", "on_stop", "on_shutdown"}

APP: Mapping[str, str] = {
    **{name: reason for name, reason in OF_SERVICES.items() if name not in _STARTED_WITH},
    "LiveCheck": "app.ottla.test() runs the app against what should come out of it",
    "Worker": "call app.main(), or faust.Worker(app).execute_from_commandline()",
    "commit": "a worker commits every broker_commit_interval",
    "create_event": "send to a topic",
    "crash": "what a task raises stops its worker",
    "in_transaction": "under exactly_once everything is",
    "maybe_start_producer": CLIENT,
    "on_init_extra_service": SERVICE,
    "on_produce_message": "add headers where the event is sent",
    **each(KEEPS, "on_rebalance_end on_rebalance_return on_rebalance_start"),
    "on_started_init_extra_services": SERVICE,
    "on_started_init_extra_tasks": "declare them with @app.task",
    "on_startup_finished": "app.on_worker_init and @app.task are called when a worker begins",
    "router": "app.ottla.query(table).get(key) asks the worker that has the key",
    "serializers": "register codecs with faust.serializers.codecs.register",
    **each(LOG, "trace traced tracer"),
    **each(WEB_SERVER, "web_server web_server_url"),
    **each(
        INSIDE,
        "BootStrategy FlowControlQueue SCAN_CATEGORIES assignor boot_strategy client_only configured consumer "
        "consumer_generation_id fixups in_recovery in_worker on_started_init_web_server producer producer_only "
        "producer_transport rebalancing_count topics transport unassigned web_server_driver_version worker_init "
        "worker_init_post_autodiscover",
    ),
}

WEB: Mapping[str, str] = {
    **OF_SERVICES,
    **each(
        WEB_SERVER,
        "add_view blueprint_flags content_separator debug_blueprints default_blueprints driver_version "
        "header_key_value_separator header_separator init_server on_start optional_blueprints production_blueprints "
        "read_request_content reverse_names route wsgi",
    ),
}

VIEW: Mapping[str, str] = {
    **each("a view answers to the methods of HTTP that its class has", "delete get head options patch post put search"),
    **each(INSIDE, "dispatch get_methods methods"),
    **each("a view is declared with @app.page(path, name=)", "route view_name view_path"),
}

WORKER: Mapping[str, str] = {
    **OF_SERVICES,
    **each(
        "workers log, watch their event loop and end on signals by themselves",
        "BLOCK_DETECTOR autodiscover blocking_detector carp change_workdir default_on_first_start "
        "install_signal_handlers maybe_start_blockdetection on_execute on_setup_root_logger on_startup_finished "
        "on_worker_shutdown say sensors spinner stop_and_shutdown",
    ),
    **each(
        "it is what the worker was made with",
        "blocking_timeout console_port logging_config loghandlers redirect_stdouts redirect_stdouts_level services "
        "stderr stdout",
    ),
}

COMMAND: Mapping[str, str] = {
    **each(
        "a command prints with say(), carp() and dumps(), and its app is self.app",
        "UsageError abbreviate_fqdn args builtin_options console_port debug json kwargs loglevel logfile quiet "
        "stderr stdout table tabulate workdir",
    ),
    **each(
        "send with a topic's own serializers: topic.send(key=, value=)",
        "key_serializer to_key to_value value_serialier",
    ),
    **each("import it, or take it from self.app", "import_relative_to_app to_model to_topic"),
    **each(
        "a worker is run by the command worker",
        "as_service blocking_timeout daemon datadir on_stop on_worker_created redirect_stdouts redirect_stdouts_level "
        "run_using_worker worker_for_service",
    ),
    **each(INSIDE, "as_click_command execute from_handler parse prog_name require_app"),
}

AGENT: Mapping[str, str] = {
    **OF_SERVICES,
    "cancel": "workers begin and end their agents",
    "clone": "declare another agent",
    "stream": "an agent is given its stream",
    **each("an agent that raises begins anew with the next event", "supervisor supervisor_strategy"),
    **each(
        INSIDE,
        "actor_from_stream actor_tracebacks channel_iterator get_topic_names info isolated_partitions "
        "on_isolated_partitions_assigned on_isolated_partitions_revoked on_partitions_assigned on_partitions_revoked "
        "on_shared_partitions_assigned on_shared_partitions_revoked use_reply_headers",
    ),
}

_PLAIN = "fields are of the type itself; what is secret is kept out of logs by who logs"

MODEL: Mapping[str, str] = {
    **each(
        _PLAIN,
        "has_personal_fields has_secret_fields has_sensitive_fields has_tagged_fields personal_fields secret_fields "
        "sensitive_fields tagged_fields",
    ),
    "clone_defaults": INSIDE,
}

FIELD: Mapping[str, str] = {
    "tag": _PLAIN,
    **each(INSIDE, "lazy_coercion on_model_attached parent related_models"),
}

"""Names of Faust's modules that are not there, and its modules of which nothing is."""

from __future__ import annotations

from collections.abc import Mapping

from ottla.faust.missing.reasons import INSIDE, JOINS, SERVICE, WEB_SERVER, each

_TOKENS = "give App(broker_options=) librdkafka's names, such as sasl.oauthbearer.method"
_OF_MODE = "it is of the library mode, which is not installed: pip install mode-streaming"
_PROGRAM = "the program is python -m ottla.faust, and runs what the command line says"
_RAISED = "what Ottla raises itself is an ottla.OttlaError, and an event that cannot be read is a dead letter"
_FIGURES = "a worker serves its figures at /metrics, for Prometheus and whoever reads its format"
_STORE = "a store is chosen by name: faust.App(store='rocksdb://') or 'memory://'"
_TEST = "app.ottla.test() runs the app against what should come out of it"
_CLIENTS = "there is one client library, confluent-kafka: App(broker_options=) has its settings"
_UTILITY = "it is a helper of Faust's own"
_WINDOWS = "tables have tumbling and hopping windows; app.ottla.stream(topic).window(...) has sliding ones"

MODULES: Mapping[str, Mapping[str, str]] = {
    "faust": {
        "OAuthCredentials": _TOKENS,
        "Service": _OF_MODE,
        "ServiceT": _OF_MODE,
        "SlidingWindow": _WINDOWS,
    },
    "faust.agents": each(INSIDE, "AgentManager AgentManagerT ReplyConsumer current_agent"),
    "faust.app": each(INSIDE, "BootStrategy"),
    "faust.auth": {"OAuthCredentials": _TOKENS},
    "faust.cli": each(_PROGRAM, "call_command cli find_app"),
    "faust.contrib.asgi": {
        **each("nothing of an app is bound to an event loop before it starts", "LoopMismatch bind_to_running_loop"),
    },
    "faust.exceptions": each(
        _RAISED,
        "AlreadyConfiguredWarning ConsistencyError ConsumerNotStarted DecodeError KeyDecodeError NotReady "
        "PartitionsMismatch ProducerSendError SameNode ValueDecodeError",
    ),
    "faust.models.fields": each(INSIDE, "TYPE_TO_FIELD field_for_type"),
    "faust.sensors": {
        "SensorDelegate": "app.sensors.add(...) has each sensor told",
        "performance_metrics": _FIGURES,
    },
    "faust.serializers": each("register codecs with faust.serializers.codecs.register", "Registry"),
    "faust.tables": each(INSIDE, "TableManager TableManagerT"),
    "faust.types": {
        "SettingsRegistry": "options are given to faust.App()",
        **each(
            "ask the credentials for `options`, which are librdkafka's",
            "AUTH_PROTOCOLS_SASL AUTH_PROTOCOLS_SSL to_credentials",
        ),
    },
    "faust.web": each(WEB_SERVER, "DEFAULT_BLUEPRINTS"),
    "faust.windows": {"SlidingWindow": _WINDOWS},
}

ABSENT: Mapping[str, str] = {
    **each(
        INSIDE,
        "agents.actor agents.manager agents.models agents.replies app.router assignor assignor.client_assignment "
        "assignor.cluster_assignment assignor.copartitioned_assignor assignor.leader_assignor "
        "assignor.partition_assignor models.typing tables.manager tables.objects tables.recovery",
    ),
    **each(
        _PROGRAM,
        "cli.agents cli.clean_versions cli.completion cli.faust cli.livecheck cli.model cli.models cli.params "
        "cli.reset cli.send cli.tables cli.worker",
    ),
    "contrib.opentelemetry": _FIGURES,
    "contrib.sentry": "sentry_sdk.init() is called by the app's module, before app.main()",
    **each("the app's module sets Django up: django.setup()", "fixups fixups.base fixups.django"),
    "joins": JOINS,
    **each(
        _TEST,
        "livecheck livecheck.app livecheck.case livecheck.exceptions livecheck.locals livecheck.models "
        "livecheck.patches livecheck.patches.aiohttp livecheck.runners livecheck.signals",
    ),
    "models.tags": "fields are of the type itself; what is secret is kept out of logs by who logs",
    **each(
        _FIGURES,
        "sensors.datadog sensors.distributed_tracing sensors.metrics sensors.otel sensors.prometheus sensors.statsd",
    ),
    "serializers.registry": "register codecs with faust.serializers.codecs.register",
    **each(_STORE, "stores stores.aerospike stores.base stores.memory stores.rocksdb"),
    **each(
        _CLIENTS,
        "transport transport.base transport.conductor transport.consumer transport.drivers transport.drivers.aiokafka "
        "transport.drivers.confluent transport.producer transport.utils",
    ),
    "types.settings.params": "options are given to faust.App()",
    "types.settings.sections": "options are given to faust.App()",
    "utils.agent_stopper": SERVICE,
    **each(
        _UTILITY,
        "utils.codegen utils.functional utils.optin utils.platforms utils.terminal utils.terminal.spinners "
        "utils.terminal.tables utils.urls utils.venusian",
    ),
    "utils.cron": "croniter is installed with Ottla",
    "utils.iso8601": "datetime.fromisoformat() reads all of ISO 8601",
    "utils.json": "msgspec.json and orjson are installed with Ottla",
    "utils.tracing": "trace your own functions",
    **each(
        "Ottla's own pages are at /",
        "web.apps web.apps.graph web.apps.metrics web.apps.production_index web.apps.router web.apps.stats "
        "web.apps.tables",
    ),
    **each(
        "answers are kept in memory: set app.cache to a backend of your own, with async get, set and delete",
        "web.cache.backends web.cache.backends.base web.cache.backends.memory web.cache.backends.redis",
    ),
    **each(WEB_SERVER, "web.drivers web.drivers.aiohttp"),
}
"""Modules, by their paths below `faust`, of which nothing is there."""

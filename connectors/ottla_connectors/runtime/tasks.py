"""A connector from its spec: the plugin is loaded, configured, run and restarted."""

from __future__ import annotations

import time

from ottla_connectors.plugins import load_sink, load_source, read_config
from ottla_connectors.runtime.kafka_input import KafkaInput
from ottla_connectors.runtime.kafka_output import KafkaOutput
from ottla_connectors.runtime.restarts import Backoff, supervise
from ottla_connectors.runtime.sink_runner import OnSunk, SinkRunner
from ottla_connectors.runtime.source_runner import OnWritten, SourceRunner
from ottla_connectors.spec import SinkSpec, SourceSpec, Spec


def check_configs(spec: Spec) -> None:
    """Raises ConfigError for a connector whose plugin is not installed, or whose config is not one of the plugin's."""
    for source in spec.sources:
        source_type = load_source(source.plugin)
        source_type(source.name, read_config(source_type, source.config, source.name))
    for sink in spec.sinks:
        sink_type = load_sink(sink.plugin)
        sink_type(sink.name, read_config(sink_type, sink.config, sink.name))


async def run_source(
    spec: SourceSpec, bootstrap_servers: str, *, on_written: OnWritten | None = None, backoff: Backoff | None = None
) -> None:
    """Runs a source from where it stood to the end of its input. Raises ConnectorError once restarts do not help.

    `on_written` is awaited after each commit and holds the source until it returns.
    """
    plugin = load_source(spec.plugin)
    config = read_config(plugin, spec.config, spec.name)

    async def run() -> None:
        source = plugin(spec.name, config)
        output = KafkaOutput(
            bootstrap_servers,
            spec.name,
            source.partition,
            spec.topic,
            partitions=spec.partitions,
            topic_config=spec.topic_config,
        )
        await SourceRunner(source, output, on_written).run()

    await supervise(spec.name, run, backoff or Backoff(), clock=time.monotonic)


async def run_sink(
    spec: SinkSpec,
    bootstrap_servers: str,
    *,
    until_end: bool,
    on_sunk: OnSunk | None = None,
    backoff: Backoff | None = None,
) -> None:
    """Runs a sink from where it stood, with `until_end` to the end that its topics have now, otherwise for ever.

    Raises ConnectorError once restarts do not help. `on_sunk` is awaited after each write.
    """
    plugin = load_sink(spec.plugin)
    config = read_config(plugin, spec.config, spec.name)

    async def run() -> None:
        records = KafkaInput(bootstrap_servers, spec.name, spec.topics, spec.consumer_group)
        runner = SinkRunner(plugin(spec.name, config), records, clock=time.monotonic, on_sunk=on_sunk)
        await runner.run(until_end=until_end)

    await supervise(spec.name, run, backoff or Backoff(), clock=time.monotonic)

"""What Kafka Streams 4.3 has, by name, has an answer in the guide for those who come from it."""

from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[2] / "docs" / "from-kafka-streams.md").read_text()

METHODS = {
    "KStream": """
        filter filterNot flatMap flatMapValues foreach groupBy groupByKey join leftJoin map mapValues merge
        outerJoin peek print process processValues repartition selectKey split to toTable
    """,
    "KTable": """
        filter filterNot groupBy join leftJoin mapValues outerJoin queryableStoreName suppress toStream
        transformValues
    """,
    "KGroupedStream": "aggregate cogroup count reduce windowedBy",
    "KGroupedTable": "aggregate count reduce",
    "CogroupedKStream": "aggregate cogroup windowedBy",
    "TimeWindowedKStream": "aggregate count emitStrategy reduce",
    "SessionWindowedKStream": "aggregate count emitStrategy reduce",
    "BranchedKStream": "branch defaultBranch noDefaultBranch",
    "StreamsBuilder": "addGlobalStore addStateStore build globalTable stream table",
    "Topology": """
        addGlobalStore addProcessor addReadOnlyStateStore addSink addSource addStateStore
        connectProcessorAndStateStores describe
    """,
    "ReadOnlyKeyValueStore": "all approximateNumEntries get prefixScan range reverseAll reverseRange",
    "KeyValueStore": "delete put putAll putIfAbsent",
    "VersionedKeyValueStore": "delete get put",
}
"""The public methods, as `javap` lists them."""

SETTINGS = """
    acceptable.recovery.lag allow.os.group.write.access application.id application.server bootstrap.servers
    buffered.records.per.partition built.in.metrics.version cache.max.bytes.buffering client.id
    commit.interval.ms connections.max.idle.ms default.client.supplier
    default.deserialization.exception.handler default.dsl.store default.key.serde
    default.production.exception.handler default.timestamp.extractor default.value.serde
    deserialization.exception.handler dsl.store.format dsl.store.suppliers.class enable.metrics.push
    ensure.explicit.internal.resource.naming errors.dead.letter.queue.topic.name group.protocol
    log.summary.interval.ms max.task.idle.ms max.warmup.replicas metadata.max.age.ms metric.reporters
    metrics.num.samples metrics.recording.level metrics.sample.window.ms num.standby.replicas
    num.stream.threads poll.ms probing.rebalance.interval.ms processing.exception.handler
    processing.exception.handler.global.enabled processing.guarantee processor.wrapper.class
    production.exception.handler rack.aware.assignment.non_overlap_cost rack.aware.assignment.strategy
    rack.aware.assignment.tags rack.aware.assignment.traffic_cost receive.buffer.bytes
    reconnect.backoff.max.ms reconnect.backoff.ms repartition.purge.interval.ms replication.factor
    request.timeout.ms retry.backoff.ms rocksdb.config.setter security.protocol send.buffer.bytes
    state.cleanup.delay.ms state.cleanup.dir.max.age.ms state.dir statestore.cache.max.bytes
    task.assignor.class task.timeout.ms topology.optimization upgrade.from window.size.ms
    windowstore.changelog.additional.retention.ms
"""
"""The names in `StreamsConfig`."""


@pytest.mark.parametrize("method", sorted({method for methods in METHODS.values() for method in methods.split()}))
def test_every_method_is_in_the_guide(method: str) -> None:
    assert f"{method}(" in GUIDE or f"`{method}`" in GUIDE


@pytest.mark.parametrize("setting", SETTINGS.split())
def test_every_setting_is_in_the_guide(setting: str) -> None:
    assert f"`{setting}`" in GUIDE

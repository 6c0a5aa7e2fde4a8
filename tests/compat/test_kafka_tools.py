"""Apache Kafka's own command line tools at work on a broker: what its users have in their scripts and fingers."""

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .brokers import Broker
from .programs import FAMILIES, Client, Family, Program, Record
from .tools import CONSUMER, PACKAGE, Running, Tools, table

SETTLE_TIMEOUT_S = 120
SERVER = ("--bootstrap-server", "{broker}")
CONFIGS = "kafka.admin.ConfigCommand"

NewTopic = Callable[..., str]
NewName = Callable[[str], str]


@pytest.fixture
def java(broker: Broker, programs: Callable[[Family], Program]) -> Client:
    """The Java clients, for what a tool is to look at."""
    (family,) = (family for family in FAMILIES if family.name == "java")
    return Client(programs(family), broker.address)


@pytest.fixture
def tools(java: Client) -> Tools:
    return Tools(java.program, java.broker)


@pytest.fixture
def filled(java: Client, new_topic: NewTopic) -> str:
    """A topic with ten records in its one partition."""
    topic = new_topic()
    with java.producer(idempotent=True) as producer:
        producer.send(*(Record(topic, f"value {index}", partition=0) for index in range(10)))
    return topic


# --- topics and records


def test_topics_are_created_described_altered_and_deleted(tools: Tools, new_name: NewName) -> None:
    tool, topic = PACKAGE + "TopicCommand", new_name("topic")
    named = ("--topic", topic)
    tools.run(tool, *SERVER, "--create", *named, "--partitions", "3", "--config", "retention.ms=100000")
    assert "already exists" in tools.refused(tool, *SERVER, "--create", *named)
    tools.run(tool, *SERVER, "--create", *named, "--if-not-exists")
    tools.run(tool, *SERVER, "--alter", *named, "--partitions", "4")

    grown = "PartitionCount: 4\tReplicationFactor: 1"
    described = tools.run_until(lambda printed: grown in printed, tool, *SERVER, "--describe", *named)
    assert "retention.ms=100000" in described
    assert described.count("Leader: 1\tReplicas: 1\tIsr: 1") == 4
    assert topic in tools.run(tool, *SERVER, "--list", "--exclude-internal").split()
    assert tools.run(tool, *SERVER, "--describe", "--under-replicated-partitions").strip() == ""

    tools.run(tool, *SERVER, "--delete", *named)
    assert "does not exist" in tools.refused(tool, *SERVER, "--describe", *named)


def test_what_cannot_be_created_is_refused_by_name(tools: Tools, new_name: NewName) -> None:
    tool, named = PACKAGE + "TopicCommand", ("--topic", new_name("topic"))
    assert "no.such.setting" in tools.refused(tool, *SERVER, "--create", *named, "--config", "no.such.setting=1")
    assert "replication factor of 3" in tools.refused(tool, *SERVER, "--create", *named, "--replication-factor", "3")
    assert "is invalid" in tools.refused(tool, *SERVER, "--create", "--topic", "no/such/name")


def test_the_console_producer_feeds_the_console_consumer(tools: Tools, new_topic: NewTopic, new_name: NewName) -> None:
    topic, reader = new_topic(3), PACKAGE + "ConsoleProducer"
    keyed = ("--reader-property", "parse.key=true", "--reader-property", "key.separator=:")
    stdin = "".join(f"{key}:value of {key}\n" for key in "abcdef")
    tools.run(reader, *SERVER, "--topic", topic, *keyed, "--compression-codec", "zstd", stdin=stdin)

    shown = [f"--formatter-property=print.{what}=true" for what in ("key", "partition", "offset")]
    options = ("--from-beginning", "--max-messages", "6", "--timeout-ms", "100000", "--group", new_name("group"))
    printed = tools.run(CONSUMER + "ConsoleConsumer", *SERVER, "--topic", topic, *options, *shown)

    lines = re.findall(r"^Partition:(\d)\tOffset:(\d)\t(\w)\tvalue of (\w)$", printed, re.MULTILINE)
    assert sorted(key for _, _, key, _ in lines) == list("abcdef")
    assert all(key == value for _, _, key, value in lines)
    assert len({(partition, offset) for partition, offset, _, _ in lines}) == 6


@pytest.mark.parametrize("transactional", [False, True], ids=["idempotent", "transactional"])
def test_the_performance_tools_count_every_record(
    tools: Tools, new_topic: NewTopic, new_name: NewName, transactional: bool
) -> None:
    topic, records = new_topic(3), 20_000
    size = ("--record-size", "100", "--throughput", "-1")
    transactions = ("--transactional-id", new_name("perf"), "--transaction-duration-ms", "50") if transactional else ()
    produced = tools.run(
        PACKAGE + "ProducerPerformance", *SERVER, "--topic", topic, "--num-records", str(records), *size, *transactions
    )
    consumed = tools.run(
        PACKAGE + "ConsumerPerformance", *SERVER, "--topic", topic, "--num-records", str(records), "--timeout", "100000"
    )
    assert f"{records} records sent" in produced
    assert int(table(consumed, header="start.time,")[0][6].rstrip(",")) == records


def test_offsets_are_listed_by_time_and_records_deleted(tools: Tools, filled: str, tmp_path: Path) -> None:
    def offset(*options: str) -> str:
        return tools.run(PACKAGE + "GetOffsetShell", *SERVER, "--topic", filled, *options).strip()

    assert offset() == f"{filled}:0:10"
    assert offset("--time", "earliest") == f"{filled}:0:0"
    assert offset("--time", "earliest-local") == f"{filled}:0:0"
    assert re.fullmatch(rf"{filled}:0:\d", offset("--time", "max-timestamp"))
    assert offset("--time", "1000") == f"{filled}:0:0"

    plan = tmp_path / "records.json"
    plan.write_text(json.dumps({"version": 1, "partitions": [{"topic": filled, "partition": 0, "offset": 6}]}))
    deleted = tools.run(PACKAGE + "DeleteRecordsCommand", *SERVER, "--offset-json-file", str(plan))
    assert f"partition: {filled}-0\tlow_watermark: 6" in deleted
    assert offset("--time", "earliest") == f"{filled}:0:6"


# --- groups


def assigned(member: Running) -> int:
    """How many partitions a verifiable consumer holds, by the events that it has printed."""
    held: set[int] = set()
    for line in member.output().splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        partitions = {partition["partition"] for partition in event.get("partitions", [])}
        if event.get("name") == "partitions_assigned":
            held |= partitions
        elif event.get("name") == "partitions_revoked":
            held -= partitions
    return len(held)


def settle(sizes: list[int], *members: Running) -> None:
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while (held := [assigned(member) for member in members]) != sizes:
        assert time.monotonic() < deadline, f"the group did not settle: {held}"
        time.sleep(0.05)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_verifiable_consumers_share_what_a_verifiable_producer_wrote(
    tools: Tools, new_topic: NewTopic, new_name: NewName, tmp_path: Path, protocol: str
) -> None:
    topic, consumer = new_topic(4), PACKAGE + "VerifiableConsumer"
    options = ("--topic", topic, "--group-id", new_name("group"), "--group-protocol", protocol)
    settings = tmp_path / "consumer.properties"
    settings.write_text("heartbeat.interval.ms=300\n" if protocol == "classic" else "")
    earliest = ("--reset-policy", "earliest", "--command-config", str(settings))
    produced = tools.run_alone(
        PACKAGE + "VerifiableProducer", *SERVER, "--topic", topic, "--max-messages", "20", "--acks", "-1"
    )
    assert produced.count('"name":"producer_send_success"') == 20

    with tools.started(consumer, *SERVER, *options, *earliest) as first:
        settle([4], first)
        with tools.started(consumer, *SERVER, *options, *earliest) as second:
            settle([2, 2], first, second)
        settle([4], first)
        read = [int(count) for count in re.findall(r'"records_consumed","count":(\d+)', first.output())]
    assert sum(read) == 20


def test_a_group_is_listed_described_reset_and_deleted(
    tools: Tools, java: Client, filled: str, new_name: NewName
) -> None:
    tool, group = CONSUMER + "group.ConsumerGroupCommand", new_name("group")
    named = ("--group", group)
    with java.consumer(group, filled) as consumer:
        consumer.read(10)
        consumer.commit()
        ((*_, member, host, _client),) = table(tools.run(tool, *SERVER, "--describe", *named), header="GROUP")
        assert host == "/127.0.0.1"
        members = table(tools.run(tool, *SERVER, "--describe", *named, "--members"), header="GROUP")
        assert [row[1] for row in members] == [member]
        state = table(tools.run(tool, *SERVER, "--describe", *named, "--state"), header="GROUP")
        assert state[0][-3:] == ["range", "Stable", "1"]
        assert "is not empty" in tools.run(tool, *SERVER, "--delete", *named)

    assert [group, "Empty"] in table(tools.run(tool, *SERVER, "--list", "--state"), header="GROUP")
    groups = table(tools.run(PACKAGE + "GroupsCommand", *SERVER, "--list"), header="GROUP")
    assert [group, "Classic", "consumer"] in groups
    to_four = ("--reset-offsets", "--topic", filled, "--to-offset", "4", "--execute")
    assert table(tools.run(tool, *SERVER, *named, *to_four), header="GROUP") == [[group, filled, "0", "4"]]
    offsets = table(tools.run(tool, *SERVER, "--describe", *named, "--offsets"), header="GROUP")
    assert offsets == [[group, filled, "0", "4", "10", "6", "-", "-", "-"]]

    assert "Successful" in tools.run(tool, *SERVER, "--delete-offsets", *named, "--topic", filled)
    tools.run(tool, *SERVER, "--delete", *named)
    assert "not found" in tools.run(tool, *SERVER, "--describe", *named)


# --- transactions


def test_a_transactional_copy_arrives_once_and_in_order(tools: Tools, filled: str, new_name: NewName) -> None:
    copy = new_name("topic")
    identity = ("--transactional-id", new_name("copier"), "--consumer-group", new_name("group"))
    source = ("--input-topic", filled, "--input-partition", "0", "--max-messages", "10")
    tools.run(
        PACKAGE + "TransactionalMessageCopier",
        *("--broker-list", "{broker}", "--output-topic", copy, "--transaction-size", "3"),
        *source,
        *identity,
    )
    committed = ("--isolation-level", "read_committed", "--from-beginning", "--max-messages", "10")
    printed = tools.run(CONSUMER + "ConsoleConsumer", *SERVER, "--topic", copy, *committed, "--timeout-ms", "100000")
    assert re.findall(r"^value \d$", printed, re.MULTILINE) == [f"value {index}" for index in range(10)]


def test_transactions_are_listed_described_and_aborted(
    tools: Tools, java: Client, new_topic: NewTopic, new_name: NewName
) -> None:
    tool, topic, identity = PACKAGE + "TransactionsCommand", new_topic(), new_name("transactions")
    place = ("--topic", topic, "--partition", "0")

    def open_since() -> list[str]:
        described = tools.run(tool, *SERVER, "describe-producers", *place)
        return [words[-1] for words in table(described, header="ProducerId")]

    with java.producer(transactional_id=identity) as producer:
        producer.call("begin")
        producer.send(Record(topic, "undecided", partition=0))

        listed = {words[0]: words[-1] for words in table(tools.run(tool, *SERVER, "list"), header="TransactionalId")}
        assert listed[identity] == "Ongoing"
        described = table(tools.run(tool, *SERVER, "describe", "--transactional-id", identity), header="CoordinatorId")
        assert (described[0][4], described[0][-1]) == ("Ongoing", f"{topic}-0")
        assert open_since() == ["0"]
        assert table(tools.run(tool, *SERVER, "find-hanging", "--broker-id", "1"), header="Topic") == []

        tools.run(tool, *SERVER, "abort", *place, "--start-offset", "0")
        assert open_since() == ["None"]
        producer.call("abort")
    with java.consumer(new_name("group"), topic, read_committed=True) as consumer:
        assert consumer.poll() == []


# --- the cluster and its settings


def test_settings_of_topics_and_groups_are_read_and_changed(tools: Tools, filled: str, new_name: NewName) -> None:
    for kind, name, setting in (
        ("topics", filled, "max.message.bytes=2000000"),
        ("groups", new_name("group"), "consumer.session.timeout.ms=50000"),
    ):
        entity = ("--entity-type", kind, "--entity-name", name)
        tools.run(CONFIGS, *SERVER, "--alter", *entity, "--add-config", setting)
        shown = f"  {setting} sensitive=false"
        tools.run_until(lambda printed, shown=shown: shown in printed, CONFIGS, *SERVER, "--describe", *entity)
        tools.run(CONFIGS, *SERVER, "--alter", *entity, "--delete-config", setting.partition("=")[0])
        tools.run_until(
            lambda printed, setting=setting: setting not in printed, CONFIGS, *SERVER, "--describe", *entity
        )
    topic = ("--entity-type", "topics", "--entity-name", filled)
    assert "segment.bytes" in tools.refused(CONFIGS, *SERVER, "--alter", *topic, "--add-config", "segment.bytes=x")


def test_settings_of_brokers_are_read_and_changed(tools: Tools) -> None:
    one, every = ("--entity-type", "brokers", "--entity-name", "1"), ("--entity-type", "brokers", "--entity-default")
    setting = "message.max.bytes=2000000"
    for entity, source in ((one, "DYNAMIC_BROKER_CONFIG"), (every, "DYNAMIC_DEFAULT_BROKER_CONFIG")):
        tools.run(CONFIGS, *SERVER, "--alter", *entity, "--add-config", setting)
        shown = f"  {setting} sensitive=false synonyms={{{source}:{setting}"
        tools.run_until(lambda printed, shown=shown: shown in printed, CONFIGS, *SERVER, "--describe", *entity)
        tools.run(CONFIGS, *SERVER, "--alter", *entity, "--delete-config", "message.max.bytes")
        tools.run_until(lambda printed: setting not in printed, CONFIGS, *SERVER, "--describe", *entity)
    assert "num.partitions=1" in tools.run(CONFIGS, *SERVER, "--describe", "--all", *one)


def test_log_directories_show_the_sizes_of_partitions(tools: Tools, broker: Broker, filled: str) -> None:
    printed = tools.run(PACKAGE + "LogDirsCommand", *SERVER, "--describe", "--topic-list", filled)
    (described,) = json.loads(printed.splitlines()[-1])["brokers"]
    (directory,) = described["logDirs"]
    (partition,) = directory["partitions"]
    assert Path(directory["logDir"]) == broker.data_directory
    assert (partition["partition"], partition["offsetLag"], partition["isFuture"]) == (f"{filled}-0", 0, False)
    assert partition["size"] == (broker.data_directory / f"{filled}-0" / f"{0:020}.log").stat().st_size


def test_features_are_described_downgraded_and_upgraded(tools: Tools) -> None:
    tool = PACKAGE + "FeatureCommand"

    def await_level(feature: str, level: int) -> None:
        shown = re.compile(rf"Feature: {feature}\s.*FinalizedVersionLevel: {level}\s")
        tools.run_until(shown.search, tool, *SERVER, "describe")

    await_level("transaction.version", 2)
    await_level("group.version", 1)
    tools.run(tool, *SERVER, "downgrade", "--feature", "transaction.version=1")
    try:
        await_level("transaction.version", 1)
    finally:
        tools.run(tool, *SERVER, "upgrade", "--feature", "transaction.version=2")
    await_level("transaction.version", 2)
    assert "0-2" in tools.refused(tool, *SERVER, "upgrade", "--feature", "transaction.version=9")


def test_versions_of_every_api_are_usable(tools: Tools) -> None:
    printed = tools.run(PACKAGE + "BrokerApiVersionsCommand", *SERVER)
    assert "(id: 1 rack: null isFenced: false)" in printed
    usable = dict(re.findall(r"(\w+)\(\d+\): .*\[usable: (\d+)\]", printed))
    assert (usable["Produce"], usable["Fetch"], usable["ConsumerGroupHeartbeat"]) == ("13", "18", "1")


def test_a_preferred_leader_that_leads_already_needs_no_election(tools: Tools, filled: str) -> None:
    tool, kind = PACKAGE + "LeaderElectionCommand", ("--election-type", "preferred")
    elected = tools.run(tool, *SERVER, *kind, "--topic", filled, "--partition", "0")
    assert f"Valid replica already elected for partitions {filled}-0" in elected
    tools.run(tool, *SERVER, *kind, "--all-topic-partitions")


def test_the_cluster_names_itself_and_its_brokers(tools: Tools) -> None:
    assert re.search(r"Cluster ID: \S{22}", tools.run(PACKAGE + "ClusterTool", "cluster-id", *SERVER))
    (endpoint,) = table(tools.run(PACKAGE + "ClusterTool", "list-endpoints", *SERVER), header="ID")
    host, _, port = tools.broker.rpartition(":")
    assert endpoint == ["1", host, port, "null", "unfenced", "broker"]


def test_the_client_compatibility_test_passes(tools: Tools, broker: Broker, new_name: NewName) -> None:
    """Kafka's own test of its clients against brokers. Ottla does not serve ACLs."""
    supported = {
        "offsets-for-times-supported": True,
        "cluster-id-supported": True,
        "create-topics-supported": True,
        "describe-acls-supported": broker.name == "kafka",
        "describe-configs-supported": True,
        "expect-record-too-large-exception": False,
        "idempotent-producer-supported": True,
    }
    options = [word for name, value in supported.items() for word in (f"--{name}", str(value).lower())]
    cluster = ("--num-cluster-nodes", "1", "--topic", new_name("topic"))
    assert "SUCCESS." in tools.run(PACKAGE + "ClientCompatibilityTest", *SERVER, *cluster, *options)


# --- what is on disk


def dump(tools: Tools, broker: Broker, pattern: str, *options: str) -> str:
    files = [str(path) for path in sorted(broker.data_directory.glob(pattern)) if os.path.getsize(path)]
    assert files, f"{broker.data_directory} has nothing in {pattern}"
    printed = tools.run(PACKAGE + "DumpLogSegments", *options, "--files", ",".join(files))
    assert "isvalid: false" not in printed
    return printed


def test_the_dump_tool_reads_the_logs_of_a_running_broker(
    tools: Tools, java: Client, broker: Broker, new_topic: NewTopic, new_name: NewName
) -> None:
    topic, group, identity = new_topic(), new_name("group"), new_name("transactions")
    with java.producer(transactional_id=identity) as producer, producer.transaction():
        producer.send(Record(topic, "value", "key", partition=0))
    with java.consumer(group, topic) as consumer:
        consumer.read(1)
        consumer.commit()

    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    marker = "endTxnMarker: COMMIT coordinatorEpoch: 0"  # which is written after the transaction is decided
    while marker not in (records := dump(tools, broker, f"{topic}-0/*.log", "--print-data-log")):
        assert time.monotonic() < deadline, records
    assert re.search(r"offset: 0 .* key: key payload: value$", records, re.MULTILINE)
    offsets = dump(tools, broker, "__consumer_offsets-*/*.log", "--offsets-decoder")
    assert f'{{"type":"1","data":{{"group":"{group}","topic":"{topic}","partition":0}}}}' in offsets
    transactions = dump(tools, broker, "__transaction_state-*/*.log", "--transaction-log-decoder")
    assert f'{{"transactionalId":"{identity}"}}' in transactions
    metadata = dump(tools, broker, "__cluster_metadata-0/*.log", "--cluster-metadata-decoder")
    assert re.search(rf'"type":"TOPIC_RECORD","version":0,"data":{{"name":"{topic}"', metadata)


def test_committed_offsets_are_records_that_consumers_can_read(
    tools: Tools, java: Client, filled: str, new_name: NewName
) -> None:
    group = new_name("group")
    with java.consumer(group, filled) as consumer:
        consumer.read(10)
        consumer.commit()

    committed = f'"group":"{group}","topic":"{filled}","partition":0}}}},"value":'
    options = ("--from-beginning", "--formatter", f"{CONSUMER}OffsetsMessageFormatter", "--timeout-ms")
    for timeout_ms in (2_000, 10_000, 60_000):  # it ends when nothing has come for so long
        printed = tools.run(
            CONSUMER + "ConsoleConsumer", *SERVER, "--topic", "__consumer_offsets", *options, str(timeout_ms)
        )
        if committed in printed:
            return
    raise AssertionError(f"{committed} is not in\n{printed}")

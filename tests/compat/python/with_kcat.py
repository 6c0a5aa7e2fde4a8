"""kcat as the suite drives it: a process for each batch of records, for each transaction and for each consumer.

Its consumers commit by themselves what they have printed, at the latest when they end. It reads what to produce in
blocks, so that a transaction reaches the broker when it ends. It knows no administration besides metadata and offsets,
and cannot send offsets with a transaction.
"""

import itertools
import json
import queue
import re
import signal
import subprocess
import threading
import time
from typing import Any

from serve import Json, serve

TIMEOUT_S = 100


def run(broker: str, *arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    done = subprocess.run(
        ["kcat", "-b", broker, *arguments], input=stdin, capture_output=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode())
    return done


# --- producers


def lines(records: list[Json]) -> bytes:
    """What kcat reads with `-K '\\t' -Z`: an empty key or value is null."""
    return b"".join(f"{record['key'] or ''}\t{record['value'] or ''}\n".encode() for record in records)


class Producer:
    """The options of a producer, and its process while a transaction is open."""

    def __init__(self, broker: str, options: list[str]) -> None:
        self.broker = broker
        self.options = options
        self.transactional = any(option.startswith("transactional.id=") for option in options)
        self.transaction: subprocess.Popen[bytes] | None = None

    def command(self, record: Json) -> list[str]:
        """kcat's arguments for `record` and all that share its topic, partition and headers."""
        arguments = ["-P", "-E", "-t", record["topic"], "-K", "\t", "-Z", "-vvv"]
        if record["partition"] is not None:
            arguments += ["-p", str(record["partition"])]
        for name, value in record["headers"]:
            arguments += ["-H", name if value is None else f"{name}={value}"]
        return arguments + self.options

    def feed(self, records: list[Json]) -> None:
        """Send records, all of one topic and partition, in the open transaction."""
        if self.transaction is None:
            command = ["kcat", "-b", self.broker, *self.command(records[0])]
            self.transaction = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        assert self.transaction.stdin is not None
        self.transaction.stdin.write(lines(records))
        self.transaction.stdin.flush()

    def end(self, *, commit: bool) -> None:
        process, self.transaction = self.transaction, None
        assert process is not None, "nothing was sent in this transaction"
        if not commit:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT_S)
        if commit and process.returncode != 0:
            raise RuntimeError(errors.decode())


producers: dict[str, Producer] = {}


def open_producer(
    handle: str, broker: str, acks: str, compression: str, idempotent: bool, transactional_id: str | None
) -> None:
    settings = {"acks": acks, "compression.codec": compression, "enable.idempotence": str(idempotent).lower()}
    if transactional_id is not None:
        settings["transactional.id"] = transactional_id
    options = [option for name, value in settings.items() for option in ("-X", f"{name}={value}")]
    producers[handle] = Producer(broker, options)


def send(handle: str, records: list[Json]) -> list[list[int]]:
    """Where the records were stored; of those of a transaction this is known only when it ends."""
    producer = producers[handle]
    if producer.transactional:
        producer.feed(records)
        return []
    stored = []
    for _, group in itertools.groupby(
        records, lambda record: (record["topic"], record["partition"], record["headers"])
    ):
        batch = list(group)
        errors = run(producer.broker, *producer.command(batch[0]), stdin=lines(batch)).stderr.decode()
        reported = re.findall(r"% Message delivered to partition (\d+) \(offset (\d+)\)", errors)
        stored += [[int(partition), int(offset)] for partition, offset in reported]
    return stored


def begin(handle: str) -> None:
    del handle  # the process that the first record starts begins the transaction


def commit(handle: str) -> None:
    producers[handle].end(commit=True)


def abort(handle: str) -> None:
    producers[handle].end(commit=False)


def close_producer(handle: str) -> None:
    del producers[handle]


# --- consumers


class Reader:
    """A kcat that consumes in a group, and threads that read what it prints."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.records: queue.SimpleQueue[Json] = queue.SimpleQueue()
        self.assigned: set[tuple[str, int]] = set()
        self.threads = [threading.Thread(target=read) for read in (self.read_records, self.read_rebalances)]
        for thread in self.threads:
            thread.start()

    def read_records(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.records.put(json.loads(line))

    def read_rebalances(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            found = re.search(r" rebalanced \(memberid .*\): (assigned|revoked): (.*)", line)
            if found:
                partitions = {(topic, int(index)) for topic, index in re.findall(r"(\S+) \[(\d+)\]", found.group(2))}
                self.assigned = partitions if found.group(1) == "assigned" else set()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(TIMEOUT_S)
        for thread in self.threads:
            thread.join()


readers: dict[str, Reader] = {}


def open_consumer(
    handle: str,
    broker: str,
    group: str,
    topics: list[str],
    read_committed: bool,
    protocol: str,
    limit: int,
    transactional_id: str | None,
) -> None:
    del transactional_id
    assert protocol == "classic"
    settings = {
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed" if read_committed else "read_uncommitted",
        "heartbeat.interval.ms": "300",
        "fetch.wait.max.ms": "100",
    }
    options = [option for name, value in settings.items() for option in ("-X", f"{name}={value}")]
    command = ["kcat", "-b", broker, "-G", group, "-J", "-u", "-Z", "-c", str(limit), *options, *topics]
    readers[handle] = Reader(command)


def poll(handle: str, count: int, timeout_ms: int) -> list[Json]:
    records: list[Json] = []
    deadline = time.monotonic() + timeout_ms / 1000
    while len(records) < count:
        try:
            printed = readers[handle].records.get(timeout=max(0.0, deadline - time.monotonic()) if not records else 0)
        except queue.Empty:
            break
        records.append(describe(printed))
    return records


def describe(printed: Json) -> Json:
    headers = printed.get("headers", [])
    return {
        "topic": printed["topic"],
        "partition": printed["partition"],
        "offset": printed["offset"],
        "timestamp": printed["ts"],
        "key": printed["key"],
        "value": printed["payload"],
        "headers": [list(pair) for pair in zip(headers[::2], headers[1::2], strict=True)],
    }


def assignment(handle: str) -> list[list[Any]]:
    return [list(partition) for partition in readers[handle].assigned]


def commit_offsets(handle: str) -> None:
    del handle  # see above


def close_consumer(handle: str) -> None:
    readers.pop(handle).close()


# --- what it can say about a cluster


def list_topics(broker: str) -> list[str]:
    return [topic["topic"] for topic in json.loads(run(broker, "-L", "-J").stdout)["topics"]]


def describe_topic(broker: str, topic: str) -> list[Json]:
    (described,) = json.loads(run(broker, "-L", "-J", "-t", topic).stdout)["topics"]
    return [
        {
            "partition": partition["partition"],
            "leader": partition["leader"],
            "replicas": [replica["id"] for replica in partition["replicas"]],
            "isr": [replica["id"] for replica in partition["isrs"]],
        }
        for partition in described["partitions"]
    ]


def log_offsets(broker: str, topic: str, partition: int) -> list[int]:
    printed = [run(broker, "-Q", "-t", f"{topic}:{partition}:{spec}").stdout.decode() for spec in (-2, -1)]
    return [int(line.rsplit("offset ", 1)[1]) for line in printed]


VERBS = (
    *(open_producer, send, begin, commit, abort, close_producer),
    *(open_consumer, poll, assignment, commit_offsets, close_consumer),
    *(list_topics, describe_topic, log_offsets),
)

if __name__ == "__main__":
    serve({verb.__name__: verb for verb in VERBS})

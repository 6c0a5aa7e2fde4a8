"""Answers of brokers as plain data, and what differs between two of them."""

import json
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

from ottla_wire.errors import ErrorCode
from ottla_wire.message import Struct
from ottla_wire.records import Compression, RecordBatch, iter_batches

# The timestamp of the first record of every batch: recent, so that no retention is due.
BASE_MS = (int(time.time()) - 3600) * 1000
NO_ID = uuid.UUID(int=0)

# What differs from run to run or between machines, and says nothing about the broker.
_DROPPED = {"throttle_time_ms", "cluster_id", "host", "port", "log_dir", "total_bytes", "usable_bytes"}
# What is compared as a whole elsewhere.
_DROPPED |= {"api_keys", "supported_features", "finalized_features", "finalized_features_epoch"}
# Sentences are a broker's own: what counts is that there is one where Apache Kafka has one.
_SENTENCES = {"error_message", "batch_index_error_message", "documentation"}
_NUMBERS = {"producer_id": "a producer id", "session_id": "a session"}
_NO_NUMBER = {"producer_id": -1, "session_id": 0}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|^[\w-]{22}$", re.ASCII)  # Kafka's own are in base 64
_MAX_NAMES = 7
_ABSENT = object()


def comparable(value: Any, name: str = "") -> Any:
    """A response without what may differ; lists in an order of their own, since the protocol gives them none."""
    if isinstance(value, Struct):
        fields = (described.name for described in type(value).fields)
        said = _DROPPED | _SENTENCES if getattr(value, "error_code", None) == ErrorCode.NONE else _DROPPED
        return {key: comparable(getattr(value, key), key) for key in fields if key not in said}
    if name == "records":
        return None if value is None else [_comparable_batch(found) for found in iter_batches(value)]
    if isinstance(value, list) and name == "configs":
        return {setting.name: comparable(setting) for setting in sorted(value, key=lambda setting: setting.name)}
    if isinstance(value, list) and name == "synonyms":
        return [comparable(synonym) for synonym in value]  # the one in force comes first
    if isinstance(value, list):
        return sorted((comparable(item) for item in value), key=_identity)
    if isinstance(value, uuid.UUID):
        return "an id" if value != NO_ID else "no id"
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, str):
        return "a sentence" if name in _SENTENCES and value else _UUID.sub("an id", value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _comparable_number(value, name)
    return value


def _identity(item: Any) -> str:
    """What a list is sorted by: names and numbers before what is said of them, which may differ."""
    if not isinstance(item, dict):
        return json.dumps(item)
    said = {key: value for key, value in item.items() if "error" in key or isinstance(value, dict | list)}
    return json.dumps([{key: value for key, value in item.items() if key not in said}, said], sort_keys=True)


def _comparable_number(value: int, name: str) -> Any:
    if name in _NUMBERS and value != _NO_NUMBER[name]:
        return _NUMBERS[name]
    if name.endswith("error_code"):
        return ErrorCode(value).name
    if BASE_MS <= value < BASE_MS + 60_000:
        return f"{value - BASE_MS} ms after the first record"
    return "a time" if BASE_MS < value < BASE_MS + 10**9 else value


def _comparable_batch(found: RecordBatch) -> Any:
    return {
        "offsets": [found.base_offset, found.last_offset],
        "leader_epoch": found.partition_leader_epoch,
        "compression": Compression(found.compression).name,
        "timestamp_type": found.timestamp_type.name,
        "transactional": found.is_transactional,
        "control": found.is_control,
        "records": [
            [record.offset, comparable(record.timestamp), comparable(record.key), comparable(record.value)]
            for record in found.records()
        ],
    }


class Difference(NamedTuple):
    """A place in the answers to a question at which the brokers differ, and what each has there."""

    where: str
    kafka: str
    ottla: str


def differences(kafka: list[Any], ottla: list[Any]) -> list[Difference]:
    """All that differs, once each, with the numbers of the answers. Ottla may give a reason where Kafka gives none."""
    found: dict[tuple[str, str, str], dict[int, None]] = {}
    for number, answers in enumerate(zip_longest(kafka, ottla, fillvalue=_ABSENT), 1):
        for where, one, other in _compare(*answers, ""):
            found.setdefault((where, _shown(one), _shown(other)), {})[number] = None
    return [
        Difference(f"{spans(numbers)}: {where}" if where else spans(numbers), one, other)
        for (where, one, other), numbers in found.items()
    ]


def spans(numbers: Iterable[int]) -> str:
    """Numbers as people write them: "3, 5-7"."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return ", ".join(span(*each) for each in found)


def span(lowest: int, highest: int) -> str:
    """Numbers from one to another, both of them included."""
    return f"{lowest}-{highest}" if lowest < highest else str(lowest)


def _compare(kafka: Any, ottla: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(kafka, dict) and isinstance(ottla, dict):
        if where.rpartition(".")[2] == "configs":
            yield from _compare_names(set(kafka), set(ottla), where)
        for key in _to_compare(kafka, ottla):
            if not (key in _SENTENCES and not kafka[key]):
                yield from _compare(kafka[key], ottla[key], f"{where}.{key}" if where else str(key))
    elif isinstance(kafka, list) and isinstance(ottla, list) and len(kafka) == len(ottla):
        for items in zip(kafka, ottla, strict=True):
            yield from _compare(*items, where)
    elif kafka != ottla:
        yield where, kafka, ottla


def _to_compare(kafka: dict[str, Any], ottla: dict[str, Any]) -> list[str]:
    """What of two structures; if their errors differ, all else follows from that."""
    if kafka.get("error_code") != ottla.get("error_code"):
        return ["error_code"]
    return [key for key in kafka if key in ottla]


def _compare_names(kafka: set[str], ottla: set[str], where: str) -> Iterator[tuple[str, Any, Any]]:
    """The settings that only one of them has."""
    if kafka != ottla:
        yield where, _some(kafka - ottla), _some(ottla - kafka)


def _some(names: set[str]) -> Any:
    return f"{len(names)} more" if len(names) > _MAX_NAMES else ", ".join(sorted(names)) or _ABSENT


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "-"
    if isinstance(value, list):
        return f"{len(value)} {'entry' if len(value) == 1 else 'entries'}" if value else "[]"
    if isinstance(value, dict):
        return "a structure"
    return value if isinstance(value, str) and value else json.dumps(value)

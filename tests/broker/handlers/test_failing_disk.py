"""A disk that is full or fails, as clients and those who watch over the broker see it."""

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ottla_broker import node as node_module
from ottla_broker.log.disk import LocalDisk, LocalFile
from ottla_wire.errors import ErrorCode


class Failing:
    """A call to the operating system that fails, if need be for files of some name only, until `undo`."""

    def __init__(self, target: type, name: str, number: int, what: str = "") -> None:
        self._patcher = pytest.MonkeyPatch()
        whole: Callable[..., Any] = getattr(target, name)

        def call(self: Any, *args: Any) -> Any:
            if not what or (args and Path(args[0]).name.startswith(what)):
                raise OSError(number, os.strerror(number))
            return whole(self, *args)

        self._patcher.setattr(target, name, call)

    def undo(self) -> None:
        self._patcher.undo()


@pytest.fixture
def failing() -> Iterator[Callable[..., Failing]]:
    """`failing(LocalDisk, "make_directory", errno.ENOSPC, "t-")`; everything works again after the test."""
    calls: list[Failing] = []

    def fail(*args: Any) -> Failing:
        calls.append(Failing(*args))
        return calls[-1]

    yield fail
    for call in calls:
        call.undo()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for happens on a disk
        await asyncio.sleep(0.005)


def test_a_topic_that_there_is_no_room_for_is_made_as_soon_as_there_is(
    with_client: Any, failing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "_MISSING_RETRY_S", 0.01)

    async def scenario(client: Any) -> None:
        full = failing(LocalDisk, "make_directory", errno.ENOSPC, "t-")
        await client.create("t")
        await client.create("other")
        assert (await client.produce("other", b"v")).error_code == 0
        refused = await client.produce("t", b"v")
        assert refused.error_code == ErrorCode.KAFKA_STORAGE_ERROR
        assert "No space left on device" in refused.error_message
        (reason,) = client.node.reasons_not_ready()
        assert "partitions that take no writes: 1 (" in reason
        full.undo()
        await until(lambda: not client.node.reasons_not_ready())
        assert (await client.produce("t", b"v")).error_code == 0
        assert await client.read("t", 0) == [b"v"]

    with_client(scenario)


def test_a_topic_that_was_never_made_can_be_deleted(with_client: Any, failing: Any) -> None:
    async def scenario(client: Any) -> None:
        full = failing(LocalDisk, "make_directory", errno.ENOSPC, "t-")
        await client.create("t")
        topic = client.node.broker.image.topics["t"]
        assert await client.node.broker.controller.delete_topics([topic]) == [None]
        assert client.node.reasons_not_ready() == []
        full.undo()

    with_client(scenario)


def test_a_topic_whose_directory_somebody_has_removed_can_be_deleted_and_made_again(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", partitions=2)
        await client.create("other")
        broker = client.node.broker
        shutil.rmtree(broker.partition("t", 0).directory)
        both = [broker.image.topics[name] for name in ("t", "other")]
        assert await broker.controller.delete_topics(both) == [None, None]
        assert [broker.logs.get("t", 0), broker.logs.get("t", 1), broker.logs.get("other", 0)] == [None] * 3
        await client.create("t")
        assert (await client.produce("t", b"v")).base_offset == 0

    with_client(scenario)


def test_what_a_failing_disk_keeps_of_a_deleted_topic_is_not_taken_for_a_new_one_s(
    with_client: Any, failing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "_MISSING_RETRY_S", 0.01)

    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"old")
        broker = client.node.broker
        directory = broker.partition("t", 0).directory
        broken = failing(LocalDisk, "rename", errno.EIO, "t-0")
        assert await broker.controller.delete_topics([broker.image.topics["t"]]) == [None]
        broken.undo()
        await client.create("t")
        (reason,) = client.node.reasons_not_ready()
        assert f"{directory} belongs to the topic id" in reason
        assert (await client.produce("t", b"new")).error_code == ErrorCode.KAFKA_STORAGE_ERROR
        shutil.rmtree(directory)
        await until(lambda: not client.node.reasons_not_ready())
        assert (await client.produce("t", b"new")).base_offset == 0

    with_client(scenario)


def test_a_flush_that_fails_is_the_answer_to_who_waits_for_it(with_client: Any, failing: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", flush_messages="1")
        await client.create("other")
        assert (await client.produce("t", b"v")).error_code == 0
        failed = failing(LocalFile, "sync", errno.EIO)
        refused = await client.produce("t", b"v")
        assert refused.error_code == ErrorCode.KAFKA_STORAGE_ERROR
        assert "Input/output error" in refused.error_message
        failed.undo()
        again = await client.produce("t", b"v")
        assert again.error_code == ErrorCode.KAFKA_STORAGE_ERROR, "nobody knows what the device has dropped"
        assert await client.read("t", 0) == [b"v", b"v"], "reads go on; a refusal does not take back what was appended"
        assert (await client.produce("other", b"v")).error_code == 0
        (reason,) = client.node.reasons_not_ready()
        assert reason == "partitions that take no writes: 1 (Flushing t-0 failed: Input/output error)"

    with_client(scenario)


def test_records_that_cannot_be_read_are_an_error_of_their_partition(
    with_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"v")
        with monkeypatch.context() as disk:
            disk.setattr(os, "preadv", fail)
            disk.setattr(os, "pread", fail)
            response = await client.fetch("t", 0)
            answer = response.responses[0].partitions[0]
            assert (answer.error_code, answer.records) == (ErrorCode.KAFKA_STORAGE_ERROR, b"")
        assert await client.read("t", 0) == [b"v"]

    with_client(scenario)


def test_a_disk_without_room_for_a_batch_is_a_reason_not_to_be_ready(with_client: Any, monkeypatch: Any) -> None:
    async def scenario(client: Any) -> None:
        assert client.node.reasons_not_ready() == []
        monkeypatch.setattr(LocalDisk, "free_bytes", lambda _disk, _path: 4096)
        (reason,) = client.node.reasons_not_ready()
        assert "4096 bytes left, a batch may have 1048588" in reason

    with_client(scenario)

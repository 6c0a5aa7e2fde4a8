"""`ottla log dump`: files of a data directory, whole and damaged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ottla_apps.cli.errors import DamagedFile
from ottla_apps.cli.log_files import read_files
from ottla_apps.cli.output import Rows
from ottla_broker.log.index import OffsetIndex, TimeIndex
from ottla_broker.log.producers import AppendedBatch, Producers, ProducerState
from ottla_broker.log.transactions import CompletedTransaction, TransactionIndex
from ottla_wire.control_records import build_end_txn_marker
from ottla_wire.records import Compression, NewRecord, build_batch

Run = Callable[..., Any]
# The base offset of the segment that most tests look at.
BASE = 40
NAME = f"{BASE:020d}"
TIME_MS = 1357034400123


def batches() -> list[bytearray]:
    """Three batches of two records each, then the marker of an aborted transaction."""
    made = [
        build_batch(
            [
                NewRecord(b"k%d" % number, b"first", TIME_MS, (("h", b"1"), ("n", None))),
                NewRecord(None, b"\xff\x00", TIME_MS + number),
            ],
            base_offset=BASE + 2 * number,
            leader_epoch=3,
            compression=compression,
            producer_id=7,
            producer_epoch=1,
            base_sequence=2 * number,
            transactional=True,
        )
        for number, compression in enumerate((Compression.NONE, Compression.LZ4, Compression.ZSTD))
    ]
    marker = build_end_txn_marker(
        commit=False, producer_id=7, producer_epoch=1, coordinator_epoch=0, timestamp=TIME_MS, base_offset=BASE + 6
    )
    return [*made, marker]


# The size of the first batch, so where the second one begins.
SIZE = len(batches()[0])


@pytest.fixture
def partition(tmp_path: Path) -> Path:
    """The directory of a partition with one segment, its indexes, and a snapshot."""
    directory = tmp_path / "flights-0"
    directory.mkdir()
    made = batches()
    (directory / f"{NAME}.log").write_bytes(b"".join(made))
    offsets, times, aborted = OffsetIndex(BASE), TimeIndex(BASE), TransactionIndex()
    offsets.append(BASE + 3, len(made[0]))
    offsets.append(BASE + 5, len(made[0]) + len(made[1]))
    times.maybe_append(TIME_MS + 1, BASE + 3)
    times.maybe_append(TIME_MS + 2, BASE + 5)
    aborted.append(CompletedTransaction(7, BASE, BASE + 6, aborted=True), BASE + 7)
    state = ProducerState(7, 1, 0, TIME_MS, -1, (AppendedBatch(5, BASE + 5, 1, TIME_MS),))
    (directory / f"{NAME}.index").write_bytes(offsets.entries)
    (directory / f"{NAME}.timeindex").write_bytes(times.entries)
    (directory / f"{NAME}.txnindex").write_bytes(aborted.entries)
    (directory / f"{BASE + 7:020d}.snapshot").write_bytes(Producers([state]).encode())
    (directory / "partition.metadata").write_text("version: 0\n")
    return directory


def read(path: Path, *, records: bool = False) -> tuple[list[Any], str | None]:
    """The rows of a file up to where it is damaged, and what is told of that."""
    (rows,) = read_files([path], records=records)
    found: list[Any] = []
    try:
        found.extend(rows.rows)
    except DamagedFile as error:
        return found, str(error)
    return found, None


def test_batches(run: Run, partition: Path) -> None:
    lines = run("log", "dump", str(partition / f"{NAME}.log")).ok().out.splitlines()
    assert lines[0] == f"FILE\t{partition}/{NAME}.log"
    assert lines[1].split("\t")[:5] == ["POSITION", "SIZE", "BASE-OFFSET", "LAST-OFFSET", "RECORDS"]
    rows = [line.split("\t") for line in lines[2:]]
    assert [row[2:5] for row in rows] == [["40", "41", "2"], ["42", "43", "2"], ["44", "45", "2"], ["46", "46", "1"]]
    assert [row[7] for row in rows] == ["none", "lz4", "zstd", "none"]
    assert rows[0][5:7] + rows[0][8:] == ["3", "2013-01-01T10:00:00.123Z", "7", "1", "0", "transactional"]
    assert rows[3][-1] == "transactional,control"


def test_records(run: Run, partition: Path) -> None:
    path = str(partition / f"{NAME}.log")
    lines = run("log", "dump", path, "--records").ok().out.splitlines()
    assert lines[2] == "40\t40\t2013-01-01T10:00:00.123Z\tk0\tfirst\th=1,n\t-"
    assert lines[3] == "40\t41\t2013-01-01T10:00:00.123Z\t-\t\\xff\\x00\t-\t-"
    assert lines[-1] == "46\t46\t2013-01-01T10:00:00.123Z\t-\t-\t-\tabort"
    first = run("log", "dump", path, "--records", "--format", "json").ok().out.splitlines()[1]
    assert '"kind": "records"' in first
    assert '"value": {"base64": "/wA="}' in first


def test_a_directory_is_all_its_files(run: Run, partition: Path) -> None:
    blocks = run("log", "dump", str(partition)).ok().out.split("\n\n")
    assert [block.splitlines()[0].rsplit(".", 1)[1] for block in blocks] == [
        "index",
        "log",
        "timeindex",
        "txnindex",
        "snapshot",
    ]
    assert blocks[0].splitlines()[2:] == [f"43\t{SIZE}", f"45\t{SIZE + len(batches()[1])}"]
    assert blocks[2].splitlines()[2:] == ["2013-01-01T10:00:00.124Z\t43", "2013-01-01T10:00:00.125Z\t45"]
    assert blocks[3].splitlines()[2:] == ["7\t40\t46\t47"]
    assert blocks[4].splitlines()[2:] == ["7\t1\t0\t5\t45\t2013-01-01T10:00:00.123Z\t-"]


def test_what_was_reserved_and_not_yet_written_is_passed_over(partition: Path) -> None:
    for suffix in ("log", "index", "timeindex", "txnindex"):
        path = partition / f"{NAME}.{suffix}"
        whole = read(path)
        path.write_bytes(path.read_bytes() + bytes(680))
        assert read(path) == whole
        path.write_bytes(bytes(680))
        assert read(path) == ([], None)


def test_empty_files_are_empty(partition: Path) -> None:
    for suffix in ("log", "index", "timeindex", "txnindex"):
        path = partition / f"{NAME}.{suffix}"
        path.write_bytes(b"")
        assert read(path) == ([], None)


def test_what_comes_before_the_damage_is_shown(run: Run, partition: Path) -> None:
    path = partition / f"{NAME}.log"
    data, made = bytearray(path.read_bytes()), batches()
    data[len(made[0]) + 70] ^= 1
    path.write_bytes(data)
    result = run("log", "dump", str(path)).fails(
        f"{path} is damaged at byte {len(made[0])}: a batch has the checksum .*"
    )
    assert len(result.out.splitlines()) == 3


@pytest.mark.parametrize("records", [False, True])
def test_a_segment_cut_anywhere_shows_its_whole_batches(tmp_path: Path, records: bool) -> None:
    path = tmp_path / f"{NAME}.log"
    made = batches()
    ends = [sum(map(len, made[:count])) for count in range(len(made) + 1)]
    data = b"".join(made)
    for size in range(1, len(data)):
        path.write_bytes(data[:size])
        whole = max(index for index, end in enumerate(ends) if end <= size)
        rows, told = read(path, records=records)
        assert len(rows) == (2 * whole if records else whole)
        # A few zeros at the end may as well be room that was reserved.
        if any(data[ends[whole] : size]):
            assert f"damaged at byte {ends[whole]}:" in str(told)
        else:
            assert told is None


@settings(max_examples=150)
@given(st.data())
def test_no_damage_is_worse_than_told(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    contents = bytearray(b"".join(batches()))
    for _ in range(data.draw(st.integers(1, 8))):
        contents[data.draw(st.integers(0, len(contents) - 1))] = data.draw(st.integers(0, 255))
    suffix = data.draw(st.sampled_from(["log", "index", "timeindex", "txnindex", "snapshot"]))
    path = tmp_path_factory.mktemp("damaged") / f"{NAME}.{suffix}"
    path.write_bytes(contents)
    for records in (False, True):
        read(path, records=records)


def test_batches_that_go_back_are_damage(partition: Path) -> None:
    path, made = partition / f"{NAME}.log", batches()
    path.write_bytes(made[1] + made[0])
    rows, told = read(path)
    assert len(rows) == 1
    assert told == f"{path} is damaged at byte {len(made[1])}: a batch begins at offset 40, 44 is next."


def test_an_offset_index_that_contradicts_its_segment_is_damage(partition: Path) -> None:
    path = partition / f"{NAME}.index"
    index = OffsetIndex(BASE)
    index.append(BASE + 3, SIZE)
    index.append(BASE + 5, SIZE + 1)
    path.write_bytes(index.entries)
    rows, told = read(path)
    assert rows == [(BASE + 3, SIZE)]
    assert str(told).startswith(f"{path} is damaged at byte 8: no batch that holds offset 45 begins at byte {SIZE + 1}")


@pytest.mark.parametrize(
    ("suffix", "contents", "reason"),
    [
        ("index", OffsetIndex.ENTRY.pack(3, SIZE) * 2, f"byte 8: the entry 43 at {SIZE} does not"),
        ("index", OffsetIndex.ENTRY.pack(3, SIZE) + b"abc", "byte 8: 3 bytes are no entry, which has 8"),
        ("timeindex", TimeIndex.ENTRY.pack(9, 3) * 2, "byte 12: the entry 9 at offset 43 does not follow 9 at 43"),
        ("timeindex", TimeIndex.ENTRY.pack(-5, 3), "byte 0: the entry -5"),
        ("txnindex", TransactionIndex.ENTRY.pack(3, 7, 40, 46, 47), "byte 0: the entry has version 3"),
        ("txnindex", TransactionIndex.ENTRY.pack(0, 7, 46, 40, 47), "byte 0: the entry has version 0 and goes from 46"),
        ("snapshot", b"\0\1abcdef", "byte 0: The producer snapshot"),
        ("snapshot", b"", "byte 0: The producer snapshot has only 0 bytes"),
    ],
)
def test_a_damaged_index_or_snapshot_is_told(partition: Path, suffix: str, contents: bytes, reason: str) -> None:
    path = partition / f"{NAME}.{suffix}"
    path.write_bytes(contents)
    _, told = read(path)
    assert f"{path} is damaged at {reason}" in str(told)


def test_what_is_no_file_of_a_partition_is_refused(run: Run, tmp_path: Path) -> None:
    run("log", "dump", str(tmp_path / "nope.log")).fails(".* does not exist.", 2)
    run("log", "dump", str(tmp_path)).fails(".* holds no files of a partition.", 2)
    (tmp_path / "notes.txt").write_text("x")
    run("log", "dump", str(tmp_path / "notes.txt")).fails(".* is not named like a file of a partition: .*", 2)
    secret = tmp_path / f"{NAME}.log"
    secret.mkdir()
    run("log", "dump", str(secret)).fails(".* holds no files of a partition.", 2)


def test_rows_are_read_as_they_are_asked_for(partition: Path) -> None:
    """So that a segment of any size fits."""
    (rows,) = read_files([partition / f"{NAME}.log"], records=True)
    assert isinstance(rows, Rows)
    assert not isinstance(rows.rows, list)


def test_what_a_broker_has_written(ottla: Run, run: Run, topic: str) -> None:
    """The segment of a running broker, where it is one of this machine."""
    (directory,) = ottla("cluster", "log-dirs", "-t", topic, "--format", "json").ok().json
    partition = Path(directory["directory"]) / f"{topic}-1"
    if not partition.exists():
        pytest.skip("the broker runs elsewhere")
    out = run("log", "dump", str(partition / f"{0:020d}.log"), "--records").ok().out
    assert out.splitlines()[2].split("\t")[3:5] == ["1", "value 1"]

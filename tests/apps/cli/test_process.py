"""The command line as a process of its own: terminals, pipes, signals, a broker that goes away."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Name = Callable[[str], str]

MAIN = """
import importlib, sys, typer
name = sys.argv[1]
module = importlib.import_module("ottla_apps.cli." + name)
root = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
root.callback()(lambda: None)
root.add_typer(module.app, name=name) if hasattr(module, "app") else root.command(name)(getattr(module, name))
root(prog_name="ottla")
"""


@contextmanager
def process(*arguments: str, brokers: str = "", **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A command as a process, which is killed if it has not ended by itself."""
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = os.environ | {"PYTHONPATH": paths, "OTTLA_BROKERS": brokers, "OTTLA_TIMEOUT": "100", "COLUMNS": "60"}
    command = [sys.executable, "-c", MAIN, *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    with subprocess.Popen(command, env=environment, **streams) as started:
        try:
            yield started
        finally:
            started.kill()


def on_a_terminal(*arguments: str, brokers: str, answer: bytes = b"") -> tuple[int, str]:
    """The exit status, and what somebody at a terminal would see."""
    ours, theirs = pty.openpty()
    with process(*arguments, brokers=brokers, stdin=theirs, stdout=theirs, stderr=theirs) as started:
        os.close(theirs)
        os.write(ours, answer)
        seen = b""
        try:
            while piece := os.read(ours, 4096):
                seen += piece
        except OSError:  # Linux's way to say that nobody has the other end any more
            pass
        os.close(ours)
        return started.wait(100), seen.decode()


def test_a_terminal_gets_tables(brokers: str, topic: str) -> None:
    status, seen = on_a_terminal("topic", "list", "-r", topic, brokers=brokers)
    assert status == 0
    assert "─" in seen
    assert "\t" not in seen


@pytest.mark.parametrize("kind", ["dumb", "xterm"])
def test_a_narrow_terminal_gets_whole_words(
    brokers: str, topic: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", kind)
    _, seen = on_a_terminal("topic", "describe", topic, brokers=brokers)
    assert "HIGH-WATERMARK" in seen


@pytest.mark.parametrize(("answer", "status"), [(b"n\n", 1), (b"y\n", 0)])
def test_a_terminal_is_asked_before_something_is_deleted(
    ottla: Run, brokers: str, topic: str, answer: bytes, status: int
) -> None:
    ended, seen = on_a_terminal("topic", "delete", topic, brokers=brokers, answer=answer)
    assert f"Delete {topic} with all records? [y/N]:" in seen
    assert ended == status
    assert ("Nothing was changed." in seen) == bool(status)
    assert (topic in ottla("topic", "list").ok().out) == bool(status)


def test_a_terminal_is_not_asked_with_yes(brokers: str, topic: str) -> None:
    status, seen = on_a_terminal("topic", "delete", topic, "--yes", brokers=brokers)
    assert (status, "[y/N]" in seen) == (0, False)


def test_following_shows_records_as_they_come_until_interrupted(
    brokers: str, topic: str, send: Callable[..., None]
) -> None:
    with process("consume", topic, "-p", "0", brokers=brokers) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        assert following.stdout.readline() == b"value 0\n"
        send(topic, [(0, None, b"new")])
        assert following.stdout.readline() == b"new\n"
        following.send_signal(signal.SIGINT)
        assert following.wait(100) == 130
        assert following.stderr.read() == b""


def test_following_begins_at_an_offset_once_that_is_there(brokers: str, topic: str, send: Callable[..., None]) -> None:
    send(topic, [(1, None, b"one"), (1, None, b"two"), (1, None, b"three")])
    with process("consume", topic, "-o", "3", brokers=brokers) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == b"three\n"
        send(topic, [(0, None, str(offset).encode()) for offset in range(1, 5)])
        assert [following.stdout.readline() for _ in range(2)] == [b"3\n", b"4\n"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_group_commits_what_was_printed_when_it_is_stopped(
    ottla: Run, brokers: str, topic: str, name: Name, number: int
) -> None:
    group = name("group")
    with process("consume", topic, "-g", group, brokers=brokers) as following:
        assert following.stdout is not None
        for _ in range(3):
            following.stdout.readline()
        following.send_signal(number)
        assert following.wait(100) == 130
    assert ottla("group", "lag", group, "--format", "json").ok().json["total"] == {"partitions": 3, "lag": 0}


def test_a_reader_that_has_enough_ends_it_quietly(brokers: str, topic: str) -> None:
    with process("consume", topic, "-p", "0", brokers=brokers) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        assert following.stdout.readline() == b"value 0\n"
        following.stdout.close()
        assert following.wait(100) == 1
        assert following.stderr.read() == b""


def test_a_full_disk_is_told(brokers: str, topic: str) -> None:
    for command in (("consume", topic, "-e"), ("topic", "list")):
        with open("/dev/full", "wb") as full, process(*command, brokers=brokers, stdout=full) as started:
            assert started.stderr is not None
            assert started.wait(100) == 1
            assert started.stderr.read() == b"ottla: The output cannot be written: No space left on device.\n"


def test_lines_are_sent_as_they_come(ottla: Run, brokers: str, topic: str) -> None:
    with process("produce", topic, "-p", "2", brokers=brokers, stdin=subprocess.PIPE) as producing:
        assert producing.stdin is not None
        producing.stdin.write(b"first\n")
        producing.stdin.flush()
        assert ottla("consume", topic, "-p", "2", "-o", "1:2").ok().out == "first\n"
        assert producing.poll() is None
        producing.stdin.close()
        assert producing.wait(100) == 0


def test_nobody_who_listens_is_told_at_once(tmp_path: Path) -> None:
    for command in (("topic", "list"), ("consume", "x"), ("produce", "x"), ("group", "list"), ("cluster", "info")):
        # Who waited for the time that it may take would take longer than the test may.
        patient = (*command, "--timeout", "3600")
        with process(*patient, brokers="127.0.0.1:1", stdin=subprocess.DEVNULL, cwd=tmp_path) as asked:
            assert asked.stderr is not None
            assert asked.wait() == 1
            assert asked.stderr.read() == b"ottla: 127.0.0.1:1 cannot be reached: connection refused.\n"


def test_a_broker_that_stays_away_ends_a_reader_after_the_timeout(start_broker: Callable[[], Any]) -> None:
    broker = start_broker()
    for command in (("topic", "create", "t"), ("group", "seek", "g", "--to", "start", "-t", "t")):
        with process(*command, brokers=broker.address) as created:
            assert created.wait(100) == 0
    with (
        process("consume", "t", "--timeout", "2", brokers=broker.address) as following,
        process("consume", "t", "-g", "g", "--timeout", "5", brokers=broker.address) as member,
        process("produce", "t", "--timeout", "3", brokers=broker.address, stdin=subprocess.PIPE) as producing,
    ):
        assert producing.stdin is not None
        producing.stdin.write(b"before\n")
        producing.stdin.flush()
        for reader in (following, member):
            assert reader.stdout is not None
            assert reader.stdout.readline() == b"before\n"
        broker.stop()
        producing.stdin.write(b"after\n")
        producing.stdin.close()
        for ended, sentence in (
            (producing, "A record for t was not written: no broker answered in time."),
            (following, f"No broker at {broker.address} for 2 s."),
            (member, f"No broker at {broker.address} for 5 s."),
        ):
            assert ended.stderr is not None
            assert ended.wait(100) == 1
            assert ended.stderr.read().decode() == f"ottla: {sentence}\n"


def test_a_shell_completes_names(brokers: str, topic: str) -> None:
    environment = {
        "_OTTLA_COMPLETE": "complete_bash",
        "COMP_WORDS": f"ottla topic describe {topic[:-1]}",
        "COMP_CWORD": "3",
    }
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment.items():
            patch.setenv(variable, value)
        with process("topic", brokers=brokers) as completed:
            assert completed.stdout is not None
            assert completed.stdout.read().decode().split() == [topic]


def test_a_shell_offers_nothing_where_no_broker_answers() -> None:
    environment = {"_OTTLA_COMPLETE": "complete_bash", "COMP_WORDS": "ottla topic describe a", "COMP_CWORD": "3"}
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment.items():
            patch.setenv(variable, value)
        with process("topic", brokers="127.0.0.1:1") as completed:
            out, err = completed.communicate(timeout=100)
            assert (out.strip(), err) == (b"", b"")


def test_listing_commands_loads_nothing_that_takes_time() -> None:
    """What `ottla --help` imports."""
    names = ("topic", "group", "config", "cluster", "transaction", "produce", "consume", "log", "profile")
    imports = "; ".join(f"import ottla_apps.cli.{name}" for name in names)
    heavy = "{'confluent_kafka', 'rich', 'msgspec', 'ottla_wire', 'ottla_broker'}"
    script = f"import sys; {imports}; print(sorted({heavy} & sys.modules.keys()))"
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = os.environ | {"PYTHONPATH": paths}
    assert subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True).stdout == b"[]\n"

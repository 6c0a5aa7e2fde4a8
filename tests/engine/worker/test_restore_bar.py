"""What is seen of restoring: a bar with the rate on a terminal, a line with it in a log."""

import io
import logging
from collections.abc import Callable
from typing import Any

import pytest

import ottla
from ottla.worker.restore_bar import RestoreBar, RestoreLog, restore_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def stderr_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """120 columns wide. Not a fixture: pytest puts its own stderr there when a test begins."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    for name, value in (("COLUMNS", "120"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    return terminal


def test_on_a_terminal_a_bar_shows_how_much_is_restored_and_how_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = stderr_on_a_terminal(monkeypatch)
    bar = restore_progress()
    assert isinstance(bar, RestoreBar)
    for _ in range(2):  # a worker restores again with its next assignment
        bar.started(4_000)
        bar.advanced(1_000)
        bar.advanced(3_000)
        bar.finished()
    shown = terminal.getvalue()
    assert "restoring state" in shown
    assert "4000/4000" in shown
    assert "/s" in shown


def test_nothing_to_restore_shows_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    terminal = stderr_on_a_terminal(monkeypatch)
    with caplog.at_level(logging.INFO, "ottla.worker"):
        for progress in (RestoreBar(), RestoreLog()):
            progress.started(0)
            progress.finished()
    assert (terminal.getvalue(), caplog.messages) == ("", [])


def test_in_a_log_what_takes_long_is_told_now_and_then_and_what_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    restoring = RestoreLog(lambda: now)
    with caplog.at_level(logging.INFO, "ottla.worker"):
        restoring.started(4_000)
        for _ in range(3):
            now += 6
            restoring.advanced(1_000)
        restoring.finished()
        restoring.started(2)
        now += 20
        restoring.advanced(2)
        restoring.finished()
    assert caplog.messages == [
        "restoring 4000 offsets of changelogs",
        "restored 2000 of 4000 offsets, 167/s",
        "restoring was given up after 3000 of 4000 offsets",
        "restoring 2 offsets of changelogs",
        "restored 2 offsets in 20.0 s, 0/s",
    ]


def test_in_a_log_a_worker_says_how_much_it_restored_and_how_fast(
    play: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    def counting() -> ottla.App:
        app = ottla.App("counting")
        counts = app.Table("counts", key=str, default=int)

        @app.agent(app.topic("words", key=str, value=str, partitions=1))
        async def count(words: ottla.Stream[str]) -> None:
            async for word in words:
                counts[word] += 1

        return app

    async def scenario(cluster: Any) -> None:
        cluster.broker.create_topic(counting().topology.topics[0])
        cluster.send("words", ("a", "a"), ("b", "b"))
        await cluster.run_to_end(counting(), "w0")
        # Another worker has nothing of the state
        with caplog.at_level(logging.INFO, "ottla.worker"):
            await cluster.run_to_end(counting(), "w1", progress=RestoreLog())

    play(scenario)
    # the third offset is the mark of the transaction
    assert "restoring 3 offsets of changelogs" in caplog.messages
    assert any(message.startswith("restored 3 offsets in ") and message.endswith("/s") for message in caplog.messages)

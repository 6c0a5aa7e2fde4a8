"""A worker is stopped at many moments of its beginning, by a broker that has just fallen silent: it ends soon.

How far it is when nobody answers it any more is said by how many requests were answered: to find the broker, to begin
its transactions, to look at topics and make them, to read what is known of its stores, to load a global table, to join.
"""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from ..proxy import LossyProxy
from .processes import ottla, wait_until

APP = """
import os
import ottla

app = ottla.App(os.environ["APP_ID"], standbys=1)
counts = app.Table("counts", key=str, default=int)
prices = app.GlobalTable("prices", source=app.topic("prices", key=str, value=int, partitions=2))

@app.agent(app.topic("words", key=str, value=str, partitions=2))
async def count(words):
    async for word in words:
        counts[word] += prices.get(word, 0)
"""
REQUESTS = [3, 7, 11, 16, 22, 30, 40, 55, 80, 120]
BEGUN_WITHIN_S = 200
STOPPED_WITHIN_S = 150
"""More than a worker gives itself, after which it says where it was."""


def _is_waiting(proxy: LossyProxy, name: str, worker: "subprocess.Popen[bytes]") -> bool:
    """Whether it waits for an answer that does not come, or has ended since it would not."""
    return proxy.is_silent(name) or worker.poll() is not None


@pytest.mark.timeout(900)
def test_a_worker_that_is_stopped_while_it_begins_ends_though_nobody_answers(tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(APP)
    with ExitStack() as stack:
        proxy = stack.enter_context(LossyProxy())
        _, proxy.target = stack.enter_context(ottla(tmp_path / "broker", proxy.address))
        workers = {}
        for requests in REQUESTS:
            name = f"app-{requests:03}"
            proxy.grow_silent(name, requests)
            command = [sys.executable, "-m", "ottla", "worker", "counting:app", "--broker", f"kafka://{proxy.address}"]
            log = stack.enter_context((tmp_path / f"{name}.log").open("wb"))
            worker = subprocess.Popen(
                [*command, "--state-dir", str(tmp_path / name)],
                cwd=tmp_path,
                env={**os.environ, "APP_ID": name},
                stdout=log,
                stderr=log,
            )
            stack.callback(worker.kill)
            workers[name] = worker
        for name, worker in workers.items():
            wait_until(partial(_is_waiting, proxy, name, worker), BEGUN_WITHIN_S)
        ended = {}
        for worker in workers.values():
            worker.send_signal(signal.SIGTERM)
        for name, worker in workers.items():
            try:
                worker.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                worker.send_signal(signal.SIGABRT)
                worker.wait()
            ended[name] = worker.returncode
        said = {name: (tmp_path / f"{name}.log").read_text() for name in workers}
    # Before it has begun it ends with the signal, as any program does.
    wrong = [
        name for name, status in ended.items() if status not in (0, 1, -signal.SIGTERM) or "Timeout (" in said[name]
    ]
    assert not wrong, f"{ended}\n" + "\n".join(said[name][-4000:] for name in wrong)

"""A client program and an app's own commands beside a worker, on a real broker: on a Kafka cluster too, where
`OTTLA_KAFKA_BOOTSTRAP` names one."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ottla.worker.embedded import serving

KAFKA = os.environ.get("OTTLA_KAFKA_BOOTSTRAP")

APP = """
from datetime import timedelta
import ottla

app = ottla.App("quotes-RUN", broker="BROKER", commit_interval=timedelta(milliseconds=20))

@app.command
async def price(number: int, key: str = "a") -> None:
    print("asked:", await quote.ask(number, key=key))

@app.agent(app.topic("questions-RUN", key=str, value=int, partitions=2))
def quote(number: int) -> dict[str, int]:
    if number == 13:
        raise ValueError("no thirteens")
    return {"EUR": number * 10}

if __name__ == "__main__":
    app.main()
"""

CLIENT = """
import asyncio
import ottla
from shop import app, quote

async def main():
    async with app.client():
        print(await quote.ask(2, key="a"))
        try:
            await quote.ask(13)
        except ottla.AgentFailed as error:
            print(error)
        print(await quote.kvjoin([("a", 1), ("b", 2), ("c", 3)]))

asyncio.run(main())
"""


@pytest.fixture(params=["ottla", *(["kafka"] if KAFKA else [])])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "kafka":
        assert KAFKA is not None
        yield KAFKA
    else:
        with serving(f"embedded://{tmp_path / 'broker'}") as embedded:
            yield embedded


def test_a_client_asks_an_agent_over_the_broker(address: str, tmp_path: Path) -> None:
    name = uuid.uuid4().hex[:8]
    (tmp_path / "shop.py").write_text(APP.replace("BROKER", f"kafka://{address}").replace("RUN", name))
    worker = subprocess.Popen([sys.executable, "shop.py", "worker"], cwd=tmp_path)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)

    try:
        client = run("-c", CLIENT)
        own = run("shop.py", "price", "4", "--key", "b")
        failed = run("shop.py", "price", "13")
    finally:
        worker.terminate()
        worker.wait(100)
    assert client.stdout.splitlines() == [
        "{'EUR': 20}",
        "agent 'quote' failed: ValueError: no thirteens",
        "[{'EUR': 10}, {'EUR': 20}, {'EUR': 30}]",
    ], client.stderr
    assert (own.stdout, own.returncode) == ("asked: {'EUR': 40}\n", 0), own.stderr
    assert failed.returncode == 1
    assert failed.stderr == f"quotes-{name}: agent 'quote' failed: ValueError: no thirteens\n"


def test_the_commands_of_an_app_are_listed_and_wrong_ones_refused(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP.replace("BROKER", "kafka://127.0.0.1:1"))
    program = "from ottla.app_commands import call_app; import typer, sys; typer.run(call_app)"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)

    listed, unknown = run("shop:app", "--", "--help"), run("shop:app", "prices")
    assert "price" in listed.stdout
    assert (unknown.returncode, "No such command 'prices'" in unknown.stderr) == (2, True)

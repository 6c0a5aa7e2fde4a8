"""A client program beside a worker, on a real broker."""

import subprocess
import sys
from pathlib import Path

from ottla.embedded import serving

APP = """
from datetime import timedelta
import ottla

app = ottla.App("quotes", broker="BROKER", commit_interval=timedelta(milliseconds=20))

@app.agent(app.topic("questions", key=str, value=int, partitions=2))
def quote(number: int) -> dict[str, int]:
    if number == 13:
        raise ValueError("no thirteens")
    return {"EUR": number * 10}
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


def test_a_client_asks_an_agent_over_the_broker(tmp_path: Path) -> None:
    with serving(f"embedded://{tmp_path / 'broker'}") as address:
        (tmp_path / "shop.py").write_text(APP.replace("BROKER", f"kafka://{address}"))
        worker = subprocess.Popen([sys.executable, "-m", "ottla", "worker", "shop:app"], cwd=tmp_path)
        try:
            client = subprocess.run(
                [sys.executable, "-c", CLIENT], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
            )
        finally:
            worker.terminate()
            worker.wait(30)
    assert client.stdout.splitlines() == [
        "{'EUR': 20}",
        "agent 'quote' failed: ValueError: no thirteens",
        "[{'EUR': 10}, {'EUR': 20}, {'EUR': 30}]",
    ], client.stderr

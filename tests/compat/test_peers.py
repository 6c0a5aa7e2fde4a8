"""Apps of the peer frameworks run on our broker: what their own clients ask of one beyond plain clients."""

from pathlib import Path

import pytest

from ottla_apps.bench import engine

from .brokers import Broker

ROOT = Path(__file__).resolve().parents[2]
EVENTS = 4096

pytestmark = pytest.mark.parametrize("broker", ["ottla"], indirect=True)


@pytest.fixture(scope="session")
def peers(broker: Broker) -> Path:
    """The interpreter of the peers' environment, with their input on the broker."""
    engine.load(broker.address, EVENTS)
    return engine.peers_python(ROOT / ".compat/peers", print)


@pytest.mark.parametrize("peer", ["faust-streaming", "quixstreams"])
@pytest.mark.parametrize("job", ["agent", "table"])
def test_a_peer_processes_every_event(broker: Broker, peers: Path, job: str, peer: str) -> None:
    run = engine.contenders(job, broker.address, EVENTS, seconds=60, peers=peers)[peer]

    assert run()["events"] == EVENTS


@pytest.mark.parametrize("peer", ["faust-streaming", "quixstreams"])
def test_what_a_peer_produces_is_there(broker: Broker, peers: Path, peer: str) -> None:
    run = engine.contenders("produce", broker.address, EVENTS, seconds=60, peers=peers)[peer]

    assert run()["events"] > 0, "the peer ended at once, so that some may be missing, but not all"

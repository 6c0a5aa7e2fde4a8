"""Apps of the peer frameworks run on our broker: what their own clients ask of one beyond plain clients."""

from pathlib import Path

import pytest

from ottla_apps.bench.engine import topics
from ottla_apps.bench.engine.jobs import Peers, contenders
from ottla_apps.bench.engine.peers import peers_python

from .brokers import Broker
from .programs import KAFKA_CLASSPATH

ROOT = Path(__file__).resolve().parents[2]
EVENTS = 4096

pytestmark = pytest.mark.parametrize("broker", ["ottla"], indirect=True)


@pytest.fixture(scope="session")
def peers(broker: Broker) -> Peers:
    """The peers, with their input on the broker."""
    topics.load(broker.address, EVENTS, print)
    return Peers(peers_python(ROOT / ".compat/peers", print), Path(KAFKA_CLASSPATH).parent)


@pytest.mark.parametrize(
    ("job", "peer"),
    [
        ("agent", "faust-streaming"),
        ("agent", "quixstreams"),
        ("table", "faust-streaming"),
        ("table", "quixstreams"),
        ("windowed", "kafka streams exactly once"),
        ("join", "kafka streams at least once"),
    ],
)
def test_a_peer_processes_every_event(broker: Broker, peers: Peers, job: str, peer: str) -> None:
    run = contenders(job, broker.address, EVENTS, seconds=60, peers=peers)[peer]

    assert run()["events"] == EVENTS


@pytest.mark.parametrize("peer", ["faust-streaming", "quixstreams"])
def test_what_a_peer_produces_is_there(broker: Broker, peers: Peers, peer: str) -> None:
    run = contenders("produce", broker.address, EVENTS, seconds=60, peers=peers)[peer]

    assert run()["events"] > 0, "the peer ended at once, so that some may be missing, but not all"

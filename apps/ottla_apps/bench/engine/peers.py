"""The peers, installed by name on first use: Python's into an environment of their own, since their pins exclude ours,
and Kafka Streams with Apache Kafka's jars."""

import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

PYTHON_PEERS = ("faust-streaming==0.15.3", "quixstreams==3.28.1")


def peers_python(environment: Path, say: Callable[[str], None]) -> Path:
    """The interpreter of the Python peers' environment.

    Raises:
        RuntimeError: the peers could not be installed; the sentence ends with what pip said.
    """
    python, complete = environment / "bin" / "python", environment / "complete"
    wanted = "\n".join(PYTHON_PEERS)
    if not complete.exists() or complete.read_text() != wanted:
        say(f"installing {' and '.join(PYTHON_PEERS)} into {environment}")
        venv.create(environment, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", *PYTHON_PEERS]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the peers could not be installed: {done.stderr.strip()}")
        complete.write_text(wanted)
    return python

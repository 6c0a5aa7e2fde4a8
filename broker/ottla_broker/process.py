"""A broker as a process: event loop, signals, the line that says where it listens."""

import asyncio
import ctypes
import gc
import logging
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvloop

from ottla_broker.config import BrokerConfig
from ottla_broker.errors import CannotStart, InvalidSetting, UnknownRecord
from ottla_broker.log.errors import LogError
from ottla_broker.node import Node
from ottla_wire.errors import KafkaError, WireError

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1

SWITCH_INTERVAL_S = 0.0005
"""How long a thread that computes (compaction does) may keep the interpreter from the event loop.

The loop gives it away with each system call, so that every request pays this several times over. With Python's own 5 ms
a compaction took nine tenths of the broker's throughput.
"""

THREADS = 32
"""How many threads may wait for the disk at the same time, made when they are needed.

Python's own few (cores and four) would all wait for flushes where the disk is slow and many partitions want theirs, and
a cold read would come after those.
"""


def run(config: BrokerConfig, config_file: Path | None = None) -> None:
    """Run a broker until SIGTERM, SIGINT or SIGHUP. `config_file` is where settings came from. Raises CannotStart."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if config_file is not None:
        logger.info("settings from %s", config_file)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="ottla"))
        runner.run(_serve(config))


async def _serve(config: BrokerConfig) -> None:
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # what nohup asks for
            loop.add_signal_handler(number, told_to_stop.set)
    node = await _start(config, told_to_stop)
    if node is None:
        return
    # What exists now exists as long as the process: the garbage collector need not look at it, now or ever.
    gc.freeze()
    gc.enable()
    print(f"ottla broker: listening on {node.address}, data in {config.data_directory}", flush=True)
    for listener in node.listeners[1:]:
        print(f"ottla broker: listening on {listener.address} for {listener.name}", flush=True)
    if node.admin_address is not None:
        print(f"ottla broker: metrics and health at http://{node.admin_address}", flush=True)
    await told_to_stop.wait()
    await node.stop()


async def _start(config: BrokerConfig, told_to_stop: asyncio.Event) -> Node | None:
    """The node; None if it was told to stop before it had started, which after a crash may take long."""
    starting = asyncio.ensure_future(Node.start(config))
    waiting = asyncio.ensure_future(told_to_stop.wait())
    await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not starting.done():
        logger.info("told to stop before it has started; what is recovered by now need not be the next time")
        starting.cancel()
    try:
        return await starting
    except asyncio.CancelledError:
        return None
    except KafkaError as error:
        raise CannotStart(error.message) from error
    except (LogError, InvalidSetting, UnknownRecord, WireError, OSError) as error:
        raise CannotStart(str(error)) from error


def stop_with_parent() -> None:
    """Have this process receive SIGTERM when the thread that started it ends. Raises CannotStart if that is impossible.

    The kernel watches the thread, not the process: whoever starts a broker so must do it from a thread that stays.
    """
    if not sys.platform.startswith("linux"):
        raise CannotStart("--exit-with-parent works on Linux only")
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise CannotStart(f"--exit-with-parent is refused by the kernel: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it ended while we asked
        raise CannotStart("the process that started this broker has ended")

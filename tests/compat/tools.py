"""Apache Kafka's command line tools, run in the JVM of the java program (`kafka/Tools.java`) or in one of their own."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .programs import JAVA, KAFKA_CLASSPATH, Program

TIMEOUT_S = 200
PACKAGE = "org.apache.kafka.tools."
CONSUMER = PACKAGE + "consumer."


class Tools:
    """The tools at work on one broker. Options are as on the command line; `{broker}` in one is its address."""

    def __init__(self, program: Program, broker: str) -> None:
        self.program = program
        self.broker = broker

    def run(self, tool: str, *options: str, stdin: str = "") -> str:
        """What the tool prints. Fails unless its exit status is 0."""
        status, output = self._run(tool, options, stdin)
        assert status == 0, f"{tool} {options} ended with status {status}:\n{output}"
        return output

    def run_until(self, shown: Callable[[str], object], tool: str, *options: str) -> str:
        """What the tool prints as soon as it shows what was changed: a broker follows its controller."""
        deadline = time.monotonic() + TIMEOUT_S
        while not shown(printed := self.run(tool, *options)):
            assert time.monotonic() < deadline, f"{tool} {options} does not show it:\n{printed}"
            time.sleep(0.05)
        return printed

    def refused(self, tool: str, *options: str) -> str:
        """What the tool prints when its exit status is not 0."""
        status, output = self._run(tool, options, "")
        assert status != 0, f"{tool} {options} was expected to fail:\n{output}"
        return output

    def _run(self, tool: str, options: tuple[str, ...], stdin: str) -> tuple[int, str]:
        report = self.program.call(
            "run_tool", tool=tool, arguments=self._filled(options), input=stdin, timeout_ms=TIMEOUT_S * 1000
        )
        assert not report["running"], f"{tool} {options} did not end:\n{report['output']}"
        return report["status"], report["output"]

    def _filled(self, options: tuple[str, ...]) -> list[str]:
        return [option.replace("{broker}", self.broker) for option in options]

    def run_alone(self, tool: str, *options: str) -> str:
        """`run` in a JVM of its own, for a tool that does its last work in a shutdown hook."""
        done = subprocess.run(
            self._command(tool, options), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def started(self, tool: str, *options: str) -> Iterator["Running"]:
        """A tool in a JVM of its own, which runs until the end of the block."""
        with (
            tempfile.NamedTemporaryFile() as output,
            subprocess.Popen(self._command(tool, options), stdout=output, stderr=subprocess.DEVNULL) as process,
        ):
            try:
                yield Running(process, Path(output.name))
            finally:
                process.terminate()
                process.wait(TIMEOUT_S)

    def _command(self, tool: str, options: tuple[str, ...]) -> list[str]:
        return [*JAVA, KAFKA_CLASSPATH, tool, *self._filled(options)]


class Running:
    """A tool that was started."""

    def __init__(self, process: "subprocess.Popen[bytes]", printed: Path) -> None:
        self._process = process
        self._printed = printed

    def output(self) -> str:
        """What it has printed so far, in whole lines. Fails if it has ended."""
        printed = self._printed.read_text()
        assert self._process.poll() is None, f"the tool ended with status {self._process.returncode}:\n{printed}"
        return printed[: printed.rfind("\n") + 1]


def table(output: str, *, header: str) -> list[list[str]]:
    """The words of each line below the one that begins with `header`."""
    lines = [line.split() for line in output.splitlines()]
    starts = [index for index, words in enumerate(lines) if words and words[0] == header]
    assert starts, f"no line begins with {header}:\n{output}"
    return [words for words in lines[starts[0] + 1 :] if words]

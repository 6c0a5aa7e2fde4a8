"""What can go wrong on the operators' command line. Each of these is one sentence on stderr and an exit status.

    CommandError            status 1
    ├── Unreachable         no broker answers, or none in time
    ├── Refused             a broker answered with an error of the protocol
    ├── DamagedFile         a file of the log that does not hold together
    └── BadArgument         status 2: what the user wrote makes no sense

The sentences say what was wrong, where, and what to do. `command.py` prints them.
"""

# ruff: noqa: N818  the names say what happened, as those of the wire package do


def sentence(text: str) -> str:
    """The text with a full stop, unless it ends in something of the kind."""
    text = text.strip()
    return text if text.endswith((".", "?", "!")) else f"{text}."


class CommandError(Exception):
    """Base of the errors that end a command. The text is the sentence that the user reads."""

    status = 1


class Unreachable(CommandError):
    """No broker could be reached, or an answer did not come in the time that `--timeout` gives."""


class Refused(CommandError):
    """A broker refused a request; `code` is the number of Kafka's error code, or of librdkafka's own (negative)."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


class DamagedFile(CommandError):
    """A file that is damaged at a position, or that cannot be what its name says."""


class BadArgument(CommandError):
    """An argument or option that parses, yet makes no sense."""

    status = 2

"""Every error that a connector raises on purpose.

ConnectorError
├── ConfigError            a spec, a plugin's name or its config is wrong; says what to write instead
├── SourceError            the source's input cannot be read as it is
│   └── SourceUnavailable  ... just now; tried again
├── SinkError              the sink's target cannot be written as it is
│   ├── SinkUnavailable    ... just now; tried again
│   └── RowsRejected       the target refuses single rows, which go to the dead-letter topic
├── BrokerError            the broker refuses what a connector must do
│   └── BrokerUnavailable  ... just now; tried again
└── Fenced                 a newer task took this one's work over; it ends and is not restarted
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class ConnectorError(Exception):
    """Base of the errors of this package. Its text is one sentence for the person who runs the connector."""

    retriable: ClassVar[bool] = False
    """Whether the same task may succeed when it is started again; the supervisor restarts on nothing else."""


class ConfigError(ConnectorError):
    """A spec, the name of a plugin, or a plugin's config is wrong. Raised before anything is read or written."""


class SourceError(ConnectorError):
    """The source's input cannot be read, and starting again would not help."""


class SourceUnavailable(SourceError):  # noqa: N818
    """The source's input cannot be read just now."""

    retriable = True


class SinkError(ConnectorError):
    """The sink's target cannot be written, and starting again would not help."""


class SinkUnavailable(SinkError):  # noqa: N818
    """The sink's target cannot be written just now."""

    retriable = True


class RowsRejected(SinkError):  # noqa: N818
    """The target refuses single rows of a batch; nothing of the batch was written.

    `rejected` pairs the index of each refused row in the batch with the reason. The rest of the batch can be written
    without them.
    """

    def __init__(self, rejected: Sequence[tuple[int, str]]) -> None:
        index, reason = rejected[0]
        super().__init__(f"{len(rejected)} rows rejected, the first at index {index}: {reason}")
        self.rejected = rejected


class BrokerError(ConnectorError):
    """The broker refuses what a connector must do."""


class BrokerUnavailable(BrokerError):  # noqa: N818
    """The broker could not be reached, or the transaction was aborted; the position did not move."""

    retriable = True


class Fenced(ConnectorError):  # noqa: N818
    """A newer task of the same connector has taken over. Nothing of the refused write took effect."""

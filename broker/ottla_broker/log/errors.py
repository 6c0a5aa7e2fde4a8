"""What can go wrong in the storage, besides the codes of the protocol.

    LogError                        everything of this package that is not a `KafkaError`
    ├── DataDirectoryError          a data directory that cannot be used; the message tells the operator why
    │   └── DataDirectoryInUse      another process holds its lock
    ├── CorruptFile                 a checkpoint, index or snapshot whose contents do not hold together
    ├── CompactionStopped           the broker stops, or the topic is deleted; nothing has changed
    └── RecoveryStopped             the broker is to stop while it starts; the next start looks at the log anew
    KafkaError
    ├── RefusedRecords              a batch that a client must change before it can be taken; says which records
    └── InvalidRecord
        └── NotOneBatch             what a client sent for a partition is not exactly one batch

What a client or another broker must hear about is a `ottla_wire.errors.KafkaError`. A failing disk is an `OSError`
inside this package and becomes `KafkaError(KAFKA_STORAGE_ERROR)` where a client waits for the answer
(`PartitionLog`).
"""

# ruff: noqa: N818  the names say what happened, as those of the wire package do

from ottla_wire.errors import ErrorCode, InvalidRecord, KafkaError


class RefusedRecords(KafkaError):
    """A batch refused for some of its records: their indexes within it, the first of many (KIP-467)."""

    def __init__(self, code: ErrorCode, message: str, indexes: list[int]) -> None:
        super().__init__(code, message)
        self.indexes = indexes


class NotOneBatch(InvalidRecord):
    """What a produce request has for a partition is not exactly one whole batch: the log has not looked into it."""


class LogError(Exception):
    """Base of the storage's own errors."""


class DataDirectoryError(LogError):
    """A data directory that cannot be used; the message is one sentence for the operator."""


class DataDirectoryInUse(DataDirectoryError):
    """A data directory that another running broker has locked."""


class CorruptFile(LogError):
    """A file beside the segments that cannot be trusted; its reader rebuilds it or tells the operator."""


class CompactionStopped(LogError):
    """Compaction was told to stop, and has undone what it had begun."""


class RecoveryStopped(LogError):
    """Recovery was told to stop; what it had not come to is as it was."""

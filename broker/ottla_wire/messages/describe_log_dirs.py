"""DescribeLogDirs (API key 35): the log directories of a broker and what takes up room in them (KIP-113)."""

from ottla_wire.message import Int16, Int32, Int64, Message, Struct, since


class DescribableLogDirTopic(Struct):
    """The partitions of one topic to look at."""

    topic: str
    partitions: list[Int32]


class DescribeLogDirsRequest(Message, key=35, versions="1-5", flexible="2+"):
    """Names partitions; null looks at all."""

    topics: list[DescribableLogDirTopic] | None


class DescribeLogDirsPartition(Struct):
    """The size in bytes and the lag of one partition in a directory."""

    partition_index: Int32
    partition_size: Int64
    offset_lag: Int64
    is_future_key: bool


class DescribeLogDirsTopic(Struct):
    """The partitions of one topic in a directory."""

    name: str
    partitions: list[DescribeLogDirsPartition]


class DescribeLogDirsResult(Struct):
    """One directory; sizes of its volume in bytes, -1 where unknown."""

    error_code: Int16 = 0
    log_dir: str
    topics: list[DescribeLogDirsTopic]
    total_bytes: Int64 = since("4+", default=-1, ignorable=True)
    usable_bytes: Int64 = since("4+", default=-1, ignorable=True)
    is_cordoned: bool = since("5+", default=False, ignorable=True)


class DescribeLogDirsResponse(Message, key=35, versions="1-5", flexible="2+"):
    """The directories of the broker."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = since("3+", default=0, ignorable=True)
    results: list[DescribeLogDirsResult]

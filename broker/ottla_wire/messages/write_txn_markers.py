"""WriteTxnMarkers (API key 27): the transaction coordinator ends transactions in partitions (KIP-98)."""

from ottla_wire.message import Int8, Int16, Int32, Int64, Message, Struct, since


class WritableTxnMarkerTopic(Struct):
    """Partitions of one topic to write the marker to."""

    name: str
    partition_indexes: list[Int32]


class WritableTxnMarker(Struct):
    """The outcome of one transaction and where it has to be written."""

    producer_id: Int64
    producer_epoch: Int16
    transaction_result: bool
    topics: list[WritableTxnMarkerTopic]
    coordinator_epoch: Int32
    transaction_version: Int8 = since("2+", default=0, ignorable=True)


class WriteTxnMarkersRequest(Message, key=27, versions="1-2", flexible="1+"):
    """Writes markers."""

    markers: list[WritableTxnMarker]


class WritableTxnMarkerPartitionResult(Struct):
    """How it went for one partition."""

    partition_index: Int32
    error_code: Int16 = 0


class WritableTxnMarkerTopicResult(Struct):
    """How it went for one topic."""

    name: str
    partitions: list[WritableTxnMarkerPartitionResult]


class WritableTxnMarkerResult(Struct):
    """How it went for one transaction, given by its producer id."""

    producer_id: Int64
    topics: list[WritableTxnMarkerTopicResult]


class WriteTxnMarkersResponse(Message, key=27, versions="1-2", flexible="1+"):
    """How it went, by producer id, topic and partition."""

    markers: list[WritableTxnMarkerResult]

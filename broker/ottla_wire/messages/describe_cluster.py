"""DescribeCluster (API key 60): the cluster's id, controller and brokers (KIP-700)."""

from ottla_wire.message import Int8, Int16, Int32, Message, Struct, since


class DescribeClusterRequest(Message, key=60, versions="0-2", flexible="0+"):
    """Asks for brokers, or for controllers (KIP-919)."""

    include_cluster_authorized_operations: bool
    endpoint_type: Int8 = since("1+", default=1)
    include_fenced_brokers: bool = since("2+", default=False)


class DescribeClusterBroker(Struct):
    """A node, where it listens, and whether it is fenced."""

    broker_id: Int32
    host: str
    port: Int32
    rack: str | None = None
    is_fenced: bool = since("2+", default=False)


class DescribeClusterResponse(Message, key=60, versions="0-2", flexible="0+"):
    """The cluster as the answering node sees it."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: str | None = None
    endpoint_type: Int8 = since("1+", default=1)
    cluster_id: str
    controller_id: Int32 = -1
    brokers: list[DescribeClusterBroker]
    cluster_authorized_operations: Int32 = -(2**31)

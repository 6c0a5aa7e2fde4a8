"""A small synchronous client of the Kafka protocol, for what librdkafka's admin client has no call for.

One connection a node, one request at a time, in the highest version that both sides speak. Every wait is bounded by the
timeout that the client is given. It also tells quickly and precisely why a broker cannot be reached, which is why each
command begins with it.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from ottla_apps.cli.errors import CommandError, Refused, Unreachable, sentence
from ottla_apps.cli.partition import Partition
from ottla_apps.cli.profiles import Address
from ottla_wire.api_keys import ApiKey
from ottla_wire.errors import EncodeError, ErrorCode, FrameTooLarge, MalformedMessage
from ottla_wire.frames import LENGTH_SIZE, FrameReader
from ottla_wire.headers import RequestHeader, decode_response_header
from ottla_wire.message import Message
from ottla_wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from ottla_wire.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from ottla_wire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse

CLIENT_ID = "ottla-cli"
# The largest answers list the partitions of a cluster; this is room for a million of them.
MAX_RESPONSE_SIZE = 128 * 1024 * 1024
_RETRY_PAUSE_S = 0.1
# Before version 4, features that may be off are not named.
_API_VERSIONS = (4, 3, 0)

Response = TypeVar("Response", bound=Message)
Result = TypeVar("Result")

GROUP, TRANSACTION = 0, 1


def check(code: int, what: str, message: str | None = None) -> None:
    """Raise Refused if a response carries an error; `what` could not be done."""
    if code == ErrorCode.NONE:
        return
    known = code in ErrorCode.__members__.values()
    reason = message or (ErrorCode(code).message if known else f"The broker answered with the error code {code}.")
    raise Refused(sentence(f"{what}: {reason}"), code)


class WireClient:
    """Requests to the nodes of a cluster. A context manager: leaving it closes the connections.

    Raises Unreachable where no node answers in `timeout_s`, CommandError where one does not understand.
    """

    def __init__(self, bootstrap: Sequence[Address], timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._links: dict[int | None, _Link] = {}
        self._nodes: dict[int, Address] = {}
        self._links[None] = self._first(bootstrap)

    def _first(self, bootstrap: Sequence[Address]) -> "_Link":
        reasons = []
        deadline = time.monotonic() + self._timeout_s
        for address in bootstrap:
            try:
                return _Link(address, self._timeout_s, deadline)
            except Unreachable as error:
                reasons.append(str(error))
        raise Unreachable(" ".join(reasons))

    def request(self, request: Message, response: type[Response], node: int | None = None) -> Response:
        """Send a request to a node, or to the one that the client began with, and return its answer."""
        link = self._links.get(node)
        if link is None:
            if node not in self.nodes():
                raise Unreachable(f"The cluster has no broker {node} at the moment.")
            assert node is not None
            deadline = time.monotonic() + self._timeout_s
            link = self._links[node] = _Link(self._nodes[node], self._timeout_s, deadline)
        return link.request(request, response)

    @property
    def timeout_ms(self) -> int:
        """What requests with a timeout of their own are given."""
        return round(self._timeout_s * 1000)

    def nodes(self) -> dict[int, Address]:
        """The brokers of the cluster, by node id."""
        if not self._nodes:
            self.metadata([])
        return self._nodes

    def metadata(self, topics: Sequence[str] | None) -> MetadataResponse:
        """Nodes, controller, and the topics named, or all where that is None. Topics may carry errors."""
        wanted = None if topics is None else [MetadataRequestTopic(name=name) for name in topics]
        answer = self.request(MetadataRequest(topics=wanted, allow_auto_topic_creation=False), MetadataResponse)
        check(answer.error_code, "The cluster cannot be described")
        self._nodes = {broker.node_id: (broker.host, broker.port) for broker in answer.brokers}
        return answer

    def at_coordinator(self, key: str, kind: int, ask: Callable[[int], Result]) -> Result:
        """What `ask` returns, given the node that coordinates a group (`GROUP`) or transactional id (`TRANSACTION`).

        Asks again, after looking for the coordinator anew, while it moves or loads, until the timeout has passed.
        """
        return self._retried(lambda: ask(self._coordinator(key, kind)))

    def at_leaders(
        self, partitions: Collection[Partition], ask: Callable[[int, dict[str, list[int]]], Iterable[Result]]
    ) -> list[Result]:
        """What `ask` returns in all, given each node that leads some of the partitions, and those by topic.

        Asks all again while leaders move, until the timeout has passed.
        """

        def attempt() -> list[Result]:
            by_leader = self._by_leader(partitions)
            return [result for node, topics in by_leader.items() for result in ask(node, topics)]

        return self._retried(attempt)

    def _by_leader(self, partitions: Collection[Partition]) -> dict[int, dict[str, list[int]]]:
        wanted = set(partitions)
        found: dict[int, dict[str, list[int]]] = {}
        for topic in self.metadata(sorted({partition.topic for partition in wanted})).topics:
            name = topic.name or ""
            check(topic.error_code, f"Topic {name!r} cannot be described")
            for answer in topic.partitions:
                partition = Partition(name, answer.partition_index)
                if partition not in wanted:
                    continue
                if answer.leader_id < 0:
                    check(ErrorCode.LEADER_NOT_AVAILABLE, f"{partition} cannot be asked")
                found.setdefault(answer.leader_id, {}).setdefault(name, []).append(answer.partition_index)
        return found

    def _retried(self, attempt: Callable[[], Result]) -> Result:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                return attempt()
            except Refused as error:
                if not _is_retriable(error.code) or time.monotonic() >= deadline:
                    raise
            time.sleep(_RETRY_PAUSE_S)

    def _coordinator(self, key: str, kind: int) -> int:
        request = FindCoordinatorRequest(key_type=kind, coordinator_keys=[key])
        if self.version_of(request) < 4:
            request = FindCoordinatorRequest(key_type=kind, key=key)
        answer = self.request(request, FindCoordinatorResponse)
        found = answer.coordinators[0] if answer.coordinators else answer
        check(found.error_code, f"No coordinator was found for {key!r}", found.error_message)
        return found.node_id

    def version_of(self, request: Message) -> int:
        """The version in which the first node takes a request. Raises CommandError where it does not."""
        return self._links[None].version_of(request)

    def serves(self, request: type[Message]) -> bool:
        """Whether the first node serves an API at all."""
        return any(api.api_key == request.api_key for api in self.api_versions().api_keys)

    def api_versions(self) -> ApiVersionsResponse:
        """What the first node said of its APIs and features."""
        return self._links[None].api_versions

    def close(self) -> None:
        for link in self._links.values():
            link.close()
        self._links.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _is_retriable(code: int) -> bool:
    return code in ErrorCode.__members__.values() and ErrorCode(code).retriable


class _Link:
    """One connection to one node."""

    def __init__(self, address: Address, timeout_s: float, deadline: float) -> None:
        self._name = f"{address[0]}:{address[1]}"
        self._timeout_s = timeout_s
        self._correlation_id = 0
        self._reader = FrameReader(MAX_RESPONSE_SIZE)
        try:
            self._socket = socket.create_connection(address, timeout=_until(deadline))
        except TimeoutError:
            raise Unreachable(f"{self._name} did not answer within {timeout_s:g} s.") from None
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"{self._name} cannot be reached: {_reason(error)}.") from None
        try:
            self.api_versions = self._ask_versions(deadline)
        except CommandError:
            self.close()
            raise
        self._versions = {api.api_key: (api.min_version, api.max_version) for api in self.api_versions.api_keys}

    def _ask_versions(self, deadline: float) -> ApiVersionsResponse:
        for version in _API_VERSIONS:
            request = ApiVersionsRequest(client_software_name=CLIENT_ID, client_software_version="1")
            answer = self._exchange(request, ApiVersionsResponse, version, deadline)
            # A broker that lacks the version answers in version 0 (KIP-511), of which the error comes first.
            if answer.error_code != ErrorCode.UNSUPPORTED_VERSION:
                break
        check(answer.error_code, f"{self._name} does not say what it speaks")
        return answer

    def version_of(self, request: Message) -> int:
        """The highest version that both sides speak. Raises CommandError if there is none."""
        name = ApiKey(request.api_key).camel_case
        lowest, highest = self._versions.get(request.api_key, (0, -1))
        version = min(highest, request.versions.highest)
        if version < max(lowest, request.versions.lowest):
            raise CommandError(f"The broker at {self._name} does not serve {name}.")
        return version

    def request(self, request: Message, response: type[Response]) -> Response:
        return self._exchange(request, response, self.version_of(request), time.monotonic() + self._timeout_s)

    def _exchange(self, request: Message, response: type[Response], version: int, deadline: float) -> Response:
        self._correlation_id += 1
        header = RequestHeader(request.api_key, version, self._correlation_id, CLIENT_ID).encode()
        try:
            body = request.encode(version)
        except EncodeError as error:
            raise CommandError(f"The broker at {self._name} is too old for this: {error}.") from None
        frame = self._roundtrip((len(header) + len(body)).to_bytes(LENGTH_SIZE, "big") + header + body, deadline)
        try:
            _, position = decode_response_header(frame, request.api_key, version)
            if response is ApiVersionsResponse and bytes(frame[position : position + 2]) == _UNSUPPORTED_VERSION:
                version = 0
            return response.decode(frame, version, position)[0]
        except MalformedMessage as error:
            raise CommandError(f"{self._name} sent an answer that is not one: {error}.") from None

    def _roundtrip(self, data: bytes, deadline: float) -> bytearray | memoryview:
        """Send a request, and wait for the frame that answers it."""
        try:
            self._socket.settimeout(_until(deadline))
            self._socket.sendall(data)
            while not self._reader.frames:
                self._socket.settimeout(_until(deadline))
                received = self._socket.recv(65536)
                if not received:
                    raise Unreachable(f"{self._name} closed the connection: is it a Kafka broker's plain listener?")
                self._reader.receive_data(received)
        except TimeoutError:
            raise Unreachable(f"{self._name} did not answer within {self._timeout_s:g} s.") from None
        except FrameTooLarge:
            raise Unreachable(f"{self._name} does not speak the Kafka protocol.") from None
        except OSError as error:
            raise Unreachable(f"The connection to {self._name} broke: {_reason(error)}.") from None
        return self._reader.frames.popleft()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


_UNSUPPORTED_VERSION = int(ErrorCode.UNSUPPORTED_VERSION).to_bytes(2, "big")


def _until(deadline: float) -> float:
    """Seconds left; never 0, which sockets take for "do not wait"."""
    return max(0.001, deadline - time.monotonic())


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return (text or str(error) or type(error).__name__).lower().rstrip(".")

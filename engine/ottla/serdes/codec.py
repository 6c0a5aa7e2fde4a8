"""What a codec is: two functions and a name. And a serde: what becomes a codec once its topic is known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import countOf
from typing import Any, Generic, Literal, NamedTuple, TypeVar

T = TypeVar("T")

Part = Literal["key", "value"]


class Serde(ABC, Generic[T]):
    """How a topic's keys or values `T` are written. A `Codec` is a serde that is the same for every topic."""

    @abstractmethod
    def codec(self, topic: str, part: Part) -> Codec[T]:
        """The codec for the keys or the values of a topic. Called where the topic is declared; does no I/O."""

    def __or__(self, then: Codec[bytes]) -> Serde[T]:
        """What this one writes, written by another: `json(Order) | GZIP`. Reading goes the other way round."""
        return _Piped(self, then)


class Exact(NamedTuple):
    """The class that nearly all values of a codec are of, and how those are written without a look at them."""

    of: type
    encode: Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class Codec(Serde[T]):
    """Two functions, the name by which codecs are told apart, and the type that `decode` gives, where it is known.

    `decode` raises any exception for bytes that are no `T`, `encode` any for a value that cannot be written; the
    engine turns both into `DecodeError` and `EncodeError` for the event concerned. Neither ever sees None: a null key
    or value passes by the codec. Either may raise `Unavailable` for what may succeed later.

    `prepare`, if there is one, is called before a worker that writes such a topic takes its first event, in a thread.
    It raises `ConfigError` for what will never succeed, and `Unavailable`.

    `state` is how state and internal topics keep values that were read with this codec, where that is another: one that
    needs nothing from elsewhere, and can write whatever this one reads.

    `exact`, if there is one, spares values of one class what `encode` does to see that they can be read again.
    """

    name: str
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]
    type: Any = Any
    prepare: Callable[[], None] | None = None
    state: Codec[T] | None = None
    exact: Exact | None = None

    def encode_all(self, values: Sequence[T | None]) -> list[bytes | None]:
        """The encoded forms of a column, in which None stays None. Raises what `encode` does."""
        exact = self.exact
        if exact is not None and countOf(map(type, values), exact.of) == len(values):
            return list(map(exact.encode, values))
        encode = self.encode
        return [None if value is None else encode(value) for value in values]

    @property
    def kept(self) -> Codec[T]:
        """The codec by which the app keeps such values for itself."""
        return self if self.state is None else self.state

    def codec(self, topic: str, part: Part) -> Codec[T]:  # noqa: ARG002 - the same for all
        return self

    def __or__(self, then: Codec[bytes]) -> Codec[T]:
        encode, decode, outer_encode, outer_decode = self.encode, self.decode, then.encode, then.decode
        return Codec(
            f"{self.name}|{then.name}",
            lambda value: outer_encode(encode(value)),
            lambda data: decode(outer_decode(data)),
            self.type,
            self.prepare,
            self.state,
        )


@dataclass(frozen=True, slots=True)
class _Piped(Serde[T]):
    first: Serde[T]
    then: Codec[bytes]

    def codec(self, topic: str, part: Part) -> Codec[T]:
        return self.first.codec(topic, part) | self.then

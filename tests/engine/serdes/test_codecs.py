"""The codecs that are chosen by hand or by name: what they write, how they combine, what they refuse."""

import gzip
import uuid
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ottla
from ottla import serdes
from ottla.serdes import Codec

COMPRESSIONS = [serdes.GZIP, serdes.ZLIB, serdes.LZ4, serdes.ZSTD]


class Order(msgspec.Struct):
    item: str
    count: int


@pytest.mark.parametrize(
    ("codec", "value", "data"),
    [
        (serdes.SHORT, -2, b"\xff\xfe"),
        (serdes.INTEGER, 1, b"\0\0\0\1"),
        (serdes.LONG, 2**40, b"\0\0\1\0\0\0\0\0"),
        (serdes.FLOAT, 0.5, b"?\0\0\0"),
        (serdes.DOUBLE, -0.5, b"\xbf\xe0\0\0\0\0\0\0"),
        (serdes.BOOLEAN, True, b"\1"),
        (serdes.UUID, uuid.UUID(int=1), b"00000000-0000-0000-0000-000000000001"),
        (serdes.BASE64, b"\xff\xfe", b"//4="),
        (serdes.json(Order), Order("tea", 2), b'{"item":"tea","count":2}'),
        (serdes.msgpack(list[int]), [1], b"\x91\1"),
    ],
)
def test_values_are_written_as_kafkas_serializers_write_them(codec: Codec[Any], value: object, data: bytes) -> None:
    assert codec.encode(value) == data
    assert codec.decode(data) == value


@pytest.mark.parametrize("codec", [serdes.INTEGER, serdes.LONG, serdes.DOUBLE])
def test_a_number_of_the_wrong_size_is_refused(codec: Codec[Any]) -> None:
    with pytest.raises(Exception, match="requires a buffer of"):
        codec.decode(b"\0\0\0")


@given(
    st.binary(min_size=1, max_size=1000),
    st.sampled_from([serdes.GZIP, serdes.ZLIB, serdes.LZ4, serdes.ZSTD, serdes.BASE64]),
)
def test_what_is_compressed_comes_back_and_what_is_cut_does_not(data: bytes, codec: Codec[bytes]) -> None:
    written = codec.encode(data)
    assert codec.decode(written) == data
    assert codec.encode(data) == written
    if codec is not serdes.BASE64:
        with pytest.raises(Exception):  # noqa: B017, PT011 - each library has its own
            codec.decode(written[:-1])


def test_gzip_in_several_members_is_one_value() -> None:
    assert serdes.GZIP.decode(gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"


@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_a_small_message_cannot_fill_the_memory(codec: Codec[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ottla.serdes.transforms.MOST_BYTES", 1000)
    assert len(codec.decode(codec.encode(bytes(1000)))) == 1000
    with pytest.raises(ValueError, match="larger than 1000 bytes"):
        codec.decode(codec.encode(bytes(1001)))


def test_codecs_are_piped_from_left_to_right() -> None:
    codec = serdes.json(Order) | serdes.ZLIB | serdes.BASE64
    order = Order("tea", 2)
    assert codec.encode(order) == serdes.BASE64.encode(zlib.compress(b'{"item":"tea","count":2}'))
    assert codec.decode(codec.encode(order)) == order
    assert (codec.name, codec.type) == ("json[Order]|zlib|base64", Order)


def test_codecs_can_be_given_by_name(app: ottla.App) -> None:
    orders = app.topic("orders", key="integer", value="json|gzip")
    app.stream(orders).to(app.topic("copies", key=serdes.INTEGER, value=serdes.named("msgpack", Order)))
    with app.test() as driver:
        driver.send("orders", key=1, value={"item": "tea", "count": 2})
        [copy] = driver.read("copies")
    assert (copy.key, copy.value) == (1, Order("tea", 2))


def test_ones_own_codec_has_a_name_and_makes_typed_values() -> None:
    lines: Codec[Any] = Codec(
        "lines",
        lambda value: "\n".join(f"{key}={part}" for key, part in value.items()).encode(),
        lambda data: dict(line.split("=") for line in data.decode().splitlines()),
    )
    serdes.register("lines", lines)
    serdes.register("lines", lines)
    assert serdes.named("lines").decode(b"item=tea") == {"item": "tea"}
    assert serdes.named("lines|gzip", dict[str, str]).encode({"a": "b"}) == serdes.GZIP.encode(b"a=b")

    class Tea(msgspec.Struct):
        item: str

    typed = serdes.named("lines", Tea)
    assert typed.decode(typed.encode(Tea("green"))) == Tea("green")
    with pytest.raises(msgspec.ValidationError, match="missing required field `item`"):
        typed.decode(b"other=1")
    with pytest.raises(ottla.DuplicateName, match="a codec named 'lines' already"):
        serdes.register("lines", serdes.RAW)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("yaml", "no codec is named 'yaml'; there is base64, boolean"),
        ("gzip|json", "'json' stands behind another codec but does not make bytes of bytes"),
        ("json|integer", "'integer' stands behind another codec but does not make bytes of bytes"),
    ],
)
def test_names_that_make_no_codec_are_refused(names: str, message: str) -> None:
    with pytest.raises(ottla.ConfigError, match=message.replace("|", r"\|")):
        serdes.named(names)


def test_pickle_is_there_only_for_who_calls_it_unsafe() -> None:
    value = {"when": uuid.UUID(int=7), "set": {1}}
    assert serdes.UNSAFE_PICKLE.decode(serdes.UNSAFE_PICKLE.encode(value)) == value
    assert serdes.named("unsafe-pickle|gzip").decode(serdes.named("unsafe-pickle|gzip").encode(value)) == value
    with pytest.raises(ottla.ConfigError, match="no codec is named 'pickle'"):
        serdes.named("pickle")

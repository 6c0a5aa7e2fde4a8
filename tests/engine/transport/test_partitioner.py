"""murmur2 as Kafka's Java clients compute it."""

import pytest

from ottla.transport.partitioner import murmur2, partition_for_key


@pytest.mark.parametrize(
    ("data", "java_hash"),
    [
        # The values of org.apache.kafka.common.utils.UtilsTest.testMurmur2, signed as Java's int.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hashes_are_those_of_the_java_client(data: bytes, java_hash: int) -> None:
    assert murmur2(data) == java_hash & 0xFFFFFFFF


@pytest.mark.parametrize("count", [1, 6, 50])
def test_a_key_keeps_its_partition_and_stays_in_range(count: int) -> None:
    partitions = {partition_for_key(b"key-%d" % number, count) for number in range(1_000)}
    assert partitions == set(range(count))

"""Which partition a group belongs to. The hashes were printed by a JVM, so that Apache Kafka finds the same."""

import pytest

from ottla_broker.coordinator.partitioner import java_hash, partition_for


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", 0),
        ("abc", 96354),
        ("hello", 99162322),
        ("group-1", 293427299),
        ("polygenelubricants", -2147483648),
        ("\U0001f600", 1772899),  # two UTF-16 units
    ],
)
def test_the_hash_is_javas(text, value):
    assert java_hash(text) == value


def test_the_hash_without_an_absolute_value_goes_to_partition_0():
    assert partition_for("polygenelubricants", 50) == 0


def test_a_negative_hash_counts_by_its_absolute_value():
    assert java_hash("consumer-group") == -1738392088
    assert partition_for("consumer-group", 50) == 1738392088 % 50

"""The options of an app, and what it refuses."""

from typing import Any

import pytest

import ottla


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"broker": "localhost:9092"}, "must be kafka://HOST:PORT or embedded://DIR"),
        ({"processing_guarantee": "twice"}, "it is one of 'exactly_once', 'at_least_once'"),
        ({"store": "disk"}, "it is one of 'rocksdb', 'memory'"),
        ({"commit_interval": 0}, "commit_interval must be at least a millisecond"),
        ({"commit_interval": -1}, "commit_interval must not be negative"),
        ({"on_error": "ignore"}, '"dead_letter", "skip" or "fail"'),
        ({"retries": -1}, "retries must not be negative"),
        ({"state_cache_bytes": -1}, "state_cache_bytes=-1 must be 0 or more"),
    ],
)
def test_an_option_out_of_range_is_refused_with_the_reason(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ottla.ConfigError, match=message):
        ottla.App("shop", **options)


def test_an_app_id_that_cannot_name_topics_is_refused() -> None:
    with pytest.raises(ottla.ConfigError, match="cannot be an app's id"):
        ottla.App("a/b")

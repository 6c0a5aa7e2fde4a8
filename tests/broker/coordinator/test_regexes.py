"""Regular expressions from clients: RE2's syntax, whole matches, and no way to keep the broker busy with them."""

import time

import pytest

from ottla_broker.coordinator.regexes import LONGEST, Regex, matching
from ottla_wire.errors import ErrorCode, KafkaError


def test_an_expression_stands_for_a_text_as_a_whole():
    assert matching("a.c|x", ["abc", "abcd", "xabc", "x", "a\u00e4c"]) == {"abc", "x", "a\u00e4c"}
    assert matching("", ["", "a"]) == {""}


@pytest.mark.parametrize(
    "text", ["(", "a**", r"(a)\1", "(?=a)", "(?<!a)b", "[z-a]", "(a{1000}){1000}", "a" * (LONGEST + 1)]
)
def test_what_is_wrong_or_too_large_is_refused_with_the_reason(text):
    with pytest.raises(KafkaError) as error:
        Regex(text)
    assert error.value.code is ErrorCode.INVALID_REGULAR_EXPRESSION
    assert error.value.message


@pytest.mark.parametrize("text", ["(a|a)*b", "(a*)*b", "(.*a){20}b", "(a?){200}a{200}b", "(.?){400}b"])
def test_an_expression_that_would_keep_a_backtracking_engine_busy_for_ever_is_matched_in_no_time(text):
    began = time.process_time()
    assert matching(text, ["a" * 249]) == frozenset()
    assert time.process_time() - began < 1

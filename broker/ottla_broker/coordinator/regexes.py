"""Regular expressions that clients send, without the means to keep a broker busy with them. Pure.

The syntax is RE2's, as in Apache Kafka: no backreferences and no look-around, and in return matching takes time in
proportion to the text. What is left to bound is the size of an expression, once compiled. Matching lets go of the
interpreter's lock, so that a thread that matches many texts does not hold up the event loop.
"""

from collections.abc import Iterable

import re2  # type: ignore[import-untyped]

from ottla_wire.errors import ErrorCode, KafkaError

LONGEST = 4_096
"""Characters that an expression may have."""

_OPTIONS = re2.Options()
_OPTIONS.never_capture = True
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 262_144


class Regex:
    """A compiled expression. Raises KafkaError INVALID_REGULAR_EXPRESSION for one that is wrong or too large."""

    __slots__ = ("_compiled",)

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise KafkaError(
                ErrorCode.INVALID_REGULAR_EXPRESSION,
                f"the regular expression has {len(text)} characters; {LONGEST} are allowed",
            )
        try:
            self._compiled = re2.compile(text, _OPTIONS)
        except re2.error as error:
            reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
            raise KafkaError(
                ErrorCode.INVALID_REGULAR_EXPRESSION, f"{text!r} is no regular expression of RE2: {reason}"
            ) from None

    def matches(self, text: str) -> bool:
        """Whether the expression stands for `text` as a whole."""
        return self._compiled.fullmatch(text) is not None


def matching(text: str, names: Iterable[str]) -> frozenset[str]:
    """Those of `names` that a valid expression stands for."""
    regex = Regex(text)
    return frozenset(name for name in names if regex.matches(name))

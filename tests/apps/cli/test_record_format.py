"""Records as text, both ways."""

import contextlib
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottla_apps.cli.errors import BadArgument
from ottla_apps.cli.record_format import Header, InputRecord, Parser, Renderer


@dataclass
class Shown:
    """A record as a consumer has it."""

    k: bytes | None = b"key"
    v: bytes | None = b"value"
    h: tuple[Header, ...] = (("a", b"1"), ("b", None))

    def topic(self) -> str:
        return "flights"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 41

    def key(self) -> bytes | None:
        return self.k

    def value(self) -> bytes | None:
        return self.v

    def timestamp(self) -> tuple[int, int]:
        return 1, 1357034400123

    def headers(self) -> tuple[Header, ...]:
        return self.h


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%v\\n", b"value\n"),
        ("%t-%p@%o", b"flights-3@41"),
        ("%K %k, %V %v", b"3 key, 5 value"),
        ("%T %T{iso}", b"1357034400123 2013-01-01T10:00:00.123Z"),
        ("%H: %h", b"2: a=1,b"),
        ("%h{[%k %v{hex}]\\n}", b"[a 31]\n[b ]\n"),
        ("%k{hex} %v{base64}", b"6b6579 dmFsdWU="),
        ("100%% \\x41\\t\\\\\\0", b"100% A\t\\\0"),
        ("ä%v", "ävalue".encode()),
        ("", b""),
    ],
)
def test_a_record_is_written(text: str, expected: bytes) -> None:
    assert Renderer(text)(Shown()) == expected


def test_nothing_is_written_for_null() -> None:
    assert Renderer("[%k|%v|%K|%V|%h]")(Shown(None, None, ())) == b"[||0|0|]"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("%q", "There is no %q"),
        ("%", "ends within a field"),
        ("%v\\q", "unknown escape"),
        ("\\x4", "unknown escape"),
        ("%v{gzip}", r"no layout \{gzip\}"),
        ("%t{hex}", r"%t has no layout"),
        ("%h{%k", "is not closed"),
        ("%h{%o}", "no %o"),
    ],
)
def test_a_format_that_cannot_be_written_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadArgument, match=reason):
        Renderer(text)


@pytest.mark.parametrize(
    ("text", "line", "record"),
    [
        ("%v", b"all of it", InputRecord(None, b"all of it")),
        ("%v\\n", b"", InputRecord(None, b"")),
        ("%k:%v", b"a:b:c", InputRecord(b"a", b"b:c")),
        ("%k, %v;", b"a, b, c;", InputRecord(b"a", b"b, c")),
        ("%p %T %k %h %v", b"2 17 k x=1,y v w", InputRecord(b"k", b"v w", (("x", b"1"), ("y", None)), 2, 17)),
        ("%k{hex}\\t%v{base64}", b"0001\tAAE=", InputRecord(b"\0\1", b"\0\1")),
        ("> %v", b"> x", InputRecord(None, b"x")),
        ("%k%%%v", b"1%2", InputRecord(b"1", b"2")),
    ],
)
def test_a_line_is_read(text: str, line: bytes, record: InputRecord) -> None:
    assert Parser(text)(line) == record


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("%k%v", "Nothing separates %k and %v"),
        ("%v %v", "twice"),
        ("%v{hex} %v", "twice"),
        ("%p", "neither %k nor %v"),
        ("", "neither %k nor %v"),
        ("%t %v", "%t cannot be read"),
        ("%T{iso} %v", "cannot be read"),
    ],
)
def test_a_format_that_cannot_be_read_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadArgument, match=reason):
        Parser(text)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("%k:%v", b"abc", "no ':' after %k"),
        ("> %v", b"abc", "does not begin with '> '"),
        ("%v;", b"abc", "no ';' after %v"),
        ("%p %v", b"x y", "%p cannot be read from b'x'"),
        ("%k{hex} %v", b"xyz v", "%k cannot be read"),
        ("%v{base64}", b"?", "%v cannot be read"),
        ("%h %v", b"=1 v", "%h cannot be read"),
        ("%p %v", "\u0663 v".encode(), "%p cannot be read"),
    ],
)
def test_a_line_that_does_not_fit_is_refused(text: str, line: bytes, reason: str) -> None:
    with pytest.raises(BadArgument, match=reason):
        Parser(text)(line)


@given(st.binary(), st.binary())
def test_what_is_written_in_hex_and_base64_reads_back(key: bytes, value: bytes) -> None:
    text = "%k{hex} %v{base64} %T"
    assert Parser(text)(Renderer(text)(Shown(key, value))) == InputRecord(key, value, (), None, 1357034400123)


@given(st.text(max_size=30), st.binary(max_size=30))
def test_no_format_and_no_line_is_worse_than_refused(text: str, line: bytes) -> None:
    for use in (lambda: Renderer(text)(Shown()), lambda: Parser(text)(line)):
        with contextlib.suppress(BadArgument):
            use()

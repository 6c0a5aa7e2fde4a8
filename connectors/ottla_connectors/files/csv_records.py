"""CSV records out of lines, with recovery: one bad record costs its first line and no more.

RFC 4180 with any one-character delimiter. A quoted field may span lines, so a stray quote would swallow the rows
behind it; when such a record turns out malformed, only its first line is given up and the others are read again.
"""

from __future__ import annotations

import csv
from typing import NamedTuple

from ottla_connectors.files.lines import Line, Lines


class Record(NamedTuple):
    """A record, or the `problem` that makes its one line none. `end` is the offset after its lines."""

    fields: list[str]
    problem: str | None
    line: int
    last_line: int
    data: bytes
    end: int


class CsvRecords:
    """The records of `lines`; `width` is the number of fields each must have, None while it is not known."""

    def __init__(self, lines: Lines, delimiter: str, max_bytes: int, width: int | None = None) -> None:
        self.width = width
        self._lines = lines
        self._delimiter = delimiter
        self._feed = _Feed(lines, max_bytes)
        # The module's parser takes lines one by one and never reads ahead, which is what keeps the offsets exact.
        self._parser = csv.reader(self._feed, delimiter=delimiter, strict=True)

    def read(self) -> Record | None:
        """The next record, None at the end. Blank lines are passed over."""
        while (line := self._lines.read()) is not None:
            if line.cut:
                return _problem(line, f"the line is longer than {len(line.data)} bytes")
            if not line.data.strip(b"\r\n"):
                continue
            if b'"' in line.data:
                return self._read_quoted(line)
            try:
                fields = line.data.decode().rstrip("\r\n").split(self._delimiter)
            except UnicodeDecodeError as error:
                return _problem(line, f"not UTF-8: {error.reason} at byte {error.start + 1} of the line")
            if problem := self._wrong_width(fields):
                return _problem(line, problem)
            return Record(fields, None, line.number, line.number, line.data, line.end)
        return None

    def _read_quoted(self, first: Line) -> Record:
        self._lines.push_back([first])
        taken = self._feed.taken = []
        self._feed.size = 0
        problem: str | None
        try:
            fields = next(self._parser)
            problem = self._wrong_width(fields)
        except UnicodeDecodeError as error:
            problem = f"not UTF-8: {error.reason}"
        except (csv.Error, _TooLong) as error:
            problem = f"not CSV: {error}"
        if problem is not None:
            self._lines.push_back(taken[1:])
            return _problem(first, problem)
        data = b"".join(line.data for line in taken)
        return Record(fields, None, first.number, taken[-1].number, data, taken[-1].end)

    def _wrong_width(self, fields: list[str]) -> str | None:
        if self.width is None or len(fields) == self.width:
            return None
        return f"{len(fields)} fields where the header names {self.width}"


class _TooLong(Exception):  # noqa: N818
    pass


class _Feed:
    """Hands lines to the CSV parser and remembers which it took for the record at hand."""

    def __init__(self, lines: Lines, max_bytes: int) -> None:
        self.taken: list[Line] = []
        self.size = 0
        self._lines = lines
        self._max_bytes = max_bytes

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._lines.read()
        if line is None:
            raise StopIteration
        self.taken.append(line)
        self.size += len(line.data)
        if line.cut or self.size > self._max_bytes:
            raise _TooLong(f"a quoted field goes on for more than {self._max_bytes} bytes")
        return line.data.decode()


def _problem(line: Line, problem: str) -> Record:
    return Record([], problem, line.number, line.number, line.data, line.end)

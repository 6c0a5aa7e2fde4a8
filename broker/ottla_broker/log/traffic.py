"""What goes in and out of a partition, counted. Pure."""


class Traffic:
    """Counts since a log was opened, or of logs that are gone; whoever serves a request adds to them.

    Bytes are those of record batches as they are stored. `produces` and `fetches` count partitions of requests, failed
    ones not among them.
    """

    __slots__ = ("bytes_in", "bytes_out", "failed_fetches", "failed_produces", "fetches", "produces", "records_in")

    def __init__(self) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self.records_in = 0
        self.produces = 0
        self.fetches = 0
        self.failed_produces = 0
        self.failed_fetches = 0

    def add(self, other: "Traffic") -> None:
        """Take in the counts of another."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

"""What can go wrong in the broker outside of its logs and coordinators, which have error trees of their own.

    BrokerError
    ├── InvalidSetting      the operator's: a setting that does not exist, or a value that it does not take
    ├── CannotStart         the operator's: why no broker runs
    ├── UnknownRecord       the metadata log holds what this version of Ottla does not know
    └── ClosesConnection    the client's: a request that is answered by closing its connection

The messages of the first three are one sentence each for whoever starts the broker. What goes back to a client in a
response is a `KafkaError` of `ottla_wire.errors`.
"""

# ruff: noqa: N818  the names say what happened, as Kafka's error codes do


class BrokerError(Exception):
    """Base of the broker's own errors."""


class InvalidSetting(BrokerError):
    """A setting that does not exist, or a value that it does not take; the message names both."""


class CannotStart(BrokerError):
    """Why no broker runs."""


class UnknownRecord(BrokerError):
    """The metadata log holds a record of a type or version that this version of Ottla does not know."""


class ClosesConnection(BrokerError):
    """A request that is answered by closing its connection; the message says why, for the log."""

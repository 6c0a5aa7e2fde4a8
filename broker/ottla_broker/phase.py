"""What a broker is doing, by Kafka's numbers (`BrokerState`)."""

from enum import Enum


class Phase(Enum):
    """STARTING -> RUNNING -> STOPPING."""

    STARTING = 1  # what was there is being recovered; nobody is served
    RUNNING = 3
    STOPPING = 7  # connections are closed and logs flushed

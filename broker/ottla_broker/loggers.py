"""The broker's own log, as settings: which of its loggers tells how much (Kafka's BROKER_LOGGER resources, KIP-412).

Levels go by Kafka's names. They hold until the broker ends, as they do in Kafka.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence

from ottla_broker.cluster.configs import Alteration, Operation
from ottla_wire.errors import ErrorCode, KafkaError

RESOURCE_TYPE = 8  # `ConfigResource.Type.BROKER_LOGGER`
ROOT = "root"
OURS = "ottla_broker"
_LEVELS = {
    "FATAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARN": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
    "TRACE": 5,
}


def check_resource(name: str, node_id: int) -> None:
    """Raises KafkaError unless a resource is the loggers of this node."""
    if name != str(node_id):
        raise KafkaError(
            ErrorCode.INVALID_REQUEST, f"Unexpected broker id, expected {node_id} but received {name or 'none'}"
        )


def levels() -> Mapping[str, str]:
    """What each logger of the broker tells, sorted by name; `root` stands for everything."""
    return {name: _level(logger) for name, logger in sorted(_loggers())}


def alter(alterations: Sequence[Alteration], *, validate_only: bool) -> None:
    """Set levels, or let loggers tell what those above them do. Raises KafkaError, and then nothing has changed."""
    known = dict(_loggers())
    for name, operation, value in ((change.name, change.operation, change.value) for change in alterations):
        if operation not in (Operation.SET, Operation.DELETE):
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"{operation.name} makes no sense for the level of a logger")
        if name not in known:
            raise KafkaError(ErrorCode.INVALID_CONFIG, f"Logger {name} does not exist!")
        if operation is Operation.DELETE and name == ROOT:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"The level of the {ROOT} logger can be set, but not deleted")
        if operation is Operation.SET and value is None:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"Null value not supported for the level of {name}")
        if operation is Operation.SET and value not in _LEVELS:
            raise KafkaError(
                ErrorCode.INVALID_CONFIG,
                f"Cannot set the log level of {name} to {value}: it must be one of {', '.join(_LEVELS)}",
            )
    if validate_only:
        return
    for change in alterations:
        known[change.name].setLevel(logging.NOTSET if change.value is None else _LEVELS[change.value])


def _loggers() -> Iterator[tuple[str, logging.Logger]]:
    """The root, and all below ours; a package stands for the modules in it, whether it tells anything itself or not."""
    yield ROOT, logging.getLogger()
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == OURS:
            yield name, logging.getLogger(name)


def _level(logger: logging.Logger) -> str:
    """The level in force, by the name of the least that is told."""
    in_force = logger.getEffectiveLevel()
    return next((name for name, level in reversed(_LEVELS.items()) if level >= in_force), "FATAL")

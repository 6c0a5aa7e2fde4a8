"""What the broker's loggers tell, as settings (KIP-412)."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from ottla_wire.errors import ErrorCode
from ottla_wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from ottla_wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)

BROKER_LOGGER = 8
SET, DELETE, APPEND = 0, 1, 2
SERVER = "ottla_broker.server"


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    loggers = [logging.getLogger(), logging.getLogger(SERVER)]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


async def levels(client: Any, name: str = "1") -> Any:
    resource = DescribeConfigsResource(resource_type=BROKER_LOGGER, resource_name=name, configuration_keys=None)
    (result,) = (await client.ask(DescribeConfigsRequest(resources=[resource]), 4)).results
    return result


async def alter(
    client: Any, *changes: tuple[str, int, str | None], name: str = "1", validate_only: bool = False
) -> int:
    configs = [AlterableConfig(name=key, config_operation=op, value=value) for key, op, value in changes]
    resource = AlterConfigsResource(resource_type=BROKER_LOGGER, resource_name=name, configs=configs)
    request = IncrementalAlterConfigsRequest(resources=[resource], validate_only=validate_only)
    code: int = (await client.ask(request, 1)).responses[0].error_code
    return code


def test_loggers_have_levels_that_change_at_once_and_go_back(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        def found(result: Any) -> dict[str, tuple[str, int]]:
            return {config.name: (config.value, config.config_source) for config in result.configs}

        logging.getLogger().setLevel(logging.WARNING)
        assert found(await levels(client))[SERVER] == ("WARN", 6)
        assert await alter(client, (SERVER, SET, "DEBUG"), validate_only=True) == 0
        assert found(await levels(client))[SERVER] == ("WARN", 6)
        assert await alter(client, (SERVER, SET, "DEBUG")) == 0
        assert found(await levels(client))[SERVER] == ("DEBUG", 6)
        assert logging.getLogger(SERVER).isEnabledFor(logging.DEBUG)
        assert await alter(client, (SERVER, DELETE, None), ("root", SET, "ERROR")) == 0
        assert found(await levels(client))[SERVER] == ("ERROR", 6)
        assert found(await levels(client))["root"] == ("ERROR", 6)

    with_client(scenario)


def test_a_package_stands_for_its_modules(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        assert await alter(client, ("ottla_broker.coordinator", SET, "TRACE")) == 0
        assert logging.getLogger("ottla_broker.coordinator.classic_protocol").isEnabledFor(5)
        assert await alter(client, ("ottla_broker.coordinator", DELETE, None)) == 0
        assert not logging.getLogger("ottla_broker.coordinator.classic_protocol").isEnabledFor(5)

    with_client(scenario)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ((SERVER, SET, "LOUD"), ErrorCode.INVALID_CONFIG),
        (("ottla_broker.nowhere", SET, "INFO"), ErrorCode.INVALID_CONFIG),
        (("hypothesis", SET, "INFO"), ErrorCode.INVALID_CONFIG),
        (("root", DELETE, None), ErrorCode.INVALID_REQUEST),
        (("root", SET, None), ErrorCode.INVALID_REQUEST),
        ((SERVER, APPEND, "INFO"), ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_cannot_be_changes_nothing(with_client: Any, change: Any, code: ErrorCode) -> None:
    async def scenario(client: Any) -> None:
        level = logging.getLogger(SERVER).level
        assert await alter(client, (SERVER, SET, "TRACE"), change) == code
        assert logging.getLogger(SERVER).level == level

    with_client(scenario)


@pytest.mark.parametrize("name", ["2", ""])
def test_a_broker_has_its_own_loggers_only(with_client: Any, name: str) -> None:
    async def scenario(client: Any) -> None:
        assert (await levels(client, name)).error_code == ErrorCode.INVALID_REQUEST
        assert await alter(client, (SERVER, SET, "INFO"), name=name) == ErrorCode.INVALID_REQUEST

    with_client(scenario)

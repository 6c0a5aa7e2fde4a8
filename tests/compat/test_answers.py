"""Both brokers are asked the same, API by API and version by version; where they differ, docs/compatibility.md says so.

A difference that the document does not list fails, and so does one that it lists and that is gone. After a change,
`pytest tests/compat/test_answers.py --write-compatibility` writes the facts anew; what is left to say is why.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ottla_broker import inapplicable
from ottla_broker.config import known_names
from ottla_wire.api_keys import ApiKey
from ottla_wire.message import Message
from ottla_wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource

from . import document
from .answers import Difference, differences, spans
from .brokers import INTERNAL_OF_KAFKA, Broker
from .document import DIFFERENCES, FEATURES, VERSIONS
from .questions.asking import Ask, Question
from .questions.catalogue import QUESTIONS
from .wire import Advertised, Connection, advertised

BROKER = 4
MANY = 20  # several for each of their partitions

Seen = dict[str, dict[Difference, str]]


@pytest.fixture(scope="session")
def both(running: Callable[[str], Broker]) -> tuple[Broker, Broker]:
    brokers = running("ottla"), running("kafka")
    for broker in brokers:
        load_coordinators(broker)
    return brokers


def load_coordinators(broker: Broker) -> None:
    """Ask for so many that all are loaded in the end: some questions are about names that cannot be waited for."""
    with Connection(broker.address) as connection:
        ask = Ask(connection, "", 0)
        for number in range(MANY):
            for kind in (0, 1):
                ask.coordinator(str(number), kind)


@pytest.fixture(scope="session")
def versions(both: tuple[Broker, Broker]) -> tuple[Advertised, Advertised]:
    return advertised(both[0].address), advertised(both[1].address)


@pytest.fixture(scope="session")
def writes(request: pytest.FixtureRequest) -> bool:
    """Whether the document is to be written, not held against what is seen."""
    return bool(request.config.getoption("--write-compatibility"))


@pytest.fixture(scope="session")
def seen(writes: bool) -> Iterator[Seen]:
    """What differed, by question."""
    found: Seen = {}
    yield found
    if writes and found.keys() == QUESTIONS.keys():
        document.write(DIFFERENCES, document.differences(found))


def answers(broker: Broker, asked: Question, version: int) -> list[Any]:
    """All that a broker answers."""
    with Connection(broker.address) as connection:
        ask = Ask(connection, asked.name, version)
        asked.put(ask)
    return ask.answers


@pytest.mark.parametrize("asked", QUESTIONS.values(), ids=QUESTIONS)
def test_both_brokers_answer_alike_but_for_what_the_document_says(
    asked: Question,
    both: tuple[Broker, Broker],
    versions: tuple[Advertised, Advertised],
    seen: Seen,
    writes: bool,
) -> None:
    ottla, kafka = both
    lowest = max(advertised.versions[asked.api_key][0] for advertised in versions)
    highest = min(advertised.versions[asked.api_key][1] for advertised in versions)
    found: dict[Difference, list[int]] = defaultdict(list)
    with ThreadPoolExecutor(2) as pool:
        for version in range(lowest, highest + 1):
            if version in asked.versions:
                given = pool.map(lambda broker, version=version: answers(broker, asked, version), (kafka, ottla))
                for difference in differences(*given):
                    found[difference].append(version)
    seen[asked.name] = {difference: spans(versions) for difference, versions in found.items()}
    if not writes:
        assert seen[asked.name] == document.known_differences(asked.name)


def test_every_version_that_is_served_has_a_question(versions: tuple[Advertised, Advertised]) -> None:
    asked = defaultdict(set)
    for question in QUESTIONS.values():
        asked[question.api_key] |= set(range(question.versions.lowest, question.versions.highest + 1))
    for key, (lowest, highest) in versions[0].versions.items():
        served = set(range(max(lowest, Message.request(key).versions.lowest), highest + 1))
        assert served <= asked[key], f"{ApiKey(key).name} {spans(served - asked[key])}"


def test_the_document_has_the_versions_that_are_advertised(
    versions: tuple[Advertised, Advertised], writes: bool
) -> None:
    rows = document.apis(*(advertised.versions for advertised in versions))
    if writes:
        document.write(VERSIONS, rows)
    assert document.table(VERSIONS).rows == rows


def test_what_is_served_is_served_in_all_of_kafkas_versions(versions: tuple[Advertised, Advertised]) -> None:
    ottla, kafka = versions
    assert {key: kafka.versions[key] for key in ottla.versions} == ottla.versions


def test_the_document_has_the_features(versions: tuple[Advertised, Advertised], writes: bool) -> None:
    rows = document.features(*(advertised.features for advertised in versions))
    if writes:
        document.write(FEATURES, rows)
    assert document.table(FEATURES).rows == rows


def settings(broker: Broker) -> set[str]:
    """The settings that a broker says it has."""
    asked = DescribeConfigsResource(resource_type=BROKER, resource_name="1", configuration_keys=None)
    with Connection(broker.address) as connection:
        response = connection.ask(DescribeConfigsRequest(resources=[asked]), 4)
    return {setting.name for setting in response.results[0].configs}


def test_settings_that_only_kafka_has_are_refused_with_a_reason(both: tuple[Broker, Broker]) -> None:
    ottla, kafka = (settings(broker) for broker in both)
    taken = set(known_names())  # some are shown under another name
    undocumented = set(INTERNAL_OF_KAFKA)
    assert not {name for name in kafka - ottla - taken - undocumented if inapplicable.reason(name) is None}

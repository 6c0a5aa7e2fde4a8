"""What docs/compatibility.md says for itself; test_answers.py holds its facts against the brokers."""

import re

import pytest

from . import document, versions
from .document import CLIENTS, DIFFERENCES, FEATURES, VERSIONS
from .programs import FAMILIES
from .questions.catalogue import QUESTIONS


def test_the_clients_are_those_that_the_tests_run_with(request: pytest.FixtureRequest) -> None:
    found = versions.clients()
    lacks = {(family.name, *found[family.name]): ", ".join(sorted(family.lacks)) for family in FAMILIES}
    if request.config.getoption("--write-compatibility"):
        document.write(CLIENTS, lacks, lacks)
    assert document.table(CLIENTS).reasons == lacks


def test_the_version_of_apache_kafka_is_the_one_that_the_tests_run() -> None:
    version = versions.apache_kafka()
    text = document.PATH.read_text()
    assert f"Ottla and Apache Kafka {version} (one KRaft node) side by side" in text
    assert set(re.findall(r"\| Apache Kafka (4\S+) \|", text)) == {versions.short(version)}


@pytest.mark.parametrize("heading", [VERSIONS, FEATURES, DIFFERENCES])
def test_every_difference_has_a_reason(heading: str) -> None:
    for row, reason in document.table(heading).reasons.items():
        alike = heading in (VERSIONS, FEATURES) and row[-1] == row[-2]
        assert reason or alike, row


def test_differences_are_in_the_answers_to_questions_that_are_asked() -> None:
    assert document.questions() <= QUESTIONS.keys()

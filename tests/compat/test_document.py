"""What docs/compatibility.md says for itself; test_answers.py holds its facts against the brokers."""

import pytest

from . import document
from .document import CLIENTS, DIFFERENCES, FEATURES, VERSIONS
from .programs import FAMILIES
from .questions.catalogue import QUESTIONS


def test_the_clients_are_those_that_the_tests_run_with() -> None:
    lacks = {family.name: ", ".join(sorted(family.lacks)) for family in FAMILIES}
    assert {row[0]: left_out for row, left_out in document.table(CLIENTS).reasons.items()} == lacks


@pytest.mark.parametrize("heading", [VERSIONS, FEATURES, DIFFERENCES])
def test_every_difference_has_a_reason(heading: str) -> None:
    for row, reason in document.table(heading).reasons.items():
        alike = heading in (VERSIONS, FEATURES) and row[-1] == row[-2]
        assert reason or alike, row


def test_differences_are_in_the_answers_to_questions_that_are_asked() -> None:
    assert document.questions() <= QUESTIONS.keys()

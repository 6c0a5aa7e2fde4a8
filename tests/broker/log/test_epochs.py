"""Leader epochs: where each begins, and where two histories part."""

import pytest

from ottla_broker.log.epochs import LeaderEpochs


@pytest.fixture
def epochs() -> LeaderEpochs:
    epochs = LeaderEpochs()
    for epoch, start_offset in ((0, 0), (2, 10), (5, 30)):
        epochs.assign(epoch, start_offset)
    return epochs


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (0, (0, 10)),
        (1, (0, 10)),
        (2, (2, 30)),
        (4, (2, 30)),
        (5, (5, 42)),
        (6, (-1, -1)),
        (-1, (-1, -1)),
        (-5, (-1, -1)),
    ],
)
def test_27_end_offset_is_the_next_epochs_start_or_the_log_end(
    epochs: LeaderEpochs, asked: int, answer: tuple[int, int]
) -> None:
    assert epochs.end_offset(asked, 42) == answer


def test_before_the_first_record_there_is_no_epoch() -> None:
    for asked in (-2, -1, 0):
        assert LeaderEpochs().end_offset(asked, 0) == (-1, -1)


def test_an_epoch_older_than_all_ends_where_the_first_known_one_starts() -> None:
    epochs = LeaderEpochs()
    epochs.assign(3, 100)
    epochs.assign(4, 200)
    assert epochs.end_offset(1, 300) == (1, 100)


def test_the_epoch_of_an_offset(epochs: LeaderEpochs) -> None:
    assert [epochs.epoch_at(offset) for offset in (0, 9, 10, 29, 30, 99)] == [0, 0, 2, 2, 5, 5]
    epochs.truncate_start(12)
    assert epochs.epoch_at(3) == -1


def test_assigning_again_changes_nothing(epochs: LeaderEpochs) -> None:
    epochs.dirty = False
    epochs.assign(5, 35)
    assert not epochs.dirty


def test_an_assignment_removes_what_contradicts_it(epochs: LeaderEpochs) -> None:
    epochs.assign(3, 10)
    assert list(epochs) == [(0, 0), (3, 10)]


def test_truncation_from_both_ends(epochs: LeaderEpochs) -> None:
    epochs.truncate_end(30)
    assert list(epochs) == [(0, 0), (2, 10)]
    epochs.truncate_start(15)
    assert list(epochs) == [(2, 15)]
    epochs.truncate_start(15)
    assert list(epochs) == [(2, 15)]

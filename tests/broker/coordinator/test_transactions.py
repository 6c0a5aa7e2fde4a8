"""The life of a transactional id: producers, transactions, fencing, timeouts, and what a retry is answered."""

import pytest

from ottla_broker.coordinator.decision import Producer
from ottla_broker.coordinator.errors import IllegalTransition, OutOfProducerIds
from ottla_broker.coordinator.producer_ids import ProducerIds
from ottla_broker.coordinator.transaction import (
    MAX_EPOCH,
    TRANSACTIONS_V1,
    TRANSACTIONS_V2,
    TRANSITIONS,
    Transaction,
    TransactionState,
)
from ottla_broker.coordinator.transaction_core import EXPIRATION_CHECK_INTERVAL_MS, MARKER_RETRY_MS
from ottla_wire.errors import ErrorCode, KafkaError

EVERYTHING = 2**63 - 1
A, B = ("topic", 0), ("topic", 1)
DAY_MS = 86_400_000


class Client:
    """Speaks for the producers of transactional id "x"."""

    def __init__(self, driver):
        self.driver = driver
        self.ids = ProducerIds()
        self.ids.refill(range(100, 1_000))

    @property
    def transaction(self):
        return self.driver.core.transactions["x"]

    def init(self, expected=None, *, timeout_ms=60_000):
        return self.driver.submit(
            lambda core, call, now_ms: core.init_producer_id("x", timeout_ms, expected, self.ids, call, now_ms)
        )

    def add(self, producer, *partitions, version=TRANSACTIONS_V1):
        return self.driver.submit(
            lambda core, call, now_ms: core.add_partitions("x", producer, partitions, version, call, now_ms)
        )

    def end(self, producer, *, commit, version=TRANSACTIONS_V1):
        return self.driver.submit(
            lambda core, call, now_ms: core.end("x", producer, commit, version, self.ids, call, now_ms)
        )

    def send_markers(self):
        """All markers that are due reach their partitions."""
        for transaction, _ in self.driver.core.take_prepared(EVERYTHING):
            self.driver.carry_out(self.driver.core.complete(transaction, self.driver.now_ms))

    def set_epoch(self, epoch):
        """Let so many epochs have passed."""
        value = self.transaction.recorded()
        value.producer_epoch = epoch
        self.driver.core.transactions["x"] = Transaction.from_record("x", value)


@pytest.fixture
def client(transactions):
    return Client(transactions())


# -- the table


@pytest.mark.parametrize("source", TransactionState)
@pytest.mark.parametrize("target", TransactionState)
def test_a_transition_that_is_not_in_the_table_raises(source, target):
    transaction = Transaction(
        transactional_id="x", producer_id=1, producer_epoch=0, timeout_ms=1, updated_ms=1, state=source
    )
    if target in TRANSITIONS[source]:
        assert transaction._step(target, 2).state is target
    else:
        with pytest.raises(IllegalTransition, match=r"'x' cannot go from \w+ to \w+"):
            transaction._step(target, 2)


# -- producers


def test_each_initialization_fences_the_producer_before(client):
    first = client.init().answer
    second = client.init().answer
    assert (first, second) == (Producer(100, 0), Producer(100, 1))
    assert client.add(first, A).code is ErrorCode.PRODUCER_FENCED
    assert client.end(first, commit=True).code is ErrorCode.PRODUCER_FENCED
    assert client.add(second, A).code is ErrorCode.NONE


@pytest.mark.parametrize("timeout_ms", [0, -1, 900_001])
def test_a_transaction_timeout_out_of_bounds_is_refused(client, timeout_ms):
    assert client.init(timeout_ms=timeout_ms).code is ErrorCode.INVALID_TRANSACTION_TIMEOUT


def test_an_unknown_producer_is_refused(client):
    assert client.add(Producer(1, 0), A).code is ErrorCode.INVALID_PRODUCER_ID_MAPPING
    assert client.end(Producer(1, 0), commit=True).code is ErrorCode.INVALID_PRODUCER_ID_MAPPING
    client.init()
    assert client.add(Producer(1, 0), A).code is ErrorCode.INVALID_PRODUCER_ID_MAPPING


def test_an_initialization_aborts_the_open_transaction_first(client):
    producer = client.init().answer
    client.add(producer, A)
    assert client.init().code is ErrorCode.CONCURRENT_TRANSACTIONS
    assert client.transaction.state is TransactionState.PREPARE_ABORT
    assert client.end(producer, commit=True).code is ErrorCode.PRODUCER_FENCED
    assert client.init().code is ErrorCode.CONCURRENT_TRANSACTIONS
    client.send_markers()
    assert client.init().answer == Producer(producer.id, producer.epoch + 2)


def test_a_producer_that_goes_on_after_an_error_gets_the_next_epoch(client):
    producer = client.init().answer
    after = client.init(producer).answer
    assert after == Producer(producer.id, producer.epoch + 1)
    # Its answer was lost: the same question has the same answer.
    assert client.init(producer).answer == after


def test_who_was_fenced_cannot_go_on(client):
    producer = client.init().answer
    client.init()
    assert client.init(producer).code is ErrorCode.PRODUCER_FENCED
    assert client.init(Producer(1, 0)).code is ErrorCode.PRODUCER_FENCED


def test_who_was_fenced_does_not_abort_its_successors_transaction(client):
    producer = client.init().answer
    successor = client.init().answer
    client.add(successor, A)
    assert client.init(producer).code is ErrorCode.PRODUCER_FENCED
    assert client.transaction.state is TransactionState.ONGOING


def test_when_the_epochs_are_used_up_a_new_producer_id_follows(client):
    client.init()
    client.set_epoch(MAX_EPOCH - 2)
    last = client.init().answer
    assert last == Producer(100, MAX_EPOCH - 1)
    assert client.init(last).answer == Producer(101, 0)
    # Its answer was lost, and it still has the old id.
    assert client.init(last).answer == Producer(101, 0)


def test_the_last_epoch_is_kept_for_fencing(client):
    client.init()
    client.set_epoch(MAX_EPOCH - 2)
    producer = client.init().answer
    client.add(producer, A)
    assert client.init().code is ErrorCode.CONCURRENT_TRANSACTIONS
    assert client.transaction.producer_epoch == MAX_EPOCH
    client.send_markers()
    assert client.init().answer == Producer(101, 0)


# -- transactions


@pytest.mark.parametrize("commit", [True, False])
def test_a_transaction_ends_as_its_producer_says(client, commit):
    producer = client.init().answer
    client.add(producer, A)
    client.add(producer, B)
    assert client.end(producer, commit=commit).answer == producer
    assert client.transaction.commits is commit
    assert client.transaction.partitions == {A, B}
    assert client.add(producer, A).code is ErrorCode.CONCURRENT_TRANSACTIONS
    assert client.end(producer, commit=commit).code is ErrorCode.CONCURRENT_TRANSACTIONS
    assert client.end(producer, commit=not commit).code is ErrorCode.INVALID_TXN_STATE
    client.send_markers()
    assert client.transaction.partitions == frozenset()
    assert client.end(producer, commit=commit).answer == producer  # its first answer was lost
    assert client.end(producer, commit=not commit).code is ErrorCode.INVALID_TXN_STATE
    assert client.add(producer, A).code is ErrorCode.NONE


def test_a_transaction_that_never_began_cannot_be_ended(client):
    producer = client.init().answer
    assert client.end(producer, commit=True).code is ErrorCode.INVALID_TXN_STATE
    assert client.end(producer, commit=False).code is ErrorCode.INVALID_TXN_STATE


def test_adding_partitions_that_take_part_already_writes_nothing(client):
    producer = client.init().answer
    client.add(producer, A)
    written = len(client.driver.log)
    assert client.add(producer, A).code is ErrorCode.NONE
    assert len(client.driver.log) == written


def test_partitions_that_do_not_take_part_are_abortable(client):
    producer = client.init().answer
    client.add(producer, A)
    assert client.driver.core.verify_partitions("x", producer, [A, B]) == {
        A: ErrorCode.NONE,
        B: ErrorCode.TRANSACTION_ABORTABLE,
    }
    with pytest.raises(KafkaError) as error:
        client.driver.core.verify_partitions("x", Producer(producer.id, 9), [A])
    assert error.value.code is ErrorCode.PRODUCER_FENCED


def test_what_the_log_refuses_has_not_happened(client):
    producer = client.init().answer
    client.add(producer, A)
    client.driver.refusing = ErrorCode.NOT_COORDINATOR
    assert client.end(producer, commit=True).code is ErrorCode.NOT_COORDINATOR
    assert client.transaction.state is TransactionState.ONGOING
    assert client.driver.core.take_prepared(EVERYTHING) == []
    client.driver.refusing = None
    assert client.end(producer, commit=True).code is ErrorCode.NONE


# -- timeouts


def test_a_transaction_that_is_open_for_too_long_is_aborted_and_its_producer_fenced(client):
    producer = client.init(timeout_ms=30_000).answer
    client.driver.advance(20_000)
    client.add(producer, A)
    client.driver.advance(20_000)
    client.add(producer, B)  # which does not prolong it
    client.driver.advance(9_999)
    assert client.transaction.state is TransactionState.ONGOING
    client.driver.advance(1)
    assert client.transaction.state is TransactionState.PREPARE_ABORT
    assert client.end(producer, commit=True).code is ErrorCode.PRODUCER_FENCED
    assert client.driver.core.take_prepared(EVERYTHING)[0][1] == {A, B}


def test_the_timeout_runs_on_through_a_restart(client):
    producer = client.init(timeout_ms=30_000).answer
    client.add(producer, A)
    client.driver.advance(29_000)
    client.driver.restart()
    client.driver.advance(1_000)
    assert client.transaction.state is TransactionState.PREPARE_ABORT


def test_a_timeout_that_the_log_refuses_is_tried_again(client):
    producer = client.init(timeout_ms=30_000).answer
    client.add(producer, A)
    client.driver.refusing = ErrorCode.NOT_COORDINATOR
    client.driver.advance(31_000)
    client.driver.refusing = None
    client.driver.advance(MARKER_RETRY_MS)
    assert client.transaction.state is TransactionState.PREPARE_ABORT


# -- markers


def test_markers_are_due_once_and_again_for_who_could_not_take_them(client):
    producer = client.init().answer
    client.add(producer, A, B)
    client.end(producer, commit=True)
    core = client.driver.core
    ((transaction, partitions),) = core.take_prepared(EVERYTHING)
    assert partitions == {A, B}
    assert core.take_prepared(EVERYTHING) == []
    core.retry_markers(transaction, frozenset({B}), client.driver.now_ms)
    client.driver.advance(MARKER_RETRY_MS)
    assert core.take_prepared(EVERYTHING) == [(transaction, {B})]


def test_after_a_restart_the_markers_of_a_prepared_transaction_are_due_again(client):
    producer = client.init().answer
    client.add(producer, A)
    client.end(producer, commit=True)
    client.send_markers()
    client.add(producer, B)
    client.end(producer, commit=False)
    client.driver.restart()
    ((transaction, partitions),) = client.driver.core.take_prepared(EVERYTHING)
    assert (transaction.commits, partitions) == (False, {B})


def test_a_completion_that_comes_too_late_changes_nothing(client):
    producer = client.init().answer
    client.add(producer, A)
    client.end(producer, commit=True)
    ((transaction, _),) = client.driver.core.take_prepared(EVERYTHING)
    client.driver.carry_out(client.driver.core.complete(transaction, client.driver.now_ms))
    written = len(client.driver.log)
    client.driver.carry_out(client.driver.core.complete(transaction, client.driver.now_ms))
    assert len(client.driver.log) == written


# -- version 2: an epoch per transaction


def test_in_version_2_every_transaction_has_the_next_epoch(client):
    producer = client.init().answer
    client.add(producer, A, version=TRANSACTIONS_V2)
    following = client.end(producer, commit=True, version=TRANSACTIONS_V2).answer
    assert following == Producer(producer.id, producer.epoch + 1)
    assert client.transaction.producer_epoch == following.epoch  # which the markers carry
    assert client.end(producer, commit=True, version=TRANSACTIONS_V2).code is ErrorCode.CONCURRENT_TRANSACTIONS
    client.send_markers()
    assert client.add(following, A, version=TRANSACTIONS_V2).code is ErrorCode.NONE


@pytest.mark.parametrize("commit", [True, False])
def test_in_version_2_a_retry_has_the_epoch_before_and_gets_the_same_answer(client, commit):
    producer = client.init().answer
    client.add(producer, A, version=TRANSACTIONS_V2)
    following = client.end(producer, commit=commit, version=TRANSACTIONS_V2).answer
    client.send_markers()
    assert client.end(producer, commit=commit, version=TRANSACTIONS_V2).answer == following
    assert client.end(producer, commit=not commit, version=TRANSACTIONS_V2).code is ErrorCode.INVALID_TXN_STATE
    client.driver.restart()
    assert client.end(producer, commit=commit, version=TRANSACTIONS_V2).answer == following


def test_in_version_2_an_abort_of_nothing_gives_the_next_epoch_and_a_commit_is_refused(client):
    producer = client.init().answer
    assert client.end(producer, commit=True, version=TRANSACTIONS_V2).code is ErrorCode.INVALID_TXN_STATE
    following = client.end(producer, commit=False, version=TRANSACTIONS_V2).answer
    client.send_markers()
    after = client.end(following, commit=False, version=TRANSACTIONS_V2).answer
    assert after == Producer(producer.id, producer.epoch + 2)


def test_in_version_2_a_new_producer_id_follows_when_the_epochs_are_used_up(client):
    client.init()
    client.set_epoch(MAX_EPOCH - 2)
    producer = client.init().answer
    client.add(producer, A, version=TRANSACTIONS_V2)
    following = client.end(producer, commit=True, version=TRANSACTIONS_V2).answer
    assert following == Producer(101, 0)
    assert client.transaction.producer == Producer(100, MAX_EPOCH)  # the markers still belong to the old one
    client.send_markers()
    assert client.transaction.producer == following
    assert client.end(producer, commit=True, version=TRANSACTIONS_V2).answer == following
    client.driver.restart()
    assert client.add(following, A, version=TRANSACTIONS_V2).code is ErrorCode.NONE


def test_in_version_2_a_producer_learns_that_its_transaction_timed_out_and_goes_on(client):
    producer = client.init(timeout_ms=30_000).answer
    client.add(producer, A, version=TRANSACTIONS_V2)
    client.driver.advance(30_000)
    client.send_markers()
    assert client.end(producer, commit=True, version=TRANSACTIONS_V2).code is ErrorCode.INVALID_TXN_STATE
    following = client.end(producer, commit=False, version=TRANSACTIONS_V2).answer
    assert client.add(following, A, version=TRANSACTIONS_V2).code is ErrorCode.NONE


# -- expiry and administration


def test_a_transactional_id_that_nobody_uses_expires(transactions):
    client = Client(transactions(transactional_id_expiration_ms=DAY_MS))
    client.init()
    client.driver.advance(DAY_MS - EXPIRATION_CHECK_INTERVAL_MS)
    assert "x" in client.driver.core.transactions
    client.driver.advance(2 * EXPIRATION_CHECK_INTERVAL_MS)
    assert client.driver.core.transactions == client.driver.recovered().transactions == {}


def test_a_transactional_id_in_use_does_not_expire(transactions):
    client = Client(transactions(transactional_id_expiration_ms=60_000))
    producer = client.init().answer
    client.add(producer, A)
    client.end(producer, commit=True)
    client.driver.advance(DAY_MS)
    assert client.transaction.state is TransactionState.PREPARE_COMMIT


def test_transactions_are_listed_by_state_producer_and_duration(client):
    producer = client.init().answer
    client.add(producer, A)
    client.driver.advance(10_000)
    core, now_ms = client.driver.core, client.driver.now_ms

    def listed(states=(), producer_ids=(), min_duration_ms=-1):
        return [t.transactional_id for t in core.list_transactions(states, producer_ids, min_duration_ms, now_ms)]

    assert listed() == listed(["Ongoing"]) == listed(producer_ids=[100]) == listed(min_duration_ms=9_999) == ["x"]
    assert listed(["Empty"]) == listed(producer_ids=[1]) == listed(min_duration_ms=10_000) == []


def test_a_transactional_id_that_does_not_exist_is_not_described(client):
    with pytest.raises(KafkaError) as error:
        client.driver.core.describe("y")
    assert error.value.code is ErrorCode.TRANSACTIONAL_ID_NOT_FOUND


def test_states_are_called_as_kafka_calls_them():
    assert [state.title for state in TransactionState] == [
        "Empty",
        "Ongoing",
        "PrepareCommit",
        "PrepareAbort",
        "CompleteCommit",
        "CompleteAbort",
    ]


# -- producer ids


def test_producer_ids_are_handed_out_once_and_across_blocks():
    ids = ProducerIds()
    ids.refill(range(3))
    ids.refill(range(10, 12))
    assert [ids.take() for _ in range(5)] == [0, 1, 2, 10, 11]
    with pytest.raises(OutOfProducerIds):
        ids.take()

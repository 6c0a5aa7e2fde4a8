"""Error codes: complete, named and retriable as Kafka has them, each with a sentence."""

from kio.schema.errors import ErrorCode as KioErrorCode

from ottla_wire.errors import CorruptRecord, ErrorCode, KafkaError


def test_codes_names_and_retriability_are_kafkas() -> None:
    ours = {(code.value, code.name, code.retriable) for code in ErrorCode}
    assert ours == {(code.value, code.name.upper(), code.retriable) for code in KioErrorCode}


def test_each_code_has_a_sentence_of_its_own() -> None:
    messages = [code.message for code in ErrorCode]
    assert len(set(messages)) == len(messages)
    assert all(message[0].isupper() or message.startswith("acks") for message in messages)
    assert all(message.endswith(".") for message in messages)


def test_a_code_is_its_number() -> None:
    assert int(ErrorCode.NOT_COORDINATOR) == 16
    assert ErrorCode(16) is ErrorCode.NOT_COORDINATOR


def test_an_error_carries_code_and_message() -> None:
    plain = KafkaError(ErrorCode.NOT_COORDINATOR)
    assert plain.message == ErrorCode.NOT_COORDINATOR.message
    told = KafkaError(ErrorCode.INVALID_CONFIG, "no such setting: foo")
    assert (told.code, told.message, str(told)) == (
        ErrorCode.INVALID_CONFIG,
        "no such setting: foo",
        "INVALID_CONFIG: no such setting: foo",
    )
    assert CorruptRecord().code is ErrorCode.CORRUPT_MESSAGE

"""What the app of `readings.py` must have written in the end, computed from what was sent to it, without a broker."""

from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from .readings import CREWS, HALLS, WINDOW_MS, WITHIN_MS, Reading, crew_of, hall_of

SENSORS = [f"sensor-{index}" for index in range(40)]
STEP_MS = 10
BURST, PAUSE_MS = 1_000, 5_000
"""So many readings follow each other closely; then there are none for a while, in which sessions end."""
ALARM_EVERY = 25


class Sent(NamedTuple):
    """What is in the topics that the app reads: the numbers of readings and alarms, those of a sensor in order, and in
    which version each crew is in the end.
    """

    readings: list[int]
    alarms: list[int]
    crews: dict[str, int]


class Record(NamedTuple):
    key: str
    value: Any


def sensor_of(number: int) -> str:
    return SENSORS[number * 7 % len(SENSORS)]


def time_of(number: int) -> int:
    return 1_000 + number * STEP_MS + number // BURST * PAUSE_MS


def reading(number: int) -> Reading:
    return Reading(sensor_of(number), number)


def place_of(sensor: str) -> str:
    return f"place of {sensor}"


def limit_of(hall: str) -> str:
    return f"limit of {hall}"


def hall_names() -> list[str]:
    return [f"hall-{index}" for index in range(HALLS)]


def crew_names() -> list[str]:
    return [f"crew-{index}" for index in range(CREWS)]


# --- what is computed


def in_order(sent: Sent) -> dict[str, dict[str, list[Any]]]:
    """By topic and key, the results of steps that make one of each reading."""
    of_sensor = _numbers(sent, sensor_of)
    return {
        "counted": {
            sensor: [[number, seen] for seen, number in enumerate(numbers, 1)] for sensor, numbers in of_sensor.items()
        },
        "checked": {
            sensor: [[number, limit_of(hall_of(reading(number)))] for number in numbers]
            for sensor, numbers in of_sensor.items()
        },
        "placed": {sensor: [[number, place_of(sensor)] for number in numbers] for sensor, numbers in of_sensor.items()},
    }


def in_any_order(sent: Sent) -> dict[str, list[Record]]:
    """By topic, the results of windows and of the join of streams."""
    windows: dict[tuple[str, int], list[int]] = defaultdict(list)
    sessions: dict[tuple[str, int], list[int]] = defaultdict(list)
    of_sensor = _numbers(sent, sensor_of)
    for number in sent.readings:
        windows[sensor_of(number), time_of(number) // WINDOW_MS * WINDOW_MS].append(number)
        sessions[sensor_of(number), number // BURST].append(number)
    return {
        "summed": [
            Record(sensor, [start, len(numbers), sum(numbers), place_of(sensor)])
            for (sensor, start), numbers in windows.items()
        ],
        "sessions": [
            Record(sensor, [time_of(numbers[0]), len(numbers), sum(numbers), ""])
            for (sensor, _), numbers in sessions.items()
        ],
        "alarmed": [
            Record(sensor_of(alarm), [alarm, number])
            for alarm in sent.alarms
            for number in of_sensor[sensor_of(alarm)]
            if _are_near(number, alarm)
        ],
    }


def _are_near(number: int, other: int) -> bool:
    return abs(time_of(number) - time_of(other)) <= WITHIN_MS


def _numbers(sent: Sent, key: Callable[[int], str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for number in sent.readings:
        found[key(number)].append(number)
    return found


def _by_key(records: list[Record]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for key, value in records:
        found[key].append(value)
    return found


# --- exactly once: each result once


def check_exactly_once(found: dict[str, list[Record]], sent: Sent) -> None:
    for topic, computed in in_order(sent).items():
        assert _by_key(found[topic]) == computed, topic
    for topic, results in in_any_order(sent).items():
        assert sorted(found[topic]) == sorted(results), topic
    halls = _by_key(found["halls"])
    for hall, numbers in _numbers(sent, _hall).items():
        # Readings of several partitions meet in a hall, in an order that is left open.
        assert [count for count, _ in halls[hall]] == list(range(1, len(numbers) + 1)), hall
        assert halls[hall][-1][1] == sum(numbers), hall
    manned = _by_key(found["manned"])
    for sensor, numbers in _numbers(sent, sensor_of).items():
        # An answer that comes when the reading is no longer the latest makes no result, so some are left out.
        assert all(earlier < later for earlier, later in pairwise(_steps(manned[sensor]))), sensor
        assert all(name == crew_of(reading(number)) for number, name, _ in manned[sensor]), sensor
        assert manned[sensor][-1] == _last_manned(numbers[-1], sent), sensor


def _hall(number: int) -> str:
    return hall_of(reading(number))


def _steps(results: list[list[Any]]) -> list[tuple[int, int]]:
    return [(number, version) for number, _, version in results]


def _last_manned(number: int, sent: Sent) -> list[Any]:
    crew = crew_of(reading(number))
    return [number, crew, sent.crews[crew]]


# --- at least once: nothing is missing


def check_nothing_is_missing(found: dict[str, list[Record]], sent: Sent) -> None:
    """Events may have been counted again, so counts and sums are what was computed or more."""
    for topic in ("checked", "placed"):
        results = _by_key(found[topic])
        for sensor, computed in in_order(sent)[topic].items():
            assert not [each for each in computed if each not in results[sensor]], (topic, sensor)
    computed = in_any_order(sent)
    assert not _missing(computed["alarmed"], found["alarmed"])
    for topic in ("summed", "sessions"):
        most: dict[tuple[str, int], tuple[int, int]] = defaultdict(lambda: (0, 0))
        for key, (start, readings, total, _) in found[topic]:
            most[key, start] = max(most[key, start], (readings, total))
        less = [
            f"{key} at {start}: {most[key, start]}, not {(readings, total)}"
            for key, (start, readings, total, _) in computed[topic]
            if most[key, start] < (readings, total)
        ]
        assert not less, f"{topic}: {less}"
    counted, halls, manned = (_by_key(found[topic]) for topic in ("counted", "halls", "manned"))
    for sensor, numbers in _numbers(sent, sensor_of).items():
        assert {number for number, _ in counted[sensor]} == set(numbers), sensor
        assert max(seen for _, seen in counted[sensor]) >= len(numbers), sensor
        assert manned[sensor][-1] == _last_manned(numbers[-1], sent), sensor
    for hall, numbers in _numbers(sent, _hall).items():
        assert max(count for count, _ in halls[hall]) >= len(numbers), hall


def _missing(computed: list[Record], found: list[Record]) -> set[tuple[str, str]]:
    return {(key, str(value)) for key, value in computed} - {(key, str(value)) for key, value in found}

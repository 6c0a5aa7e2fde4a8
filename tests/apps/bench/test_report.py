"""A report is tab-separated text in a pipe and JSON on request."""

import json

import pytest

from ottla_apps.bench.report import Report, Row, show

REPORT = Report("engine", [Row("agent", "ottla", {"events_per_s": 512345.6, "cpu_s": 0.12345})], rounds=3)


def test_a_pipe_gets_tab_separated_text(capsys: pytest.CaptureFixture[str]) -> None:
    show(REPORT, as_json=False)

    assert capsys.readouterr().out.splitlines() == [
        "job\tcontender\tevents per s\tcpu s",
        "agent\tottla\t512,346\t0.123",
    ]


def test_json_carries_full_figures_and_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    show(REPORT, as_json=True)

    report = json.loads(capsys.readouterr().out)
    assert report["rows"] == [
        {"job": "agent", "contender": "ottla", "figures": {"events_per_s": 512345.6, "cpu_s": 0.12345}}
    ]
    assert report["rounds"] == 3
    assert report["machine"]["cpus"] > 0

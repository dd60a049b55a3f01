"""Every statement of how a pod lands on a node, as a row of the tables beside this file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from scheduling_table import table

from vllmlint.kube.scheduling.attempt import Attempt
from vllmlint.kube.scheduling.cluster import read_cluster
from vllmlint.kube.scheduling.read_pod import read_pod
from vllmlint.kube.scheduling.words import message

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "benchmarks" / "placement"))

from replay import differences, kind_of  # noqa: E402

CASES = table()
#: Verdicts of kube-scheduler's own plugins over the same rows; see benchmarks/placement/README.md.
RECORDED = [
    json.loads(line)
    for line in (ROOT / "fixtures/placement/kube-scheduler-1.37.2.jsonl").read_text("utf-8").splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_nodes_that_take_the_pod(case: dict[str, Any]) -> None:
    cluster = read_cluster(case["cluster"])
    verdicts = Attempt(read_pod(case["pod"], cluster.version), cluster).verdicts()
    assert [one.node for one in verdicts if one.answer == "yes"] == [
        node for node in case["cluster_nodes"] if node in case["fits"]
    ]
    assert all(one.answer in {"yes", "no"} for one in verdicts)
    for node, wanted in case["why"].items():
        said = [
            message(reason, cluster.version) for one in verdicts if one.node == node for reason in one.reasons
        ]
        for text in wanted if isinstance(wanted, list) else [wanted]:
            assert any(one.startswith(text) for one in said) or kind_of(text) == kind_of(said[0]), said


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["name"])
def test_the_scheduler_itself_says_so(case: dict[str, Any]) -> None:
    assert differences(case) == []


@pytest.mark.parametrize(("name", "count"), [("random", 80), ("random-devices-and-volumes", 77)])
def test_random_clusters(name: str, count: int) -> None:
    file = ROOT / "fixtures/placement" / f"{name}-kube-scheduler-1.37.2.jsonl"
    lines = file.read_text("utf-8").splitlines()
    assert len(lines) == count
    assert [found for line in lines for found in differences(json.loads(line))] == []


def test_every_section_of_the_spec_that_decides_has_a_case() -> None:
    cited = {one.strip() for case in CASES for one in case["section"].split(",")}
    assert cited >= {
        *("3.1", "3.2", "3.3", "3.4", "3.5", "4.1", "4.2", "5.1", "5.3", "5.4", "6.2", "6.3", "6.4"),
        *("7.2", "7.3", "7.4", "7.6", "8", "9"),
        *(f"11.{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15)),
    }


def test_the_recorded_rows_are_those_of_the_tables() -> None:
    rows = {case["name"]: case for case in CASES}
    for case in RECORDED:
        row = rows[case["name"]]
        assert (case["pod"], case["cluster"]) == (row["pod"], row["cluster"]), case["name"]
        assert sorted(case["schedulable_nodes"]) == sorted(row["fits"]), case["name"]

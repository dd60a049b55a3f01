"""`fit --compare-log`: prediction beside truth, rows to keep, and what it takes from the log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runs import call
from jsonschema import Draft202012Validator

from vllmlint.plans.startup_log_rows import ROW_KEYS
from vllmlint.resources import resource

LOGS = Path(__file__).resolve().parents[1] / "plans" / "data" / "logs"
STARTED = str(LOGS / "v1-0.31.0.log")
FAILED = str(LOGS / "v1-kv-too-small.log")
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
A100 = ("--gpu", "a100", "--model", LLAMA)


def test_a_start_that_was_predicted(tmp_path: Path) -> None:
    done = call(tmp_path, "fit", "--compare-log", STARTED, *A100, "--format", "json")
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    schema = json.loads(resource("schemas", "fit.schema.json").read_text("utf-8"))
    assert list(Draft202012Validator(schema).iter_errors(document)) == []
    (plan,) = document["plans"]
    # of the cards called A100 the one with the memory that the log prints; the release is the log's
    assert (plan["gpu"]["memory_gib"], plan["release"]) == (79.25, "0.31.0")
    rows = {row["quantity"]: row for row in plan["comparison"]["quantities"]}
    assert rows["weights"]["logged"] == 15.0
    assert abs(rows["weights"]["error_percent"]) < 0.5
    assert rows["KV cache"]["logged"] == 56.21
    assert rows["KV cache"]["inside"] is True
    assert rows["KV cache tokens"]["logged"] == 460_496
    assert abs(rows["KV cache tokens"]["error_percent"]) < 3
    assert rows["non-torch"]["logged"] == pytest.approx(0.26)
    assert rows["KV cache blocks"]["logged"] is None
    outcome = plan["comparison"]["outcome"]
    assert outcome == {"started": True, "failure": None, "line": None, "agrees": True}


def test_the_text(tmp_path: Path) -> None:
    out = call(tmp_path, "fit", "--compare-log", STARTED, *A100).out
    (line,) = [line for line in out.splitlines() if line.startswith("    weights ")]
    assert line.split()[1:3] == ["14.99", "15.00"]
    assert "KV cache blocks" not in out
    assert out.endswith("    it started\n    as predicted\n")


def test_a_start_that_failed(tmp_path: Path) -> None:
    text = Path(FAILED).read_text("utf-8")
    done = call(tmp_path, "fit", "--compare-log", "-", *A100, "--format", "json", stdin=text)
    (plan,) = json.loads(done.out)["plans"]
    outcome = plan["comparison"]["outcome"]
    assert (outcome["started"], outcome["failure"]) == (False, "kv-too-small")
    assert outcome["agrees"] == {"fits": False, "does-not-fit": True}.get(plan["verdict"])
    out = call(tmp_path, "fit", "--compare-log", "-", *A100, stdin=text).out
    assert "it failed: " in out


def test_what_is_given_wins_over_the_log(tmp_path: Path) -> None:
    arguments = ("fit", "--compare-log", STARTED, "--gpu", "a100", "--format", "json")
    (plan,) = json.loads(call(tmp_path, *arguments, "--", LLAMA, "--max-model-len", "4096").out)["plans"]
    assert (plan["settings"]["max_model_len"], plan["release"]) == (4096, "0.31.0")
    # concurrency at another length is not the same number
    rows = {row["quantity"]: row for row in plan["comparison"]["quantities"]}
    assert (rows["concurrency"]["logged"], rows["concurrency"]["predicted"]) == (3.51, None)
    more = ("--model", LLAMA, "--release", "0.28.0", "--set", "max-num-seqs=8", "--gpu-memory-gib", "79")
    (plan,) = json.loads(call(tmp_path, *arguments, *more).out)["plans"]
    assert (plan["settings"]["max_num_seqs"], plan["release"]) == (8, "0.28.0")
    assert plan["gpu"]["memory_gib"] == 79


def test_a_manifest_beside_a_log(tmp_path: Path) -> None:
    (tmp_path / "vllmlint.yaml").write_text("nodePools: {a: {gpu: nvidia-a100-80gb-sxm}}\n")
    (tmp_path / "pod.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: llama}\nspec:\n  containers:\n"
        f"    - {{name: vllm, image: 'vllm/vllm-openai:v0.31.0', args: [{LLAMA}]}}\n"
    )
    done = call(tmp_path, "fit", "pod.yaml", "--compare-log", STARTED, "--append", "rows.jsonl")
    assert (done.code, done.err) == (0, "")
    assert "Pod/llama" in done.out
    assert "as predicted" in done.out
    (row,) = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert json.loads(row)["gpu"] == "nvidia-a100-80gb-sxm"


def test_rows_are_appended(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "other"}')
    for _ in range(2):
        assert call(tmp_path, "fit", "--compare-log", STARTED, *A100, "--append", "rows.jsonl").code == 0
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["other", "v1-0.31.0-2", "v1-0.31.0-3"]
    assert tuple(lines[1]) == ROW_KEYS
    assert (lines[1]["kv_gib"], lines[1]["max_concurrency"]) == (56.21, 3.51)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--compare-log", "gone.log", *A100], "gone.log"),
        (["--compare-log", "empty.log", *A100], "no line of a vLLM start-up"),
        (["--compare-log", STARTED], "--gpu is missing"),
        (["--compare-log", STARTED, "--gpu", "all"], "--gpu is missing"),
        (["--compare-log", STARTED, "--gpu", "a100"], "org/dense-8b"),
        (["--append", "rows.jsonl", *A100], "--compare-log"),
        (["--compare-log", STARTED, *A100, "--append", "no/such/rows.jsonl"], "cannot write"),
    ],
)
def test_usage(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "empty.log").write_text("nothing of interest\n")
    done = call(tmp_path, "fit", *arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err

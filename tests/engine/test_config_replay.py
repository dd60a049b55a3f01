"""The replay of vLLM's own configuration outcomes: it agrees where they do, and only there."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPLAY = Path(__file__).resolve().parents[2] / "benchmarks" / "config" / "replay.py"
ROW: dict[str, Any] = {
    "release": "0.33.0",
    "model": "Qwen/Qwen3-8B",
    "flags": {"max_num_seqs": 64},
    "capability": "9.0",
    "memory_gib": 79.19,
    "device_name": "NVIDIA H100 80GB HBM3",
    "usage": "server",
    "outcome": "ok",
    "stage": None,
    "error": None,
    "built_layers": True,
    "resolved": {"max_num_seqs": 64, "max_num_batched_tokens": 8192, "block_size_after_load": 16},
}
REFUSED = {
    **ROW,
    "flags": {"tensor_parallel_size": 3},
    "outcome": "error",
    "stage": "config",
    "error": "ValueError: Total number of attention heads (32) must be divisible by …",
    "resolved": None,
    "built_layers": False,
}
PLAN = {
    **{key: ROW[key] for key in ("release", "model", "capability", "memory_gib", "outcome")},
    "tp": 1,
    "pp": 1,
    "dcp": 1,
    "gpu": "NVIDIA H100 80GB HBM3",
    "flags": {},
    "error": None,
    "max_model_len": 40960,
    "max_num_batched_tokens": 8192,
    "max_num_seqs": 1024,
    "prefix_caching": True,
}


@pytest.fixture(scope="module")
def replay() -> ModuleType:
    spec = importlib.util.spec_from_file_location("config_replay", REPLAY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def last_line(
    replay: ModuleType, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, *rows: dict[str, Any]
) -> str:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    monkeypatch.setattr(sys, "argv", ["replay.py", str(file)])
    assert replay.main() == 0
    lines: list[str] = capsys.readouterr().out.splitlines()
    return lines[-1]


def test_rows_that_agree(
    replay: ModuleType, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert last_line(replay, tmp_path, capsys, monkeypatch, ROW, REFUSED, PLAN) == "agree 3 of 3"


@pytest.mark.parametrize(
    "row",
    [
        {**ROW, "resolved": {"max_num_seqs": 65}},
        {**ROW, "resolved": {"block_size_after_load": 32}},
        {
            **ROW,
            "outcome": "error",
            "stage": "config",
            "error": "ValueError: something else",
            "resolved": None,
        },
        {**REFUSED, "error": "ValueError: max_num_batched_tokens (1) is smaller than max_model_len (2)."},
        {**REFUSED, "stage": "model"},
        {**PLAN, "prefix_caching": False},
    ],
)
def test_rows_that_do_not(
    row: dict[str, Any], replay: ModuleType, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert last_line(replay, tmp_path, capsys, monkeypatch, ROW, row) == "agree 1 of 2"

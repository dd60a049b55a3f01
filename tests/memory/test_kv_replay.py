"""The replay of vLLM's own KV cache plans: a row counts only where all that it states agrees."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPLAY = Path(__file__).resolve().parents[2] / "benchmarks" / "kv" / "replay.py"
BLOCK = 36 * 16 * 8 * 2 * 128 * 2
#: A server with Qwen3-8B and 1,000 blocks, worked out by hand from vllm-memory.md 3.1 to 3.4.
ROW: dict[str, Any] = {
    "release": "0.33.0",
    "model": "Qwen/Qwen3-8B",
    "family": "dense",
    "tp": 1,
    "pp": 1,
    "dcp": 1,
    "gpu": "NVIDIA H100 80GB HBM3",
    "capability": "9.0",
    "memory_gib": 79.19,
    "flags": {"max_model_len": 4096},
    "available_bytes": 1000 * BLOCK,
    "outcome": "ok",
    "error": None,
    "num_blocks": 1000,
    "block_size": 16,
    "groups": [{"kind": "FullAttention", "layers": 36, "block_size": 16, "page_bytes": 65536}],
    "bytes_per_block": BLOCK,
    "kv_tokens_logged": 16000,
    "max_concurrency": 3.90625,
    "needed_bytes": 256 * BLOCK,
    "estimated_max_len": None,
    "in_flight_tokens": 16384,
}
SHORT: dict[str, Any] = {
    **ROW,
    "available_bytes": 200 * BLOCK,
    "outcome": "error",
    "error": "ValueError: To serve at least one request with the model's max seq len (4096), (…",
    "estimated_max_len": 199 * 16,
}
REFUSED: dict[str, Any] = {
    **ROW,
    "tp": 3,
    "available_bytes": None,
    "outcome": "error",
    "stage": "config",
    "error": "ValueError: Total number of attention heads (32) must be divisible by …",
}


@pytest.fixture(scope="module")
def replay() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("kv_replay", REPLAY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(
    replay: ModuleType, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, *rows: dict[str, Any]
) -> tuple[int, str]:
    """Exit code and last line of a run over some rows."""
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    monkeypatch.setattr(sys, "argv", ["replay.py", "-v", str(tmp_path)])
    code = replay.main()
    return code, capsys.readouterr().out.splitlines()[-1]


def test_rows_that_agree(
    replay: ModuleType, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan, a refusal of the start check, a refusal of the configuration."""
    assert run(replay, tmp_path, capsys, monkeypatch, ROW, SHORT, REFUSED) == (0, "agree 3 of 3")


@pytest.mark.parametrize(
    "row",
    [
        *({**ROW, name: 7} for name in ("num_blocks", "block_size", "bytes_per_block", "kv_tokens_logged")),
        {**ROW, "max_concurrency": 3.906251},
        {**ROW, "needed_bytes": 256 * BLOCK + 1},
        {**ROW, "in_flight_tokens": 8192},
        {**ROW, "auto_max_model_len": 4000},
        {**ROW, "groups": [{**ROW["groups"][0], "layers": 35}]},
        {**ROW, "groups": [{**ROW["groups"][0], "count": 2}]},
        {**ROW, "outcome": "error", "error": SHORT["error"]},
        {**SHORT, "outcome": "ok", "error": None},
        {**SHORT, "estimated_max_len": 3183},
        {**SHORT, "needed_bytes": 7},
        {**SHORT, "error": "ValueError: No available memory for the cache blocks."},
        {**REFUSED, "stage": "model"},
    ],
)
def test_rows_that_do_not(
    row: dict[str, Any], replay: ModuleType, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One number is enough."""
    assert run(replay, tmp_path, capsys, monkeypatch, ROW, row) == (1, "agree 1 of 2")

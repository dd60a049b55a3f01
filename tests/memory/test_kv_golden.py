"""Plans of 40 GiB for one server of every family and of five releases, number by number.

`kv_golden.json` holds one case an entry: release, model, GPU, options of the configuration, and block size,
bytes a block, blocks, logged tokens, concurrency, needed bytes and groups (kind, layers, block size, page
bytes, window, how many in a row). The layouts were held against plans that vLLM's own code made.
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from kv_samples import GIB, GPUS, engine, model

from vllmlint.memory.kv_plan import KvPlan, plan_kv

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "kv_golden.json").read_text("utf-8"))


def case_id(case: dict[str, Any]) -> str:
    """Release, model and GPU."""
    return f"{case['release']} {case['model']} {case['gpu']}"


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_case(case: dict[str, Any]) -> None:
    """Every number of the case."""
    plan = plan_kv(
        engine(model(case["model"]), case["release"], gpu=GPUS[case["gpu"]], **case["options"]), 40 * GIB
    )
    assert isinstance(plan, KvPlan), plan
    shapes = [[one.kind, one.layers, one.block_size, one.page_bytes, one.window] for one in plan.groups]
    assert [[*shape, len(list(run))] for shape, run in groupby(shapes)] == case["groups"]
    assert plan.block_size == case["block_size"]
    assert plan.bytes_per_block == case["bytes_per_block"]
    assert plan.num_blocks == case["num_blocks"]
    assert plan.kv_tokens == case["kv_tokens"]
    assert round(plan.max_concurrency, 6) == case["max_concurrency"]
    assert plan.needed_bytes == case["needed_bytes"]

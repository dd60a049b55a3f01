"""Compare vllmlint's KV cache plans with what vLLM's own planning code returned.

    python benchmarks/kv/replay.py [-v] PATH...

PATH: JSONL files, or folders of them, with rows of the keys `release`, `model`, `tp`, `pp`, `dcp`, `gpu`,
`capability`, `memory_gib`, `flags`, `available_bytes`, `outcome`, `stage`, `num_blocks`, `block_size`,
`groups`, `bytes_per_block`, `kv_tokens_logged`, `max_concurrency`, `needed_bytes`, `estimated_max_len`,
`auto_max_model_len`, `in_flight_tokens`; an `extra_models.json` beside a file gives the config.json of models
that the catalogue lacks.

Everything is worked out from a row's inputs: the model (its text part, unquantised), the flags, the GPU
and the available bytes. A row counts as agreed only if all that it states agrees:

- the outcome, `ok` or `error`; and of an error, where it fell: `stage`, or the start check where the row
  has none;
- of an `ok` row: num_blocks, block_size, the groups (kind, layers, block_size, page_bytes, window and, of
  a uniform group, its pages; in order), bytes_per_block, kv_tokens_logged, max_concurrency (to the six
  decimals of the rows), needed_bytes and in_flight_tokens, each where stated, and auto_max_model_len
  (a row without it says that the length was not shortened);
- of an error of the start check: needed_bytes and estimated_max_len where stated, and which of the three
  refusals it is (no memory at all, one request too long, not one token).

The last line is `agree N of M`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vllmlint.engine.config import EngineRequest, Refusal
from vllmlint.engine.layers import layer_refusal
from vllmlint.engine.resolve import resolve
from vllmlint.memory.kv_plan import KvPlan, KvRefusal, plan_kv
from vllmlint.models.layers import UnknownLayers
from vllmlint.serving.release import Release

#: Which refusal of the start check a message is.
CHECKS = {
    "No available memory": "no-memory-for-kv-cache",
    "To serve at least one request": "kv-cache-cannot-hold-max-len",
    "Cannot auto-fit": "kv-cache-cannot-auto-fit",
}


def files(paths: list[str]) -> Iterator[Path]:
    """The row files among the paths, folders opened."""
    for text in paths:
        path = Path(text)
        if path.is_dir():
            yield from sorted(path.glob("*.jsonl"))
        else:
            yield path


def load_sibling() -> Any:
    """The replay of configurations, which reads a row's model and request."""
    path = Path(__file__).parent.parent / "config" / "replay.py"
    spec = importlib.util.spec_from_file_location("config_replay", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CONFIG_REPLAY = load_sibling()


def request_of(row: Mapping[str, Any], path: Path) -> EngineRequest:
    """What the row asks of vLLM: the model's text part, unquantised, its flags and its GPU."""
    architecture = CONFIG_REPLAY.architecture_of(row, CONFIG_REPLAY.extra_models(path))
    if architecture is None:
        raise ValueError(f"neither in the catalogue nor in extra_models.json: {row['model']}")
    request: EngineRequest = CONFIG_REPLAY.request_of(row, architecture)
    return request


def answer_to(row: Mapping[str, Any], path: Path) -> KvPlan | Refusal | UnknownLayers:
    """What vllmlint says: configuration, layers (without experts, as in the rows), then the cache."""
    config = resolve(request_of(row, path))
    if isinstance(config, Refusal):
        return config
    return layer_refusal(config, experts=False) or plan_kv(config, row["available_bytes"] or 0)


def theirs_groups(row: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The row's groups, one entry each."""
    result = []
    for group in row["groups"]:
        pages = tuple(sorted(group.get("pages", {}).items()))
        entry = (
            group["kind"],
            group["layers"],
            group["block_size"],
            group["page_bytes"],
            group.get("window"),
            pages,
        )
        result.extend([entry] * group.get("count", 1))
    return result


def ours_groups(plan: KvPlan) -> list[tuple[Any, ...]]:
    """Our groups in the same shape."""
    return [
        (
            group.kind,
            group.layers,
            group.block_size,
            group.page_bytes,
            group.window,
            tuple(sorted(group.pages)),
        )
        for group in plan.groups
    ]


def differences(row: Mapping[str, Any], path: Path) -> list[str]:
    """What differs, empty where all that the row states agrees."""
    answer = answer_to(row, path)
    if isinstance(answer, UnknownLayers):
        return [f"cannot tell: {answer.reason}"]
    if isinstance(answer, Refusal):
        return refusal_differences(row, answer)
    if row["outcome"] != "ok":
        return [f"outcome ok, theirs {row.get('stage') or 'kv'}: {row['error'][:120]}"]
    found = []
    pairs = {
        "num_blocks": answer.num_blocks,
        "block_size": answer.block_size,
        "bytes_per_block": answer.bytes_per_block,
        "kv_tokens_logged": answer.kv_tokens,
        "max_concurrency": round(answer.max_concurrency, 6),
        "needed_bytes": answer.needed_bytes,
        "auto_max_model_len": answer.auto_max_model_len,
        "in_flight_tokens": answer.in_flight_tokens,
    }
    for name, ours in pairs.items():
        theirs = row.get(name)
        stated = theirs is not None or name == "auto_max_model_len"
        if stated and ours != theirs:
            found.append(f"{name} {ours}, theirs {theirs}")
    if ours_groups(answer) != theirs_groups(row):
        found.append(f"groups {ours_groups(answer)}, theirs {theirs_groups(row)}")
    return found


def refusal_differences(row: Mapping[str, Any], refusal: Refusal) -> list[str]:
    """What differs between our refusal and the row."""
    stage = row.get("stage") or "kv"
    if row["outcome"] == "ok":
        return [f"outcome {refusal.stage}: {refusal.message[:120]}, theirs ok"]
    if refusal.stage != stage:
        return [f"stage {refusal.stage}: {refusal.message[:120]}, theirs {stage}: {row['error'][:120]}"]
    if stage != "kv":
        return []
    rule = next((name for text, name in CHECKS.items() if text in row["error"]), None)
    found = [] if rule == refusal.rule else [f"refusal {refusal.rule}, theirs {rule}"]
    if isinstance(refusal, KvRefusal):
        for name in ("needed_bytes", "estimated_max_len"):
            ours, theirs = getattr(refusal, name), row.get(name)
            if theirs is not None and refusal.rule != "no-memory-for-kv-cache" and ours != theirs:
                found.append(f"{name} {ours}, theirs {theirs}")
    return found


def main() -> int:
    """Print agreement by release and family; exit 1 where anything differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every difference")
    options = parser.parse_args()
    agreed: Counter[tuple[str, str]] = Counter()
    tried: Counter[tuple[str, str]] = Counter()
    started = time.perf_counter()
    for path in files(options.paths):
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            key = (row["release"], row["family"])
            tried[key] += 1
            found = differences(row, path)
            agreed[key] += not found
            if found and options.verbose:
                inputs = {
                    name: row[name] for name in ("release", "model", "tp", "pp", "dcp", "capability", "flags")
                }
                print(json.dumps({**inputs, "available_bytes": row["available_bytes"]}))
                for text in found:
                    print(f"    {text}")
    seconds = time.perf_counter() - started
    for release in sorted({release for release, _ in tried}, key=lambda text: Release.parse(text) or text):
        keys = [key for key in sorted(tried) if key[0] == release]
        total, right = sum(tried[key] for key in keys), sum(agreed[key] for key in keys)
        print(f"{release:8} {right:5} of {total:5}  {right / total:7.2%}")
        for key in keys:
            print(f"    {key[1]:14} {agreed[key]:5} of {tried[key]:5}")
    total, right = sum(tried.values()), sum(agreed.values())
    print(f"{seconds:.1f} s, {1000 * seconds / max(total, 1):.2f} ms a row")
    print(f"agree {right} of {total}")
    return 0 if right == total else 1


if __name__ == "__main__":
    sys.exit(main())

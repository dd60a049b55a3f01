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
  decimals of the rows), needed_bytes, auto_max_model_len and in_flight_tokens, each where stated;
- of an error of the start check: needed_bytes and estimated_max_len where stated, and which of the three
  refusals it is (no memory at all, one request too long, not one token).

The last line is `agree N of M`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from vllmlint.engine.config import EngineConfig, EngineRequest, Refusal
from vllmlint.hardware.gpu import Gpu
from vllmlint.memory.kv_plan import KvPlan, KvRefusal, plan_kv
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import find_architecture
from vllmlint.models.layers import UnknownLayers
from vllmlint.serving.release import Release

#: What a quantised checkpoint says of its weights and cache; the rows were planned without.
QUANTISATION = ("quantization_config", "hf_quant_config", "compression_config")
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


@cache
def extra_models(folder: Path) -> dict[str, Any]:
    """Models that the catalogue lacks, by id, as their config.json."""
    path = folder / "extra_models.json"
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return loaded


@cache
def text_part(model: str, folder: Path) -> ModelArchitecture:
    """The model's language part, unquantised."""
    extra = extra_models(folder).get(model)
    if extra is not None:
        return ModelArchitecture(model, extra)
    found = find_architecture(model)
    if found is None:
        raise ValueError(f"not in the catalogue: {model}")
    fields = {name: value for name, value in found.fields.items() if name not in QUANTISATION}
    name = found.class_name.replace("ForConditionalGeneration", "ForCausalLM")
    return ModelArchitecture(found.id, {**fields, "architectures": [name]}, source=found.source)


def request_of(row: Mapping[str, Any], folder: Path) -> EngineRequest:
    """What the row asks of vLLM."""
    release = Release.parse(row["release"])
    if release is None:
        raise ValueError(f"not a release: {row['release']}")
    major, minor = row["capability"].split(".")
    gpu = Gpu(row["gpu"], row["gpu"], "nvidia", row["memory_gib"], (int(major), int(minor)))
    settings = {**row["flags"], "tensor_parallel_size": row["tp"]}
    return EngineRequest(release, text_part(row["model"], folder), gpu, settings, {})


def configuration(row: Mapping[str, Any], folder: Path) -> EngineConfig | Refusal:
    """What vLLM resolves the row to."""
    request = request_of(row, folder)
    flags = row["flags"]
    speculative = flags.get("speculative_config") or {}
    auto = flags.get("max_model_len") == -1
    derived = request.architecture.integer("max_position_embeddings") or row["max_model_len"] or 2048
    runner = "v2" if request.release.at_least("0.29.0") else "v1"
    return EngineConfig(
        request,
        runner,
        "generate",
        "bfloat16",
        None,
        flags.get("kv_cache_dtype", "auto"),
        -1 if auto else (row["max_model_len"] or derived),
        derived,
        row["max_num_batched_tokens"] or 2048,
        row["max_num_seqs"] or 256,
        True,
        bool(row["prefix_caching"]),
        request.release.at_least("0.14.0") and flags.get("async_scheduling", True),
        0.9,
        row["tp"],
        row["pp"],
        1,
        row["dcp"],
        1,
        False,
        False,
        "",
        0,
        flags.get("block_size"),
        row.get("mamba_cache_mode") or "none",
        speculative.get("num_speculative_tokens", 0),
        {},
    )


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


def differences(row: Mapping[str, Any], folder: Path) -> list[str]:
    """What differs, empty where all that the row states agrees."""
    config = configuration(row, folder)
    answer = plan_kv(config, row["available_bytes"] or 0) if isinstance(config, EngineConfig) else config
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
        if theirs is not None and ours != theirs:
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
            found = differences(row, path.parent)
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

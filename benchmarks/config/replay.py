"""Compare what vllmlint says vLLM's configuration resolves or refuses with what vLLM's own code did.

    python benchmarks/config/replay.py [-v] PATH...

PATH: JSONL files, or folders of them. Two kinds of rows are read. Configuration rows (`model`, `config`,
`flags`, `capability`, `memory_gib`, `device_name`, `outcome`, `stage`, `error`, `resolved`, `built_layers`)
and cache plans (`tp`, `pp`, `dcp`, `flags`, `outcome`, `stage`, `max_model_len`, …), of which the
configuration part is compared.

A row agrees when outcome and stage do and

- for `error`, the rule that vllmlint names is the one that the message stands for (`RULES`);
- for `ok` (and for the configuration that a row refused at stage `model` had resolved), these agree:
  max_model_len, dtype, max_num_batched_tokens, max_num_seqs, chunked_prefill, prefix_caching, quantization,
  kv_cache_dtype, runner, gpu_memory_utilization, async_scheduling, mamba_cache_mode, model_runner_v2,
  max_cudagraph_capture_size, cudagraph_mode, hybrid_manager_off, architecture, block_size and
  block_size_after_load (where the attention part is there and the row built the layers).

Printed: agreement by family (`model_type`) and release, with -v every difference; the last line is
`agree N of M`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vllmlint.engine.config import EngineConfig, EngineRequest, Refusal
from vllmlint.engine.layers import layer_refusal
from vllmlint.engine.resolve import resolve
from vllmlint.engine.stages import stage_layers
from vllmlint.facts.architectures import architecture_row, registry_releases
from vllmlint.hardware.gpu import Gpu
from vllmlint.memory.kv_specs import CachePlan, plan_specs
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import find_architecture, unpacked
from vllmlint.models.layers import UnknownLayers, cache_layers
from vllmlint.serving.release import Release

#: What a message of vLLM stands for, or how the rule's name begins; the first match counts.
RULES: tuple[tuple[str, str], ...] = (
    (r"Total number of attention heads", "tp-does-not-divide-heads"),
    (r"greater than the derived max_model_len", "max-model-len-above-model"),
    (r"smaller than max_model_len", "batched-tokens-below-max-model-len"),
    (r"must be greater than or equal to max_num_seqs", "batched-tokens-below-max-num-seqs"),
    (r"Number of experts in the model must be greater", "expert-parallel-on-dense-model"),
    (r"enable_expert_parallel must be True", "eplb-without-expert-parallel"),
    (r"EPLB requires", "eplb-on-one-rank"),
    (r"must be divisible by ?dcp_size", "dcp-does-not-divide-tp"),
    (r"Decode context parallelism for GQA/MQA requires", "dcp-tp-not-above-kv-heads"),
    (r"must be greater than total num kv heads", "dcp-tp-not-above-kv-heads"),
    (r"exceeds the maximum supported value|must less than or equal to \(tensor", "dcp-above-kv-replicas"),
    (r"query heads per KV head|q per kv attn heads", "dcp-does-not-divide-query-groups"),
    (r"World size", "world-size-above-gpus"),
    (r"data_parallel_size_local", "data-parallel-size-local"),
    (r"Non-MoE models do not support external", "dp-external-lb-dense-model"),
    (r"Pipeline parallelism is not supported", "pipeline-parallel-unsupported"),
    (r"was supported in vLLM until", "architecture-removed"),
    (r"are not supported for now|failed to be inspected", "architecture-unsupported"),
    (r"does not support float16", "float16-unsupported-model"),
    (r"Quantization method specified in the model config", "quantization-mismatch"),
    (r"Unknown quantization method", "quantization-unknown"),
    (r"is deprecated and will be removed", "quantization-deprecated"),
    (r"Cannot find the config file for", "quantization-config-missing"),
    (r"The quantization method .* is not supported for the current GPU", "quantization-needs-newer-gpu"),
    (r"is not supported for quantization method", "quantization-dtype"),
    (r"CacheConfig gpu_memory_utilization", "gpu-memory-utilization-range"),
    (r"CacheConfig mamba_ssm_cache_dtype", "mamba-ssm-cache-dtype-unknown"),
    (r"CacheConfig (kv_)?cache_dtype", "kv-cache-dtype-unknown"),
    (r"Chunked prefill is required for", "mamba-prefix-caching-without-chunked-prefill"),
    (r"is incompatible with dtype", "kv-cache-dtype-not-model-dtype"),
    (r"nvfp4 KV cache is not supported with MLA", "nvfp4-kv-cache-with-mla"),
    (r"num_speculative_tokens must be provided", "num-speculative-tokens-missing"),
    (r"Unsupported speculative method", "speculative-method-unsupported"),
    (r"Concurrent Partial Prefill", "partial-prefills-unsupported"),
    (r"do not support `--runner", "runner-unsupported"),
    (r"[Aa]sync scheduling", "async-scheduling-unsupported"),
    (r"Mamba with speculative decoding is not supported", "state-with-speculation"),
    (r"num_kv_heads %|% self\.total_num_kv_heads|% self\.num_kv_heads", "tp-does-not-divide-kv-heads"),
    (r"not divisible by\s+(weight quantization block|group_size|min_thread)", "tp-does-not-divide-quantized"),
    (r"implement the WNA16 linear layer|in features size is not multiple", "tp-does-not-divide-quantized"),
    (r"\d+ is not divisible by \d+", "tp-does-not-divide"),
    (r"is greater than the number of experts", "tp-above-experts"),
    (r"scheme is not supported for the current GPU", "quantization-scheme-needs-newer-gpu"),
    (r"missing \d+ required positional argument", "quantization-config-missing"),
    (r"must be divisible by n_predict", "num-speculative-tokens-not-divisible"),
    (r"input size is not aligned with the quantized weight shape", "tp-does-not-divide-quantized-weight"),
    (r"No valid attention backend", "no-attention-backend"),
    (r"Selected backend .* is not valid", "attention-backend-invalid"),
    (r"FP8 KV cache is not supported by the Triton", "fp8-cache-unsupported"),
    (r"fp8_ds_mla layout only supports fp8", "v4-cache-dtype"),
    (r"KDA recurrent state supports only", "kda-state-dtype"),
    (
        r"No \w+ layer found in the model.layers|isinstance\(layer, \w*DecoderLayer",
        "pipeline-stage-without-layers",
    ),
)
#: What the configuration holds before the layers are known (`CacheConfig.DEFAULT_BLOCK_SIZE`).
DEFAULT_BLOCK_SIZE = 16
#: The pretended node of the rows (calibration/config/README.md).
GPUS_PER_NODE = 64
#: The class of the text part where it is not the whole's with another ending.
TEXT_CLASSES = {"mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM"}


def files(paths: list[str]) -> Iterator[Path]:
    """The row files among the paths, folders opened."""
    for text in paths:
        path = Path(text)
        yield from sorted(path.glob("*.jsonl")) if path.is_dir() else (path,)


def rule_of(message: str) -> str:
    """The rule that a message stands for; the message itself where none is known."""
    return next((rule for pattern, rule in RULES if re.search(pattern, message)), message)


def extra_models(path: Path) -> Mapping[str, Any]:
    """Models that rows name and the catalogue has not, from the file beside the rows."""
    beside = path.parent / "extra_models.json"
    loaded: Mapping[str, Any] = json.loads(beside.read_text("utf-8")) if beside.is_file() else {}
    return loaded


def architecture_of(row: Mapping[str, Any], extra: Mapping[str, Any]) -> ModelArchitecture | None:
    """The row's config.json: the catalogue's fields, the text part alone, with the row's changes."""
    found = find_architecture(row["model"])
    if found is not None:
        fields = dict(found.fields)
    elif row["model"] in extra:
        fields = unpacked(extra[row["model"]])
    else:
        return None
    text_type, name = fields.pop("text_model_type", None), fields["architectures"][0]
    if text_type is not None and ("vision_config" in fields or name.endswith("ForConditionalGeneration")):
        fields["model_type"] = text_type
        plain = TEXT_CLASSES.get(text_type, name.replace("ForConditionalGeneration", "ForCausalLM"))
        if is_served(plain, row["release"]):
            fields["architectures"] = [plain]
        fields.pop("vision_config", None)
    if "tp" in row:
        fields.pop("quantization_config", None)
        fields.pop("hf_quant_config", None)
    for key, value in (row.get("config") or {}).items():
        if value is None:
            fields.pop(key, None)
        else:
            fields[key] = value
    return ModelArchitecture(row["model"], fields, source="row", confidence="config")


def is_served(name: str, release: str) -> bool:
    """Whether the release's registry names a class; where it does not, the rows were made from the part
    of the whole's class that it builds itself, which `architecture` names then."""
    place = registry_releases().index(release)
    return architecture_row(name, place, place).served == "yes"


def request_of(row: Mapping[str, Any], architecture: ModelArchitecture) -> EngineRequest:
    """The request that a row stands for."""
    release = Release.parse(row["release"])
    assert release is not None
    major, minor = str(row["capability"]).split(".")
    gpu = Gpu(
        id="row",
        device_name=row.get("device_name") or row["gpu"],
        vendor="nvidia",
        memory_gib=row["memory_gib"],
        compute_capability=(int(major), int(minor)),
    )
    settings = dict(row["flags"])
    for key, name in (
        ("tp", "tensor_parallel_size"),
        ("pp", "pipeline_parallel_size"),
        ("dcp", "decode_context_parallel_size"),
    ):
        if row.get(key, 1) != 1:
            settings.setdefault(name, row[key])
    return EngineRequest(
        release=release,
        architecture=architecture,
        gpu=gpu,
        settings=settings,
        env={},
        gpus_per_node=GPUS_PER_NODE,
    )


def seen(config: EngineConfig) -> dict[str, Any]:
    """What EngineConfig models, by the rows' names."""
    return {
        "max_model_len": config.max_model_len,
        "dtype": config.dtype,
        "max_num_batched_tokens": config.max_num_batched_tokens,
        "max_num_seqs": config.max_num_seqs,
        "block_size": config.user_block_size or DEFAULT_BLOCK_SIZE,
        "chunked_prefill": config.enable_chunked_prefill,
        "prefix_caching": config.enable_prefix_caching,
        "quantization": config.quantization,
        "kv_cache_dtype": config.kv_cache_dtype,
        "runner": config.runner_type,
        "gpu_memory_utilization": config.gpu_memory_utilization,
        "async_scheduling": config.async_scheduling,
        "mamba_cache_mode": config.mamba_cache_mode,
        "model_runner_v2": config.model_runner == "v2",
        "max_cudagraph_capture_size": config.max_cudagraph_capture_size,
        "cudagraph_mode": config.cudagraph_mode,
        "hybrid_manager_off": config.disable_hybrid_kv_cache_manager,
        "architecture": config.model_class,
    }


#: What is compared of a cache plan; its `kv_cache_dtype` is the flag repeated.
PLAN_KEYS = ("max_model_len", "max_num_batched_tokens", "max_num_seqs", "prefix_caching", "mamba_cache_mode")


def truth_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the row says was resolved."""
    if "tp" not in row:
        return dict(row["resolved"] or {})
    truth = {key: row[key] for key in PLAN_KEYS if row.get(key) is not None}
    if row.get("auto_max_model_len") is not None or row["flags"].get("max_model_len") == -1:
        truth.pop("max_model_len", None)
    return truth


def building(config: EngineConfig) -> Refusal | CachePlan | None:
    """What building the layers of the first pipeline stage comes to, expert layers left out as in the rows:
    a refusal, else the cache of its layers (None: not known)."""
    refusal = layer_refusal(config, stages=(0,), experts=False, attention_only=True)
    if refusal is not None:
        return refusal
    layers = cache_layers(config.architecture, window_is_inclusive=config.release.at_least("0.29.0"))
    plan = None
    if not isinstance(layers, UnknownLayers):
        count = config.architecture.num_hidden_layers or 0
        first = stage_layers(count, config.pipeline_parallel_size, config.release)[0]
        owned = frozenset(at for at, layer in enumerate(layers) if layer.index in first)
        plan = plan_specs(config, tuple(layers), [owned])
        if isinstance(plan, Refusal) and plan.stage == "model":
            return plan
        plan = plan if isinstance(plan, CachePlan) else None
    return layer_refusal(config, stages=(0,), experts=False) or plan


def differences(row: Mapping[str, Any], architecture: ModelArchitecture) -> list[str]:
    """What does not agree; empty for a row that does."""
    outcome = resolve(request_of(row, architecture))
    stage = row.get("stage") if row.get("stage") in ("config", "model") else None
    config = outcome if isinstance(outcome, EngineConfig) else None
    refusal = outcome if isinstance(outcome, Refusal) else None
    built = None
    if config is not None and (stage == "model" or row.get("built_layers", True)):
        built = building(config)
        refusal = built if isinstance(built, Refusal) else None
    found = []
    if (refusal.stage if refusal else None) != stage:
        found.append(f"refused by vLLM: {row['error'] if stage else None}; here: {refusal}")
    elif refusal is not None and not refusal.rule.startswith(rule_of(row["error"])):
        found.append(f"vLLM: {row['error']}; here: {refusal.rule}: {refusal.message}")
    if config is not None and stage != "config":
        ours = seen(config)
        if isinstance(built, CachePlan):
            ours["block_size_after_load"] = built.block_size
        for key, value in truth_of(row).items():
            if key == "architecture" and not is_served(value, row["release"]):
                continue
            if key in ours and ours[key] != value:
                found.append(f"{key}: vLLM {value!r}, here {ours[key]!r}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("paths", nargs="+")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every difference")
    arguments = parser.parse_args()
    total: Counter[tuple[str, str]] = Counter()
    agreed: Counter[tuple[str, str]] = Counter()
    for path in files(arguments.paths):
        extra = extra_models(path)
        done: dict[str, list[str]] = {}
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            architecture = architecture_of(row, extra)
            if architecture is None:
                print(f"not in the catalogue: {row['model']}", file=sys.stderr)
                continue
            question = json.dumps([row.get(key) for key in SAME], sort_keys=True)
            found = done.get(question)
            if found is None:
                found = done[question] = differences(row, architecture)
            group = (architecture.text("model_type"), row["release"])
            total[group] += 1
            agreed[group] += not found
            if found and arguments.verbose:
                print(f"{row['release']} {row['model']} {row.get('config') or ''} {row['flags']}")
                print(f"    on {row.get('device_name') or row['gpu']} tp {row.get('tp', '')}")
                for text in found:
                    print(f"    {text[:300]}")
    report(total, agreed)
    return 0


#: What makes two rows the same question and answer, so that one comparison does for both.
SAME = (
    *("release", "model", "config", "flags", "tp", "pp", "dcp"),
    *("capability", "memory_gib", "device_name", "gpu"),
    *("stage", "error", "resolved", "built_layers", *PLAN_KEYS),
)


def report(total: Counter[tuple[str, str]], agreed: Counter[tuple[str, str]]) -> None:
    """Agreement by family and release, and in all."""
    for family, release in sorted(total):
        group = (family, release)
        print(f"{release:8} {family:28} {agreed[group]:5} of {total[group]:5}")
    for release in sorted({release for _, release in total}):
        counts = [
            sum(number for (_, other), number in counter.items() if other == release)
            for counter in (agreed, total)
        ]
        print(f"{release:8} {'all':28} {counts[0]:5} of {counts[1]:5}  {100 * counts[0] / counts[1]:.1f} %")
    print(f"agree {sum(agreed.values())} of {sum(total.values())}")


if __name__ == "__main__":
    raise SystemExit(main())

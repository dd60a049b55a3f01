"""Calibration rows as engine requests: which model, GPU, release, settings and environment a row names.

A row's free text (`other_flags`) is read for flags and environment variables that are really there; its
prose is not guessed at. Where a row cannot be told, `why_not` says so and nothing is predicted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vllmlint.engine.config import EngineRequest
from vllmlint.hardware.gpu import Gpu
from vllmlint.hardware.gpus import find_gpu, gpu_by_id
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import find_architecture
from vllmlint.serving.release import Release

#: Keys of a row that are vLLM settings by another name: row key, setting.
_DIRECT = (
    ("max_model_len", "max_model_len"),
    ("gpu_memory_utilization", "gpu_memory_utilization"),
    ("max_num_seqs", "max_num_seqs"),
    ("max_num_batched_tokens", "max_num_batched_tokens"),
)
_PARALLEL = (("tp", "tensor_parallel_size"), ("pp", "pipeline_parallel_size"), ("dp", "data_parallel_size"))
#: Whole numbers and switches that `other_flags` states as `--flag value`, `--flag=value` or `flag=value`.
_FLAGS = {
    "decode_context_parallel_size": int,
    "block_size": int,
    "max_loras": int,
    "max_lora_rank": int,
    "swap_space": float,
    "cpu_offload_gb": float,
    "attention_backend": str,
    "moe_backend": str,
    "mamba_cache_mode": str,
}
_SWITCHES = (
    "enable_lora",
    "specialize_active_lora",
    "language_model_only",
    "skip_mm_profiling",
    "disable_custom_all_reduce",
)
_DTYPES = frozenset({"bfloat16", "float16", "float32"})
_ENV = re.compile(r"\b(VLLM_[A-Z0-9_]+)\s*=\s*([^\s;,]+)")
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+){0,2}(?:\.?(?:rc|post|dev)\d+)*(?![\dx])")
#: What a row's source says and the row does not: s055 was started with the offline class `LLM(...)`, whose
#: batch default on such cards is 16384 tokens, not the server's 8192 (vllm-project/vllm#44376, comment).
FROM_SOURCE: dict[str, dict[str, Any]] = {"s055": {"max_num_batched_tokens": 16384}}
#: Utilizations that differ by more than this are not rounding.
_MISSTATED = 0.02
_RANGE = re.compile(r"(\d+\.\d+(?:\.\d+)?)\s*-\s*(\d+\.\d+(?:\.\d+)?)")
#: Cards of one name whose memory differs by more than this many GiB are not the same.
_SAME_CARD_GIB = 2
#: A row that leaves open which of two cards it was: a batch of 2048 tokens is what vLLM takes on an A100.
_EITHER = re.compile(r"A100(?:/| or )H100")
_A100_DEFAULT_TOKENS = 2048
#: Classes of cards that a row names by memory only: pattern, id of a card that such a row can be.
_CLASSES = (
    (r"80 ?GB card", "nvidia-h100-80gb-sxm"),
    (r"96 ?GB class", "nvidia-rtx-pro-6000-server"),
    (r"24 ?GB", "nvidia-rtx-3090"),
    (r"RTX 3090/4090", "nvidia-rtx-3090"),
    # the A100 with a slower link, same chip and memory
    (r"A800 ?(?:SXM )?80 ?GB", "nvidia-a100-80gb-sxm"),
)


@dataclass(frozen=True)
class Case:
    """One row with what it asks vLLM for; `request` is None where that cannot be told (`why_not`)."""

    row: Mapping[str, Any]
    request: EngineRequest | None
    why_not: str = ""
    notes: tuple[str, ...] = field(default=())


def release_of(text: str) -> Release | None:
    """The release that a row's free text names: the first version in it (`0.6.6-0.7.0` gives 0.6.6)."""
    match = _VERSION.search(text)
    if match is None:
        return None
    return Release.parse(match[0])


def gpu_of(row: Mapping[str, Any]) -> Gpu | None:
    """The GPU of a row, with the total memory that the row's log states where it does."""
    text = row["gpu"]
    if _EITHER.search(text) and row.get("max_num_batched_tokens") == _A100_DEFAULT_TOKENS:
        text = "A100-80GB"
    stated = row.get("gpu_mem_gib")
    gpu = _named_gpu(text, stated)
    if gpu is None or stated is None:
        return gpu
    values = {name: getattr(gpu, name) for name in Gpu.__dataclass_fields__}
    return Gpu(**{**values, "memory_gib": stated})


def _named_gpu(text: str, stated_gib: float | None) -> Gpu | None:
    """The card of a name; None where the name is that of cards with different memory and none is stated."""
    plain = re.sub(r"\s*\(.*?\)", "", text)
    plain = re.sub(r"^\d+ ?x ", "", plain.split(",")[0].strip())
    if " + " in plain:
        return None  # ranks on cards of two kinds: there is no one GPU
    slice_name = re.sub(r"[ -]MIG[ -]", "-MIG-", plain)
    for candidate in (text, slice_name, plain, re.sub(r"\bBlackwell\b", "", plain)):
        found = find_gpu(candidate.strip())
        sizes = {round(card.memory_gib) for card in found if card.memory_gib is not None}
        if sizes and max(sizes) - min(sizes) > _SAME_CARD_GIB:
            found = tuple(card for card in found if _near(card, stated_gib))
        if found:
            return found[0]
    for pattern, gpu_id in _CLASSES:
        if re.search(pattern, text):
            return gpu_by_id(gpu_id)
    return None


def _near(card: Gpu, stated_gib: float | None) -> bool:
    if card.memory_gib is None or stated_gib is None:
        return False
    return abs(card.memory_gib - stated_gib) <= _SAME_CARD_GIB


def settings_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a row states, by vLLM's names with underscores."""
    settings: dict[str, Any] = {name: row[key] for key, name in _DIRECT if row.get(key) is not None}
    settings.update({name: row[key] for key, name in _PARALLEL if row.get(key, 1) != 1})
    if row.get("ep"):
        settings["enable_expert_parallel"] = True
    if row.get("enforce_eager"):
        settings["enforce_eager"] = True
    # vLLM logs the dtype that it resolved: given back it resolves to the same
    if row.get("dtype") in _DTYPES and "dtype" not in row.get("inferred", ()):
        settings["dtype"] = row["dtype"]
    cache = row.get("kv_cache_dtype")
    if cache and cache != "auto":
        settings["kv_cache_dtype"] = cache.split()[0]
    if row.get("block_size") and "block_size default" not in row.get("inferred", ()):
        settings.setdefault("block_size", row["block_size"])
    speculative = speculation_of(row.get("speculative"))
    if speculative:
        settings["speculative_config"] = speculative
    settings.update(_flags_of(row.get("other_flags") or ""))
    return settings


def speculation_of(text: str | None) -> dict[str, Any] | None:
    """`mtp, 3 tokens` or `dflash z-lab/X, 5 tokens` as vLLM's speculative configuration."""
    if not text:
        return None
    tokens = re.search(r"(\d+) tokens?", text)
    model = re.search(r"([\w.-]+/[\w.-]+)", text)
    method = re.split(r"[ ,]", text, maxsplit=1)[0]
    found: dict[str, Any] = {"method": "mtp" if method == "mtp" else method}
    if tokens:
        found["num_speculative_tokens"] = int(tokens[1])
    if model:
        found["model"] = model[1]
    return found


def _flags_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, kind in _FLAGS.items():
        spelled = name.replace("_", "[-_]")
        match = re.search(rf"(?:--)?\b{spelled}[ =]+'?([\w.]+)'?", text)
        if match:
            found[name] = kind(match[1])
    for name in _SWITCHES:
        if re.search(rf"\b{name.replace('_', '[-_]')}\b", text):
            found[name] = True
    prefix = re.search(r"enable[-_]prefix[-_]caching(=False)?", text)
    if prefix:
        found["enable_prefix_caching"] = prefix[1] is None
    if re.search(r"limit_mm_per_prompt.*?image'?\"?:? ?0", text):
        found["limit_mm_per_prompt"] = {"image": 0, "video": 0}
    elif match := re.search(r"limit_mm_per_prompt image (\d+)", text):
        found["limit_mm_per_prompt"] = {"image": int(match[1])}
    if "LMCacheConnectorV1" in text:
        found["kv_transfer_config"] = {"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"}
    return found


def environment_of(row: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables that a row states; the engine it ran on where that was a choice."""
    text = row.get("other_flags") or ""
    found = dict(_ENV.findall(text))
    partition = re.search(r"VLLM_PP_LAYER_PARTITION=([\d,]+)", text)
    if partition:
        found["VLLM_PP_LAYER_PARTITION"] = partition[1].rstrip(",")
    if "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS off" in text:
        found["VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS"] = "0"
    return found


def model_of(row: Mapping[str, Any]) -> ModelArchitecture | None:
    """The row's model in the catalogue: its id, or the first hub id inside a longer text."""
    found = find_architecture(row["model"])
    if found is None:
        match = re.search(r"[\w.-]+/[\w.-]+", row["model"])
        found = find_architecture(match[0]) if match else None
    return found


def implied_utilization(row: Mapping[str, Any]) -> float | None:
    """The utilization that a row's own terms add up to, where it has all of them and the total.

    utilization x total = weights + non-torch + activation + KV holds to 0.01 GiB in real logs; a row that
    states another utilization was written down wrong.
    """
    names = ("weights_gib", "non_torch_gib", "activation_gib", "kv_gib", "gpu_mem_gib")
    values = [row.get(name) for name in names]
    if any(value is None for value in values) or row["failed"]:
        return None
    *terms, total = (float(value) for value in values if value is not None)
    return sum(terms) / total


def case_of(row: Mapping[str, Any]) -> Case:
    """The row as a request, or the reason why none can be made."""
    model = model_of(row)
    if model is None:
        return Case(row, None, "model not in the catalogue")
    release = release_of(row["vllm_version"])
    if release is None:
        return Case(row, None, "release not named")
    gpu = gpu_of(row)
    if gpu is None or gpu.memory_gib is None:
        return Case(row, None, "GPU not known")
    env = environment_of(row)
    if row["engine"] == "v1" and release.key[:2] == (0, 7):
        env.setdefault("VLLM_USE_V1", "1")
    if row["engine"] == "v0" and (0, 8) <= release.key[:2] < (0, 11):
        env.setdefault("VLLM_USE_V1", "0")
    settings = {**settings_of(row), **FROM_SOURCE.get(row["id"], {})}
    notes = []
    implied = implied_utilization(row)
    if implied is not None and abs(implied - (row["gpu_memory_utilization"] or implied)) > _MISSTATED:
        settings["gpu_memory_utilization"] = round(implied, 2)
        notes.append(f"its own terms add up to utilization {implied:.2f}")
    request = EngineRequest(release, model, gpu, settings, env)
    if _RANGE.search(row["vllm_version"]) or "approx" in row["vllm_version"]:
        notes.append("release inferred")
    return Case(row, request, notes=tuple(notes))

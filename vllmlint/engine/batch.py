"""Chunked prefill, prefix caching and the batch limits (`EngineArgs` of `vllm/engine/arg_utils.py`)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from vllmlint.engine.config import ModelRunner
from vllmlint.engine.errors import RefusedError
from vllmlint.engine.given import Given
from vllmlint.engine.model_class import ModelClass
from vllmlint.engine.runner import RunnerType
from vllmlint.record import record

#: `DEFAULT_MAX_NUM_BATCHED_TOKENS_FOR_BATCHED_DP` and the all2all backends it is for, 0.20.0 on.
BATCHED_DP_TOKENS = 256
_BATCHED_ALL2ALL = frozenset({"deepep_low_latency", "nixl_ep"})
#: Hybrid models keep prefixes by default from here on; 0.26 and 0.27 support it, but only if asked
#: ("keep it opt-in for now", `_set_default_chunked_prefill_and_prefix_caching_args`).
HYBRID_CACHING_SINCE = "0.28.0"
#: Above this length V0 chunks the prefill by itself (`_set_default_args_v0`).
LONG_CONTEXT_TOKENS = 32768
#: `_POOLING_MODEL_MAX_NUM_BATCHED_TOKENS`, `_MULTIMODAL_MODEL_MAX_NUM_BATCHED_TOKENS` (5120 since 0.6.3).
POOLING_TOKENS, MULTIMODAL_TOKENS, FIRST_MULTIMODAL_TOKENS = 32768, 5120, 4096


@record
class Prefill:
    """Whether prompts are processed in chunks, and whether their prefixes are kept."""

    chunked: bool
    prefix_caching: bool


def resolve_prefill(
    given: Given, model: ModelClass, runner: RunnerType, engine: ModelRunner, length: int
) -> Prefill:
    """Chunked prefill and prefix caching as asked, else by default."""
    if engine == "v0":
        return _first_engine_prefill(given, model, runner, length)
    chunked, cached = _defaults(given, model, runner)
    asked_chunked, asked_cached = (
        given.choice("enable_chunked_prefill"),
        given.choice("enable_prefix_caching"),
    )
    if not given.since("0.11.0") and runner == "generate":
        asked_chunked = True  # V1 sets it whatever was asked (`_set_default_args_v1`, 0.8 - 0.10)
    prefill = Prefill(
        chunked if asked_chunked is None else asked_chunked,
        cached if asked_cached is None else asked_cached,
    )
    if _is_encoder_decoder(given):
        return Prefill(chunked=False, prefix_caching=False)
    return prefill


def _is_encoder_decoder(given: Given) -> bool:
    return given.architecture.flag("is_encoder_decoder")


def _defaults(given: Given, model: ModelClass, runner: RunnerType) -> tuple[bool, bool]:
    if runner == "pooling":
        causal = given.architecture.get("is_causal") is not False
        by_pooling = model.sequence_pooling == "LAST" and not model.step_pooling and not model.encoder_only
        supported = causal and by_pooling and not _is_encoder_decoder(given)
        # 0.26 and 0.27 leave every hybrid model out, pooling or not.
        opt_in = model.hybrid and given.since("0.26.0") and not given.since(HYBRID_CACHING_SINCE)
        return supported, supported and not opt_in
    if _is_encoder_decoder(given):
        return False, False
    cached = not model.attention_free
    if model.hybrid and not given.since(HYBRID_CACHING_SINCE):
        cached = not given.since("0.11.0")
    return True, cached


def _first_engine_prefill(given: Given, model: ModelClass, runner: RunnerType, length: int) -> Prefill:
    chunked = given.choice("enable_chunked_prefill")
    if chunked is None:
        plain = not (
            model.multimodal
            or given.architecture.is_mla
            or given.architecture.integer("sliding_window") is not None
            or given.get("speculative_config")
            or given.flag("enable_lora")
            or runner == "pooling"
        )
        chunked = length > LONG_CONTEXT_TOKENS and plain
    cached = given.flag("enable_prefix_caching") and not model.multimodal
    return Prefill(chunked, cached)


@record
class BatchLimits:
    """`max_num_batched_tokens` and `max_num_seqs`."""

    tokens: int
    seqs: int


@cache
def _tiers() -> list[dict[str, Any]]:
    path = Path(__file__).parent.parent / "facts" / "batch_defaults.json"
    loaded: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["releases"]
    return loaded


def default_limits(given: Given) -> BatchLimits:
    """What `vllm serve` takes on this GPU where nothing is asked (vllm-memory.md 2.3)."""
    rows = next(row for row in reversed(_tiers()) if given.since(row["from"]))
    memory = given.gpu.memory_gib or 0.0
    name = given.gpu.device_name.lower()
    for tier in rows["tiers"]:
        words = tier.get("name_has")
        if words is not None and not any(word in name for word in words):
            continue
        if memory < tier.get("memory_gib", 0):
            continue
        if any(word in name for word in tier.get("name_lacks", ())):
            continue
        if given.gpu.compute_capability is not None and list(given.gpu.compute_capability) in tier.get(
            "not_capabilities", []
        ):
            continue
        return BatchLimits(tier["tokens"], tier["seqs"])
    raise AssertionError("the last tier has no condition")


def resolve_limits(
    given: Given, model: ModelClass, runner: RunnerType, engine: ModelRunner, prefill: Prefill, length: int
) -> BatchLimits:
    """The batch limits as asked, else by default."""
    tokens, seqs = given.integer("max_num_batched_tokens"), given.integer("max_num_seqs")
    if engine == "v0":
        default = _first_engine_tokens(given, model, runner, prefill, length)
        return BatchLimits(default if tokens is None else tokens, 256 if seqs is None else seqs)
    defaults = default_limits(given)
    factor = 2 if given.text("performance_mode") == "throughput" and given.since("0.17.0") else 1
    seqs_now = defaults.seqs * factor if seqs is None else seqs
    tokens_now = tokens
    if tokens_now is None:
        start = BATCHED_DP_TOKENS if _is_batched_dp(given) else defaults.tokens
        tokens_now = _default_tokens(given, start * factor, prefill, length, seqs_now)
    if seqs is None and given.since("0.10.2"):
        seqs_now = min(seqs_now, tokens_now)
    return BatchLimits(tokens_now, seqs_now)


def _default_tokens(given: Given, tokens: int, prefill: Prefill, length: int, seqs: int) -> int:
    if not prefill.chunked:
        tokens = max(length, tokens) if given.since("0.11.1") else length
    return min(tokens, seqs * length) if given.since("0.11.1") else tokens


def _is_batched_dp(given: Given) -> bool:
    return (
        given.since("0.20.0")
        and given.flag("enable_expert_parallel")
        and given.size("data_parallel_size") > 1
        and given.text("all2all_backend") in _BATCHED_ALL2ALL
    )


def _first_engine_tokens(
    given: Given, model: ModelClass, runner: RunnerType, prefill: Prefill, length: int
) -> int:
    """V0's `SchedulerConfig.__post_init__`."""
    chunk = 2048 if given.since("0.6.5") else 512
    tokens = chunk if prefill.chunked else max(length, 2048)
    if runner == "pooling":
        tokens = max(tokens, POOLING_TOKENS)
    if model.multimodal:
        tokens = max(tokens, MULTIMODAL_TOKENS if given.since("0.6.3") else FIRST_MULTIMODAL_TOKENS)
    return tokens


def check_limits(prefill: Prefill, limits: BatchLimits, length: int) -> None:
    """What the scheduler's configuration refuses (`SchedulerConfig.verify_max_model_len`)."""
    if limits.tokens < length and not prefill.chunked:
        raise RefusedError(
            "batched-tokens-below-max-model-len",
            f"max_num_batched_tokens ({limits.tokens}) is smaller than max_model_len ({length}). This "
            "effectively limits the maximum sequence length to max_num_batched_tokens.",
            "max_num_batched_tokens",
            "max_model_len",
            "enable_chunked_prefill",
        )
    if limits.tokens < limits.seqs:
        raise RefusedError(
            "batched-tokens-below-max-num-seqs",
            f"max_num_batched_tokens ({limits.tokens}) must be greater than or equal to max_num_seqs "
            f"({limits.seqs}).",
            "max_num_batched_tokens",
            "max_num_seqs",
        )

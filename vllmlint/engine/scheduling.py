"""Asynchronous scheduling and the hybrid KV cache manager (`VllmConfig.__post_init__`)."""

from __future__ import annotations

from vllmlint.engine.config import ModelRunner
from vllmlint.engine.errors import RefusedError
from vllmlint.engine.given import Given
from vllmlint.engine.runner import RunnerType
from vllmlint.engine.speculation import ASYNC_METHODS, Speculation

#: Executors that can schedule asynchronously; Ray since 0.16.0.
_EXECUTORS = frozenset({"mp", "uni", "external_launcher"})
#: The default is on from this release; before, the flag had to be given.
ASYNC_DEFAULT = "0.14.0"


def resolve_async_scheduling(
    given: Given, engine: ModelRunner, runner: RunnerType, speculation: Speculation
) -> bool:
    """Whether the scheduler runs ahead of the GPU; RefusedError where it is asked for and cannot."""
    asked = given.choice("async_scheduling")
    obstacle = _obstacle(given, engine, speculation)
    if asked:
        if obstacle:
            raise RefusedError(
                "async-scheduling-unsupported",
                f"Async scheduling is not supported with {obstacle}.",
                "async_scheduling",
            )
        return True
    if asked is False or engine == "v0" or not given.since(ASYNC_DEFAULT):
        return False
    if runner == "pooling" and given.since("0.20.0"):
        return False
    return not obstacle


def _obstacle(given: Given, engine: ModelRunner, speculation: Speculation) -> str:
    if given.size("pipeline_parallel_size") > 1 and not given.since("0.16.0"):
        return "pipeline_parallel_size > 1"
    executor = given.text("distributed_executor_backend")
    if executor == "ray" and not given.since("0.16.0"):
        return "the ray executor"
    if given.since("0.33.0"):
        if engine == "v2":
            return ""
        if given.size("pipeline_parallel_size") > 1:
            return "pipeline parallelism"
    methods = set(ASYNC_METHODS)
    if given.since("0.26.0"):
        methods.add("dspark")
    if given.since("0.33.0") or (given.choice("async_scheduling") and given.since("0.16.0")):
        methods.add("draft_model")
    if not given.since("0.18.0"):
        methods.discard("ngram_gpu")
    if speculation.method and speculation.method not in methods:
        return f"{speculation.method}-based speculative decoding"
    if speculation.disable_padded_drafter_batch:
        return "disable_padded_drafter_batch=True"
    return ""


def hybrid_manager_off(given: Given, speculation: Speculation) -> bool:
    """Whether layers of every kind share one kind of block table (vllm-memory.md 3.3)."""
    asked = given.choice("disable_hybrid_kv_cache_manager")
    if asked is not None and (asked or given.since("0.17.0")):
        return asked
    if given.gpu.vendor not in ("nvidia", "amd"):
        return True
    chunked_attention = given.architecture.get(
        "attention_chunk_size"
    ) is not None and not given.architecture.model_type.startswith("mimo_v2")
    if chunked_attention and given.since("0.10.1"):
        allowed = given.env_flag("VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE")
        if allowed is None:
            allowed = given.since("0.14.0")
        if not allowed or speculation.method.startswith("eagle"):
            return True
    if given.get("kv_transfer_config"):
        return not given.since("0.22.0")
    events = given.mapping("kv_events_config").get("enable_kv_cache_events") is True
    return events and given.since("0.10.1") and not given.since("0.20.0")

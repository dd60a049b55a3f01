"""A memory plan by a handful of round numbers, for tests of what is built on plans.

The model weighs 16 GiB and its cache takes 1 MiB a token, both divided by the tensor parallel size (an
fp8 cache half of that); each request of a batch takes 8 to 16 MiB; 1 GiB goes elsewhere. A tensor
parallel size above 8 is refused as vLLM refuses what does not divide.
"""

from __future__ import annotations

from typing import Any

from vllmlint.engine.config import EngineConfig, EngineRequest, Refusal
from vllmlint.memory.band import Band, Term, exact
from vllmlint.memory.kv_figures import KvFigures
from vllmlint.memory.plan import MemoryPlan, composed, dominant_terms, judge

LENGTH = 16_384


def fake_config(request: EngineRequest) -> EngineConfig:
    """The settings as given, else the fake's defaults."""
    given = request.settings
    usual: dict[str, Any] = {
        "request": request,
        "model_runner": "v1",
        "runner_type": "generate",
        "dtype": "bfloat16",
        "quantization": None,
        "kv_cache_dtype": "auto",
        "max_model_len": LENGTH,
        "derived_max_model_len": LENGTH,
        "max_num_batched_tokens": 2048,
        "max_num_seqs": 256,
        "enable_chunked_prefill": True,
        "enable_prefix_caching": True,
        "async_scheduling": True,
        "gpu_memory_utilization": 0.9,
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "data_parallel_size": 1,
        "decode_context_parallel_size": 1,
        "prefill_context_parallel_size": 1,
        "enable_expert_parallel": False,
        "enforce_eager": False,
        "cudagraph_mode": "NONE",
        "max_cudagraph_capture_size": 0,
        "user_block_size": None,
        "mamba_cache_mode": "none",
        "num_speculative_tokens": 0,
        "other": {},
    }
    return EngineConfig(**{name: given.get(name, value) for name, value in usual.items()})


def fake_plan(request: EngineRequest) -> MemoryPlan:
    """What becomes of a request."""
    config = fake_config(request)
    ranks, memory = config.tensor_parallel_size, request.gpu.memory_gib
    assert memory is not None
    if ranks > 8:
        refusal = Refusal("heads-indivisible", f"32 heads are not divisible by {ranks}")
        return MemoryPlan(None, "does-not-fit", refusal.message, refusal)
    batch = config.max_num_seqs / 128
    terms = {
        "weights": (Term("layers", exact(16 / ranks), f"16 GiB / {ranks}"),),
        "activation": (Term("sampler", Band(batch, 1.5 * batch, 2 * batch, "by kernel"), "S * V * k"),),
        "buffers": (),
        "non_torch": (Term("non-torch", exact(1.0)),),
        "cuda_graph": (),
    }
    stage = composed(0, terms, exact(config.gpu_memory_utilization * memory), None)  # type: ignore[arg-type]
    token = (0.5 if config.kv_cache_dtype == "fp8" else 1.0) / 1024 / ranks
    amounts = (stage.available_gib.low, stage.available_gib.mid, stage.available_gib.high)
    low, mid, high = (_figures(amount, token, config.max_model_len) for amount in amounts)
    verdict, reason = judge((low, mid, high))
    return MemoryPlan(
        config, verdict, reason, high.refusal, (stage,), 0, (low, mid, high), dominant_terms(stage)
    )


def _figures(available: float, token: float, length: int) -> KvFigures:
    tokens = max(0, int(available / token)) // 16 * 16
    needed = length * token
    message = f"{needed:.2f} GiB KV cache is needed, larger than the available {available:.2f} GiB"
    refusal = Refusal("kv-cache-too-small", message, "kv") if tokens < length else None
    return KvFigures(
        available,
        refusal,
        tokens // 16,
        tokens,
        tokens / length,
        needed,
        min(tokens, length),
        token * 2**30,
        16,
        length,
    )

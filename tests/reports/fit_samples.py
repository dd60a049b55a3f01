"""Plans as plain data, made by hand for the renderers."""

from __future__ import annotations

from typing import Any

SERVER = {
    "file": "llama.yaml",
    "document": 0,
    "object": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "llm", "name": "llama"},
    "container": "vllm",
}


def band(low: float, mid: float | None = None, high: float | None = None) -> dict[str, float]:
    """A band; one number is exact."""
    middle = low if mid is None else mid
    return {"low": low, "mid": middle, "high": middle if high is None else high}


def stage(**parts: dict[str, float]) -> dict[str, Any]:
    """A rank of an 80 GB card, with some parts replaced."""
    usual = {
        "weights_gib": band(14.99),
        "activation_gib": band(0.21, 0.3, 0.44),
        "buffers_gib": band(0.13),
        "non_torch_gib": band(0.1, 0.25, 0.35),
        "cuda_graph_gib": band(0.3, 0.65, 1.0),
        "kv_gib": band(56.0, 56.6, 57.2),
        "requested_gib": band(72.91),
    }
    return {**usual, **parts}


def plan(**changes: Any) -> dict[str, Any]:
    """A plan that fits, with some keys replaced."""
    usual = {
        "server": None,
        "model": {
            "id": "meta-llama/Llama-3.1-8B-Instruct",
            "parameters": None,
            "source": "",
            "confidence": "",
        },
        "release": "0.33.0",
        "pool": None,
        "gpu": {"id": "nvidia-a100-80gb-sxm", "memory_gib": 79.25},
        "gpus": 1,
        "settings": {
            "max_model_len": 131072,
            "gpu_memory_utilization": 0.92,
            "tensor_parallel_size": 1,
        },
        "given": [],
        "per_gpu": stage(),
        "stages": [stage()],
        "tightest_stage": 0,
        "kv": {
            "bytes_per_token": 131072,
            "block_size": 16,
            "blocks": band(28700, 29000, 29300),
            "tokens": band(459000, 463000, 468000),
        },
        "needed_gib": band(16.0),
        "max_concurrency": band(3.5, 3.53, 3.57),
        "max_model_len_that_fits": band(131072),
        "verdict": "fits",
        "reason": "459,000 to 468,000 tokens of KV cache, 3.50 to 3.57 requests of 131,072 tokens at once",
        "refusal": None,
        "dominant": ["weights"],
        "assumptions": [],
        "suggestions": [],
    }
    return {**usual, **changes}


def refused(reason: str, **changes: Any) -> dict[str, Any]:
    """A plan that vLLM refuses before anything is sized."""
    nothing = dict.fromkeys(
        ("per_gpu", "tightest_stage", "kv", "needed_gib", "max_concurrency", "max_model_len_that_fits")
    )
    return plan(**nothing, stages=[], verdict="does-not-fit", reason=reason, **changes)


def document(*plans: dict[str, Any]) -> dict[str, Any]:
    """A whole answer."""
    return {"schema_version": "1", "plans": list(plans)}

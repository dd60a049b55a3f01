"""What the worker refuses when it opens the GPU, after the configuration passed (vllm-memory.md 4.4)."""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig, Refusal
from vllmlint.engine.dtype import AMPERE


def device_refusal(config: EngineConfig) -> Refusal | None:
    """bfloat16 on a GPU before Ampere (`check_if_supports_dtype`); None: the GPU computes in the dtype."""
    pair = config.gpu.compute_capability
    if config.dtype != "bfloat16" or pair is None or pair[0] * 10 + pair[1] >= AMPERE:
        return None
    return Refusal(
        "bfloat16-needs-ampere",
        "Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your "
        f"{config.gpu.device_name} GPU has compute capability {pair[0]}.{pair[1]}. You can use float16 "
        "instead by explicitly setting the `dtype` flag in CLI, for example: --dtype=half.",
        "device",
        ("dtype",),
    )

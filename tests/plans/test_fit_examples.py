"""The six worked examples of vllm-memory.md 5, end to end, for 0.11.2 and 0.33.0."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from fit_runs import planned

A100, H100, H200 = "nvidia-a100-80gb-sxm", "nvidia-h100-80gb-sxm", "nvidia-h200-141gb-sxm"


@dataclass(frozen=True)
class Example:
    """One column of the table: GiB per GPU; `available`, `tokens` and `concurrency` as low and high."""

    name: str
    release: str
    available: tuple[float, float]
    needed: float
    verdicts: tuple[str, ...]
    tokens: tuple[float, float] | None = None
    concurrency: tuple[float, float] | None = None


#: Model, GPU, tensor parallel size, weights in GiB (gpt-oss: by Triton and by Marlin).
_MODELS = {
    "llama-8b": ("meta-llama/Llama-3.1-8B-Instruct", A100, 1, (14.99, 14.99)),
    "llama-70b": ("meta-llama/Llama-3.1-70B-Instruct", H100, 4, (32.89, 32.89)),
    "qwen3-32b-fp8": ("Qwen/Qwen3-32B-FP8", H100, 1, (31.98, 31.98)),
    "deepseek-v3": ("deepseek-ai/DeepSeek-V3", H200, 8, (79.55, 79.55)),
    "gemma-3-27b": ("google/gemma-3-27b-it", A100, 1, (51.4, 51.4)),
    "gpt-oss-120b": ("openai/gpt-oss-120b", H100, 1, (64.4, 65.9)),
}
FITS, FAILS, OPEN = ("fits",), ("does-not-fit",), ("depends", "does-not-fit")
EXAMPLES = [
    Example("llama-8b", "0.11.2", (54.9, 54.9), 16.0, FITS, (449_792, 449_792), (3.43, 3.43)),
    Example("llama-70b", "0.11.2", (33.2, 33.2), 10.0, FITS, (434_608, 434_608), (3.32, 3.32)),
    Example("qwen3-32b-fp8", "0.11.2", (33.5, 33.5), 10.0, FITS, (137_024, 137_024), (3.35, 3.35)),
    Example("deepseek-v3", "0.11.2", (40.8, 40.8), 10.7, FITS, (623_936, 623_936), (3.81, 3.81)),
    # the table says 11.4, with the pool's padding; this release sums layers (vllm-memory.md 3.9, [run])
    Example("gemma-3-27b", "0.11.2", (17.2, 17.2), 11.23, FITS, (32_128, 32_128), (1.50, 1.50)),
    # a public report says exactly that it fails
    Example("gpt-oss-120b", "0.11.2", (-2.2, -0.7), 4.79, FAILS),
    Example("llama-8b", "0.33.0", (56.0, 57.2), 16.0, FITS, (459e3, 468e3), (3.50, 3.57)),
    Example("llama-70b", "0.33.0", (36.1, 38.0), 10.0, FITS, (473e3, 498e3), (3.6, 3.8)),
    Example("qwen3-32b-fp8", "0.33.0", (36.8, 38.5), 10.0, FITS, (151e3, 158e3), (3.7, 3.85)),
    Example("deepseek-v3", "0.33.0", (44.0, 44.9), 10.7, FITS, (672e3, 686e3), (4.1, 4.2)),
    Example("gemma-3-27b", "0.33.0", (19.0, 20.5), 12.35, FITS, (202e3, 217e3), (1.54, 1.66)),
    Example("gpt-oss-120b", "0.33.0", (2.1, 6.1), 5.07, OPEN),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: f"{one.name}-{one.release}")
def test_worked_example(example: Example) -> None:
    model, gpu, tensor, expected = _MODELS[example.name]
    plan = planned(model, gpu, example.release, tensor_parallel_size=tensor)
    memory = plan.memory
    assert memory is not None
    assert memory.kv is not None
    assert plan.verdict in example.verdicts, plan.reason
    stage = memory.stages[memory.tightest]
    weights = stage.part("weights")
    # 1 % is what the table itself claims
    assert weights.low * 0.99 <= expected[1], weights
    assert expected[0] <= weights.high * 1.01, weights
    available = stage.available_gib
    assert available.low - 0.05 <= example.available[1], available
    assert example.available[0] <= available.high + 0.05, available
    assert memory.needed_gib == pytest.approx(example.needed, rel=0.01)
    if example.tokens is not None and example.concurrency is not None:
        low, _, high = memory.kv
        assert low.tokens <= example.tokens[1] * 1.005
        assert example.tokens[0] <= high.tokens * 1.005
        assert low.concurrency <= example.concurrency[1] + 0.01
        assert example.concurrency[0] <= high.concurrency + 0.01

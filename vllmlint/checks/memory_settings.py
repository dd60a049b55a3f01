"""Section memory: settings of the engine that say how much of the GPU it takes."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.checks._nodes import shares_gpus
from vllmlint.finding import Finding, Related
from vllmlint.serving.server import Server
from vllmlint.world import World

#: What is left at a higher share is less than the CUDA context, NCCL and, before 0.20, the CUDA graphs take
#: (vllm-memory.md 2.1, 2.2: the start check fails at 0.98 and more on small cards and with tensor parallel).
_HIGHEST = 0.97
#: Below this share most of a GPU that belongs to one server alone stays empty.
_LOWEST = 0.3
#: vLLM refuses more (vllm-memory.md 2.1: range (0, 1] enforced since 0.11.1).
_WHOLE = 1.0


def gpu_memory_utilization_extreme(server: Server, world: World) -> Iterator[Finding]:
    """A share of the GPU's memory that leaves too little beside the engine, or most of the card empty."""
    value = server.get("gpu_memory_utilization")
    share = value.value
    if not value.explicit or not value.known or value.place is None or not isinstance(share, int | float):
        return
    if _HIGHEST < share <= _WHOLE:
        yield Finding(
            value.place,
            f"the engine plans with {share:.0%} of the GPU's memory, but its CUDA context, NCCL's buffers "
            "and peaks that the profile does not see lie beside that share: vLLM refuses to start (`Free "
            "memory on device … is less than desired`) or runs out of memory later, under load",
            "Write 0.95 or less, or size the cache alone with `--kv-cache-memory-bytes`.",
            "leaves too little",
            confidence="medium",
        )
    elif 0 < share < _LOWEST and shares_gpus(server.workload, world) is False:
        sized = server.get("kv_cache_memory_bytes")
        if sized.explicit:
            return
        yield Finding(
            value.place,
            f"the engine may use {share:.0%} of a GPU that no other pod shares: what the weights leave of "
            "that share is all the KV cache gets, so few requests run at once and the rest wait",
            "Write 0.85 to 0.95, or ask for a slice of a GPU.",
            "most of the GPU stays empty",
            confidence="medium",
            related=tuple(Related(gpu.node.content, "a whole GPU") for gpu in server.gpus[:1]),
        )

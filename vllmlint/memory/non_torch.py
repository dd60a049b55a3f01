"""Memory outside torch: CUDA context, NCCL, attention and all-reduce workspaces (vllm-memory.md 2.1, 2.6).

What vLLM charges to its budget differs by release; what it does not charge is used all the same and has to
fit into the part of the card that `gpu_memory_utilization` leaves free.
"""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.band import ZERO, Band
from vllmlint.memory.sampler import at_least, before
from vllmlint.record import record

#: The CUDA context of one process, GiB (vllm-memory.md 2.6; 0.51 GiB on an H100 in a 0.19.0 log).
CONTEXT = Band(0.4, 0.5, 0.7, "CUDA context by driver and GPU")
#: One GPU, by release: logs of 0.6.6-0.7.x (0.11 to 0.23), 0.10.2 to 0.17.0 (0.02 to 0.14), 0.18.0 and
#: later (0.13 to 0.27; the same Qwen3-14B on H100 goes from 0.13 in 0.17.0 to 0.25 in 0.18.0).
_ONE_GPU_V0 = Band(0.05, 0.2, 0.4, "kernels and cuBLAS by driver")
_ONE_GPU_V1 = Band(0.0, 0.1, 0.25, "kernels and cuBLAS by driver")
_ONE_GPU_NEW = Band(0.08, 0.22, 0.4, "kernels and cuBLAS by driver")
#: A pipeline stage without head and sampler loads fewer kernels (0.07 in 0.19.0 logs).
_NO_SAMPLER = Band(0.04, 0.07, 0.2, "kernels by driver")
#: Free memory that a second rank takes on top, by link. On NVLink machines from Hopper on NCCL registers
#: multicast buffers, 2 GiB and more (2.2 to 2.4 in 0.9-0.10 rows with TP 4 and 8); since 0.11 that happens
#: before the first snapshot and 0.4 GiB remain (0.54 in 0.11.0 logs).
_NCCL_HOPPER = Band(0.4, 2.0, 2.4, "NCCL buffers on NVLink")
_AFTER_NCCL_HOPPER = Band(0.2, 0.4, 0.7, "all-reduce buffers")
#: More for every rank beyond two: each peer has buffers of its own.
_MORE_PEERS_HOPPER = Band(0.0, 0.06, 0.15, "buffers for each peer")
#: The fused all-reduce's workspace (`fuse_allreduce_rms`, on by default with tensor parallelism on 9.0 and
#: 10.x without DP and PP; not in 0.14.1, in 0.20.2; 2.07 to 2.17 GiB in 0.19.0 logs against 0.25 alone).
_FUSED_ALLREDUCE = Band(1.4, 1.85, 2.0, "workspace of the fused all-reduce")
#: On 10.x its buffers are smaller: 0.95 GiB in all on a B200 with TP 4 (August 2026), 1.63 on a B300.
_FUSED_ALLREDUCE_BLACKWELL = Band(0.4, 0.8, 1.7, "workspace of the fused all-reduce")
_MAYBE_FUSED_ALLREDUCE = Band(0.2, 0.4, 2.0, "the fused all-reduce came between 0.15 and 0.17")
#: Other links: PCIe and NVLink before Hopper (0.2 to 0.35 in logs of TP 2 on A100, L40S, RTX 4090); desktop
#: Blackwell 0.5 (0.7 with one GPU's share in 0.26-0.27 logs).
_NCCL_OTHER = Band(0.0, 0.12, 0.6, "NCCL buffers by link")
_NCCL_DESKTOP_BLACKWELL = Band(0.15, 0.45, 0.7, "NCCL buffers by link")
#: DeepEP's buffers, counted once a process (vllm-memory.md 2.6).
_DEEPEP = Band(1.0, 2.0, 4.0, "DeepEP buffers")
#: Where CPU and GPU share memory, the page cache of the loaded files and the compiler's heap count as used:
#: 4.4 to 5 GiB of 120 in logs of GB10, twice the weights in one (calibration notes: 10 % at best).
_UNIFIED_SHARE = (0.0, 0.02, 0.1)
#: FlashInfer's workspace (VLLM_FLASHINFER_WORKSPACE_BUFFER_SIZE, 394 MiB) where its attention is used.
FLASHINFER_WORKSPACE_GIB = 394 / 1024


@record
class NonTorch:
    """GiB that is charged to the budget, the GiB that is used beyond it, and the formula."""

    charged: Band
    outside: Band
    formula: str


def _links_like_hopper(config: EngineConfig) -> bool:
    """Whether ranks talk over an NVLink switch: data-centre GPUs of 9.0 and 10.x."""
    capability = config.gpu.compute_capability
    return capability is not None and capability[0] in (9, 10)


def _one_gpu(config: EngineConfig, stage: int) -> Band:
    if stage < config.pipeline_parallel_size - 1 and at_least(config.release, 0, 11):
        return _NO_SAMPLER
    if config.model_runner == "v0":
        return _ONE_GPU_V0
    return _ONE_GPU_NEW if at_least(config.release, 0, 18) else _ONE_GPU_V1


def _fused_workspace(config: EngineConfig) -> Band:
    if before(config.release, 0, 17):
        return _MAYBE_FUSED_ALLREDUCE
    capability = config.gpu.compute_capability
    return _FUSED_ALLREDUCE_BLACKWELL if capability and capability[0] >= 10 else _FUSED_ALLREDUCE


def _fused_allreduce(config: EngineConfig) -> bool:
    return config.data_parallel_size == 1 and config.pipeline_parallel_size == 1


def _communication(config: EngineConfig) -> tuple[Band, Band]:
    """What a second rank adds: (charged, outside the budget). Data parallel ranks of a dense model are
    engines of their own; experts join them."""
    ranks = config.tensor_parallel_size * config.pipeline_parallel_size
    if config.architecture.is_moe:
        ranks *= config.data_parallel_size
    if ranks == 1:
        return ZERO, ZERO
    if not _links_like_hopper(config):
        capability = config.gpu.compute_capability
        band = _NCCL_DESKTOP_BLACKWELL if capability and capability[0] >= 12 else _NCCL_OTHER
        return band, band if at_least(config.release, 0, 11) else ZERO
    if before(config.release, 0, 11):
        return _NCCL_HOPPER, ZERO
    charged = ZERO
    if ranks > config.pipeline_parallel_size:
        charged = _AFTER_NCCL_HOPPER.plus(_MORE_PEERS_HOPPER.scaled(max(0, ranks - 2)))
        if at_least(config.release, 0, 15) and config.tensor_parallel_size > 1 and _fused_allreduce(config):
            charged = _fused_workspace(config)
    return charged, Band(0.4, 0.93, 2.0, "NCCL is up before vLLM measures")


def _context_is_charged(config: EngineConfig) -> bool:
    """Whether N starts from an empty GPU: V0 before 0.6.5 and V1 before 0.9.1 (vllm-memory.md 2.1)."""
    if config.model_runner == "v0":
        return before(config.release, 0, 6, 5)
    return before(config.release, 0, 9, 1)


def non_torch(config: EngineConfig, stage: int) -> NonTorch:
    """The non-torch memory of one rank of a pipeline stage."""
    parts = [("one GPU", _one_gpu(config, stage))]
    charged, outside = _communication(config)
    if charged is not ZERO:
        parts.append(("ranks", charged))
    if _context_is_charged(config):
        parts.append(("CUDA context", CONTEXT))
    else:
        outside = CONTEXT.plus(outside)
    if str(config.request.settings.get("all2all_backend", "")).startswith("deepep"):
        parts.append(("DeepEP", _DEEPEP))
    if config.gpu.unified_memory and config.gpu.memory_gib:
        low, mid, high = (share * config.gpu.memory_gib for share in _UNIFIED_SHARE)
        parts.append(("page cache", Band(low, mid, high, "memory shared with the CPU")))
    if _uses_flashinfer(config):
        workspace = FLASHINFER_WORKSPACE_GIB
        parts.append(("FlashInfer workspace", Band(workspace * 0.3, workspace, workspace * 1.1)))
    sum_ = parts[0][1]
    for _, band in parts[1:]:
        sum_ = sum_.plus(band)
    formula = " + ".join(f"{name} {band.mid:.2f}" for name, band in parts)
    return NonTorch(sum_, outside, formula)


def _uses_flashinfer(config: EngineConfig) -> bool:
    chosen = config.request.settings.get("attention_backend") or config.request.env.get(
        "VLLM_ATTENTION_BACKEND"
    )
    return isinstance(chosen, str) and chosen.upper().startswith("FLASHINFER")

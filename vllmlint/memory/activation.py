"""Peak activation: what the memory profile sees above the weights (vllm-memory.md 2.4).

The forward pass, the sampler, the encoder and a cold compilation come one after another, so the peak is
the largest of them, not their sum; only what stays (encoder outputs, workspaces) adds to it.
"""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.band import ZERO, Band
from vllmlint.memory.dimensions import GIB, MIB, Dimensions
from vllmlint.memory.encoder import EncoderCost, encoder_cost, encoder_is_profiled
from vllmlint.memory.sampler import at_least, before, sampler_peak
from vllmlint.record import record

#: torch's workspace for cuBLAS, taken from the caching allocator at the first matrix product: 32 MiB from
#: Hopper on (:4096:8 of 4 MiB), 8.1 MiB before (`CUBLAS_WORKSPACE_CONFIG` in the torch documentation).
_CUBLAS_NEW, _CUBLAS_OLD = 32 * MIB, int(8.125 * MIB)
#: Hidden-size tensors alive at the peak of an MLP: input, residual, output, and part of a norm; with
#: tensor parallelism also the output of the all-reduce. Without compilation nothing is fused.
_HIDDEN_COPIES = (3.0, 3.75, 5.0)
_HIDDEN_COPIES_PARALLEL = (4.0, 4.5, 6.0)
_HIDDEN_COPIES_EAGER = (3.5, 5.2, 6.5)
#: Largest batch that fused experts took at once: VLLM_FUSED_MOE_CHUNK_SIZE, gone since 0.18.
_CHUNK_OLD, _CHUNK_NEW = 32768, 16384
#: Tokens that MLA's prefill workspace holds at most (vllm-memory.md 2.4).
_MLA_WORKSPACE_TOKENS = 65536
#: Bytes a token of the sparse indexer's gathered keys, and how many times M they are held.
_INDEXER_BYTES, _INDEXER_FACTOR = 132, 40
#: Methods whose kernels write the weights out in 16 bit before a large product.
_DEQUANTISED = frozenset({"awq", "gptq", "bitsandbytes"})
#: Activations that a cold compilation keeps beside the copy of the embedding table, GiB.
_COLD_EXTRA = (0.02, 0.08, 0.25)


@record
class Activation:
    """The transient peak in GiB, its parts by name, the formula, and the workspace that stays (GiB)."""

    peak: Band
    workspace: Band
    formula: str
    parts: dict[str, Band]


def cublas_workspace(config: EngineConfig) -> int:
    """Bytes of torch's cuBLAS workspace on the configured GPU."""
    capability = config.gpu.compute_capability
    return _CUBLAS_NEW if capability is None or capability[0] >= 9 else _CUBLAS_OLD


def is_compiled(config: EngineConfig) -> bool:
    """Whether torch.compile makes the forward pass: V1 without eager mode."""
    return config.model_runner != "v0" and not config.enforce_eager


def hidden_copies(config: EngineConfig) -> tuple[float, float, float]:
    """How many hidden-size tensors are alive at the peak: (low, mid, high)."""
    if not is_compiled(config):
        return _HIDDEN_COPIES_EAGER
    return _HIDDEN_COPIES_PARALLEL if config.tensor_parallel_size > 1 else _HIDDEN_COPIES


def expert_workspace(config: EngineConfig, sizes: Dimensions) -> float:
    """GiB of the fused experts' workspace for one batch; 0 for dense models.

    Since 0.14 the modular kernels' `workspace_shapes`: T x top_k x (max(Im, H) + max(2 Im, H)); before,
    T x top_k x (max(2 Im, H) + Im). With data parallelism the ranks' tokens are gathered on each.
    """
    if not sizes.expert:
        return 0.0
    tokens = config.max_num_batched_tokens * config.data_parallel_size
    if before(config.release, 0, 18):
        tokens = min(tokens, _CHUNK_OLD if before(config.release, 0, 12) else _CHUNK_NEW)
    gate_up = max(2 * sizes.expert, sizes.hidden)
    second = max(sizes.expert, sizes.hidden) if at_least(config.release, 0, 14) else sizes.expert
    return tokens * sizes.experts_per_token * sizes.element_bytes * (gate_up + second) / GIB


def gathered_tokens(config: EngineConfig, sizes: Dimensions) -> float:
    """GiB of the hidden states of every data parallel rank, gathered for the experts, and of their output."""
    if not sizes.expert or config.data_parallel_size == 1:
        return 0.0
    tokens = config.max_num_batched_tokens * config.data_parallel_size
    return 2 * tokens * sizes.hidden * sizes.element_bytes / GIB


def workspace_stays(config: EngineConfig) -> bool:
    """Whether the experts' workspace is kept after the pass: the workspace manager came with 0.14."""
    return config.model_runner != "v0" and at_least(config.release, 0, 14)


def attention_extra(config: EngineConfig) -> float:
    """GiB that MLA prefill and the sparse indexer take beside the rest of the forward pass."""
    model = config.architecture
    if not model.is_mla or before(config.release, 0, 8):
        return 0.0
    length = config.max_model_len
    heads = (model.num_attention_heads or 0) / config.tensor_parallel_size
    nope = model.integer("qk_nope_head_dim") or 0
    value = model.integer("v_head_dim") or nope
    block = config.user_block_size or 64
    tokens = min(max(8 * length, 4 * config.max_num_seqs * block), _MLA_WORKSPACE_TOKENS)
    extra = tokens * heads * (nope + value) * 2
    if model.integer("index_topk"):
        extra = max(extra, length * _INDEXER_FACTOR * _INDEXER_BYTES)
    return extra / GIB


def dequantised_matrix(config: EngineConfig, sizes: Dimensions) -> float:
    """GiB of one weight matrix that kernels without a fused product write out in 16 bit for large batches:
    awq and gptq beside Marlin, and bitsandbytes; the gate and up projections are the widest."""
    if config.quantization not in _DEQUANTISED:
        return 0.0
    return sizes.mlp * 2 / 3 * sizes.hidden * sizes.element_bytes / GIB


def forward_peak(config: EngineConfig, sizes: Dimensions, stage: int) -> tuple[Band, str]:
    """GiB of one forward pass of the whole batch without the experts' workspace, and the formula."""
    tokens, width = config.max_num_batched_tokens, max(sizes.mlp, sizes.attention)
    copies = hidden_copies(config)
    extra = attention_extra(config)
    quantised = 0.0
    if config.quantization is not None and "fp8" in config.quantization:
        quantised = sizes.mlp / 3  # the activation's fp8 copy: one byte an element
    extra += dequantised_matrix(config, sizes)
    received = 0
    if stage > 0:
        received = 2 * sizes.hidden  # hidden states and residual from the stage before
    bounds = []
    for copy in copies:
        hidden = (copy - 1) * sizes.hidden + sizes.residual + received
        per_token = (width + hidden) * sizes.element_bytes + quantised
        bounds.append(tokens * per_token / GIB + extra)
    formula = (
        f"forward: {tokens} tokens x {sizes.element_bytes} B x ({width:g} + {copies[1]:g} x {sizes.hidden})"
    )
    if extra:
        formula += f" + MLA prefill, dequantised weights {extra:.2f} GiB"
    return Band(bounds[0], bounds[1], bounds[2], "tensors alive at the peak"), formula


def cold_compile_peak(config: EngineConfig, sizes: Dimensions, stage: int) -> tuple[Band, str]:
    """GiB that compiling for the first time takes inside the profile, and the formula; nothing when eager.

    Inductor benchmarks its kernels on example tensors, the embedding table's among them, so a start with an
    empty compile cache peaks at V/t x H x b (vllm-project/vllm#54122, #54383; Qwen3.8-27B: 2.59 GiB cold,
    0.74 GiB warm, table 2.37 GiB). With a multimodal model the table is outside the compiled graph. Seen
    from 0.27 on Ampere and newer; with ahead-of-time compilation (0.20+) it is possible, before not seen.
    """
    if not is_compiled(config) or stage != 0 or encoder_is_profiled(config) or before(config.release, 0, 20):
        return ZERO, ""
    table = -(-sizes.vocabulary // config.tensor_parallel_size) * sizes.hidden * sizes.element_bytes / GIB
    capability = config.gpu.compute_capability
    likely = at_least(config.release, 0, 27) and (capability is None or capability >= (8, 0))
    peak = Band(
        0.0,
        table + _COLD_EXTRA[1] if likely else 0.0,
        table + _COLD_EXTRA[2],
        "an empty compile cache costs a copy of the embedding table, a warm one nothing",
    )
    return peak, f"cold compile: embedding {table:.3f} GiB + {_COLD_EXTRA[1]} GiB"


def activation(config: EngineConfig, sizes: Dimensions, stage: int) -> Activation:
    """The peak activation of one pipeline stage."""
    last = stage == config.pipeline_parallel_size - 1
    forward, forward_text = forward_peak(config, sizes, stage)
    sampler, sampler_text = sampler_peak(config, sizes) if last else (ZERO, "")
    encoder: EncoderCost = encoder_cost(config, sizes, stage)
    cold, cold_text = cold_compile_peak(config, sizes, stage)
    workspace = expert_workspace(config, sizes)
    stays = workspace_stays(config)
    forward = _shift(forward, gathered_tokens(config, sizes) + (0.0 if stays else workspace))
    forward, sampler = _plus(forward, encoder.outputs), _plus(sampler, encoder.outputs)
    parts = {"forward": forward, "sampler": sampler, "encoder": encoder.peak, "cold compile": cold}
    low, mid, high = (max(getattr(band, end) for band in parts.values()) for end in ("low", "mid", "high"))
    reason = max(parts.values(), key=lambda band: band.high).reason
    fixed = cublas_workspace(config) / GIB
    texts = [text for text in (forward_text, sampler_text, encoder.formula, cold_text) if text]
    kept = Band(workspace * 0.9, workspace, workspace * 1.15, "experts' workspace") if stays else ZERO
    return Activation(
        Band(low + fixed, mid + fixed, high + fixed, reason),
        kept if workspace else ZERO,
        f"max({'; '.join(texts)}) + cuBLAS {fixed:.3f} GiB",
        parts,
    )


def _shift(band: Band, amount: float) -> Band:
    return Band(band.low + amount, band.mid + amount, band.high + amount, band.reason)


def _plus(band: Band, held: Band) -> Band:
    return Band(band.low + held.low, band.mid + held.mid, band.high + held.high, band.reason)

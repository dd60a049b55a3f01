"""Slots for LoRA adapters, allocated while the model loads (vllm-memory.md 2.4)."""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.band import Band, Term
from vllmlint.memory.linear_bytes import dtype_bytes
from vllmlint.memory.ranks import local_shape, padded_vocab, rank_layers, ranks_of
from vllmlint.models.modules import modules_of

GIB = 1 << 30
#: vLLM's defaults of `--max-loras` and `--max-lora-rank`.
_SLOTS, _RANK = 1, 16
#: Logits, embeddings and index tables that some releases allocate for each slot beside the layers' matrices.
_MORE = 1.3


def lora_terms(config: EngineConfig, stage: int) -> list[Term]:
    """Both matrices of every target layer for each slot: A with the rank's rows over the inputs, B with the
    outputs; the split side of the layer is split in its LoRA as well, the other is whole."""
    settings = config.request.settings
    if settings.get("enable_lora") is not True:
        return []
    slots = settings.get("max_loras") or _SLOTS
    rank = settings.get("max_lora_rank") or _RANK
    ranks, layers = ranks_of(config), rank_layers(config, stage)
    width = 0
    for module in modules_of(config.architecture):
        if module.role not in ("linear", "experts") or module.part != "text" or module.extra:
            continue
        times = sum(1 for layer in module.layers if layer in layers)
        shape = local_shape(module, ranks)
        width += times * shape.copies * (shape.out_features + shape.in_features)
    # the head's adapter: inputs, and the whole vocabulary of logits
    if stage == config.pipeline_parallel_size - 1:
        hidden = config.architecture.hidden_size or 0
        width += hidden + padded_vocab(config.architecture.integer("vocab_size") or 0)
    mid = slots * rank * width * dtype_bytes(config.dtype) / GIB
    reason = "embedding and index buffers of LoRA slots differ by release"
    formula = f"{slots} slots x rank {rank} x {width} inputs and outputs x {dtype_bytes(config.dtype)} B"
    return [Term("LoRA slots", Band(mid, mid * (1 + _MORE) / 2, mid * _MORE, reason), formula)]

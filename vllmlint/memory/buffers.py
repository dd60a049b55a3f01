"""What stays allocated beside weights and KV cache: runner buffers, LoRA slots (vllm-memory.md 2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.band import ZERO, Band
from vllmlint.memory.dimensions import GIB, Dimensions, ceil_div, dtype_bytes
from vllmlint.memory.encoder import encoder_is_profiled
from vllmlint.memory.sampler import at_least, before
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.record import record

#: LoRA slots hold padding and mapping tensors beside the matrices: 0.077 GiB a slot logged for Qwen3-4B of
#: rank 16 where the matrices alone take 0.066.
_LORA_OVERHEAD = 1.15
_DEFAULT_BLOCK = 16
#: `--max-lora-rank` when it is not given.
_DEFAULT_LORA_RANK = 16


@record
class RunnerBuffers:
    """GiB that the budget pays for, GiB that are used beyond it, and the formula."""

    charged: Band
    outside: Band
    formula: str


def penalty_bytes(config: EngineConfig, sizes: Dimensions) -> int:
    """Bytes of the second runner's penalty tables: S x V counts and a bit mask, used or not."""
    rows = config.max_num_seqs
    return rows * sizes.vocabulary * 4 + rows * ceil_div(sizes.vocabulary, 32) * 4


def block_table_bytes(config: EngineConfig) -> int:
    """Bytes of one KV group's block table: one int32 for each block of each request."""
    blocks = ceil_div(max(config.max_model_len, 1), config.user_block_size or _DEFAULT_BLOCK)
    return config.max_num_seqs * blocks * 4


def runner_buffers(config: EngineConfig, sizes: Dimensions) -> RunnerBuffers:
    """The model runner's persistent buffers on one rank.

    They are allocated before the profile: 0.27 and newer charge them (free memory since the first
    snapshot), 0.8.0-0.9.0 too (torch's whole peak); in between they are used outside the budget.
    """
    last_stage_tables = penalty_bytes(config, sizes) if config.model_runner == "v2" else 0
    tables = block_table_bytes(config)
    embeds = 0
    if config.pipeline_parallel_size > 1 or encoder_is_profiled(config):
        embeds = config.max_num_batched_tokens * sizes.hidden * sizes.element_bytes
    if config.runner_type == "pooling":
        last_stage_tables = 0
    mid = (last_stage_tables + tables + embeds) / GIB
    band = Band(mid * 0.9, mid, mid * 1.1 + 0.05, "small input buffers")
    formula = f"block table {tables / GIB:.3f} + inputs {embeds / GIB:.3f}"
    if last_stage_tables:
        rows, vocabulary = config.max_num_seqs, sizes.vocabulary
        formula += f" + penalties {rows} x {vocabulary} x 4.125 B = {last_stage_tables / GIB:.3f}"
    if _are_charged(config):
        return RunnerBuffers(band, ZERO, formula)
    return RunnerBuffers(ZERO, band, f"{formula} (outside the budget)")


def _are_charged(config: EngineConfig) -> bool:
    if config.model_runner == "v0":
        return before(config.release, 0, 6, 5)
    return at_least(config.release, 0, 27) or before(config.release, 0, 9, 1)


def lora_buffers(config: EngineConfig, sizes: Dimensions) -> tuple[Band, str]:
    """GiB of the LoRA slots on one rank, and the formula; nothing without `--enable-lora`.

    Slots x rank x (inputs + outputs) of every linear layer that adapters may target. vLLM allocates them
    while it loads the model, so they show up in "Model loading took".
    """
    settings = config.request.settings
    if settings.get("enable_lora") is not True:
        return ZERO, ""
    slots = _integer(settings, "max_loras", 1)
    rank = _integer(settings, "max_lora_rank", _DEFAULT_LORA_RANK)
    layers = ceil_div(sizes.layers, config.pipeline_parallel_size)
    width = _lora_widths(config.architecture, sizes, config.tensor_parallel_size)
    element = dtype_bytes(str(settings.get("lora_dtype", "auto")))
    head = (sizes.vocabulary + sizes.hidden) * rank
    amount = slots * (layers * rank * width + head) * element / GIB
    formula = f"LoRA: {slots} slots x rank {rank} x {layers} layers x {width:g} x {element} B"
    band = Band(amount, amount * _LORA_OVERHEAD, amount * 1.5, "which layers adapters may target")
    return band, formula


def _lora_widths(model: ModelArchitecture, sizes: Dimensions, tensor_parallel: int) -> float:
    """Inputs plus outputs of one layer's linear modules on this rank.

    A column-parallel module holds A whole and B cut, a row-parallel one A cut and B whole.
    """
    head = model.head_dim or 0
    queries = (model.num_attention_heads or 0) * head / tensor_parallel
    keys = max(1, (model.num_key_value_heads or 0) / tensor_parallel) * head
    hidden, mlp = sizes.hidden, sizes.mlp / 3
    attention = (hidden + queries) + 2 * (hidden + keys) + (queries + hidden)
    return attention + 2 * (hidden + mlp) + (mlp + hidden)


def _integer(settings: Mapping[str, Any], name: str, default: int) -> int:
    value = settings.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else default

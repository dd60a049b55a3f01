"""What stays allocated beside weights and KV cache: the runner's buffers (vllm-memory.md 2.4)."""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.band import ZERO, Band
from vllmlint.memory.dimensions import GIB, Dimensions, ceil_div
from vllmlint.memory.encoder import encoder_is_profiled
from vllmlint.memory.sampler import at_least, before
from vllmlint.record import record

_DEFAULT_BLOCK = 16


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

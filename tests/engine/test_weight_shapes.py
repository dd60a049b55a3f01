"""Which parts of a quantised matrix a rank can hold."""

from __future__ import annotations

from engine_requests import resolved
from hypothesis import given
from hypothesis import strategies as st

from vllmlint.engine.weight_shapes import rank_shape, shape_refusal
from vllmlint.models.modules.module import Module, column, row
from vllmlint.models.schemes import FP8_BLOCKS, WeightScheme

LLAMA = "meta-llama/Llama-3.1-8B"
GROUPS = WeightScheme("int", 4, "group", 128, scale_bytes=None)


def test_outputs_of_a_column_and_inputs_of_a_row_are_split() -> None:
    config = resolved("0.33.0", LLAMA, tensor_parallel_size=4)
    assert rank_shape(config, column("up_proj", 1024, 512)) == (256, 512)
    assert rank_shape(config, row("down_proj", 512, 1024)) == (512, 256)


def test_ranks_share_a_head_where_there_are_fewer_heads() -> None:
    config = resolved("0.33.0", LLAMA, tensor_parallel_size=8)
    assert rank_shape(config, column("k_proj", 512, 4096, units=4)) == (128, 4096)


def test_experts_are_whole_under_expert_parallel() -> None:
    experts = Module("experts.down_proj", 4096, 1536, "in", copies=128, role="experts")
    model = "Qwen/Qwen3-30B-A3B"
    split = resolved("0.33.0", model, tensor_parallel_size=8)
    whole = resolved("0.33.0", model, tensor_parallel_size=8, enable_expert_parallel=True)
    assert rank_shape(split, experts) == (4096, 192)
    assert rank_shape(whole, experts) == (4096, 1536)


@given(ranks=st.sampled_from([1, 2, 4, 8]), tiles=st.integers(1, 40), wide=st.integers(1, 40))
def test_whole_tiles_are_never_refused(ranks: int, tiles: int, wide: int) -> None:
    config = resolved("0.26.0", LLAMA, tensor_parallel_size=ranks)
    for module in (
        column("up_proj", 128 * tiles * ranks, 128 * wide),
        row("down_proj", 128 * wide, 128 * tiles * ranks),
    ):
        assert shape_refusal(config, module, FP8_BLOCKS, merged_head=False) is None
        assert shape_refusal(config, module, GROUPS, merged_head=False) is None


@given(ranks=st.sampled_from([2, 4, 8]), part=st.integers(1, 4096))
def test_a_part_of_a_tile_is_refused(ranks: int, part: int) -> None:
    config = resolved("0.26.0", LLAMA, tensor_parallel_size=ranks)
    refusal = shape_refusal(config, row("down_proj", 4096, part * ranks), FP8_BLOCKS, merged_head=False)
    assert (refusal is None) == (part % 128 == 0)

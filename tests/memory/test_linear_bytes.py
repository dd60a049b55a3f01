"""Bytes of one matrix by scheme, and what the allocator makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllmlint.memory.allocator import MIB, allocated_bytes
from vllmlint.memory.linear_bytes import dtype_bytes, linear_bytes
from vllmlint.models.schemes import (
    FP8_BLOCKS,
    FP8_CHANNEL,
    FP8_TENSOR,
    MXFP4,
    MXFP8,
    NF4,
    NVFP4,
    WeightScheme,
    integer_scheme,
)

N, K = 1024, 4096


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        (None, N * K * 2),
        (FP8_TENSOR, N * K + 4),
        (FP8_CHANNEL, N * K + 4 * N),
        (FP8_BLOCKS, N * K + 4 * (N // 128) * (K // 128)),
        (NVFP4, N * K // 2 + N * K // 16 + 8),
        (MXFP4, N * K // 2 + N * K // 32),
        (MXFP8, N * K + N * K // 32),
        (NF4, N * K // 2 + 4 * N * K // 64),
        (integer_scheme({"bits": 4, "group_size": 128}, zero_points=False), N * K // 2 + 2 * N * K // 128),
        (
            integer_scheme({"bits": 4, "group_size": 128}, zero_points=True),
            N * K // 2 + 2 * N * K // 128 + N * K // 256,
        ),
        (integer_scheme({"bits": 8, "group_size": -1}, zero_points=False), N * K + 2 * N),
        (WeightScheme("gguf", 4.5, "group", 256), N * K * 9 // 16),
    ],
)
def test_bytes_by_scheme(scheme: WeightScheme | None, expected: int) -> None:
    assert linear_bytes(N, K, scheme, 2) == expected


def test_tiles_repacked_for_marlin_have_a_scale_a_channel() -> None:
    assert linear_bytes(N, K, FP8_BLOCKS, 2, repacked=True) == N * K + 2 * N * (K // 128)


def test_dtype_names() -> None:
    assert [dtype_bytes(name) for name in ("bfloat16", "torch.float16", "float32")] == [2, 2, 4]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, 0),
        (1, 512),
        (MIB, MIB),
        (125 * MIB, 126 * MIB),  # one MiB is left: not split
        (int(12.25 * MIB), int(12.25 * MIB)),  # more is left: split
        (224 * MIB, 224 * MIB),
        (int(9.75 * MIB), 10 * MIB),  # two in a segment of 20 MiB, what is left is too little to split
        (8 * MIB, 8 * MIB),
    ],
)
def test_blocks_of_the_allocator(size: int, expected: int) -> None:
    assert allocated_bytes(size) == expected


@given(size=st.integers(1, 10**10))
def test_a_block_is_at_least_its_tensor_and_little_more(size: int) -> None:
    block = allocated_bytes(size)
    assert size <= block <= size + MIB + 512

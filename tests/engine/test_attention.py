"""Attention backends by release and GPU: vllm-memory.md 3.2 and 4.4."""

from __future__ import annotations

from typing import Any

import pytest

from vllmlint.engine.attention import AttentionQuery, Backend, NoBackend, choose_backend
from vllmlint.serving.release import Release


def chosen(release: str, capability: tuple[int, int], **query: Any) -> Backend | NoBackend:
    """The backend of a layer with heads of 128, or of a latent cache of 576."""
    parsed = Release.parse(release)
    assert parsed is not None
    width = 576 if query.get("mla") else 128
    options = {"head_size": width, "kv_cache_dtype": "auto", "nope_width": 128, **query}
    return choose_backend(AttentionQuery(**options), parsed, capability)


#: Release, compute capability, query, backend, block size without `--block-size`.
CASES: list[tuple[str, tuple[int, int], dict[str, Any], str, int]] = [
    ("0.33.0", (9, 0), {}, "FLASH_ATTN", 16),
    ("0.33.0", (10, 0), {}, "FLASHINFER", 16),
    ("0.33.0", (8, 0), {"kv_cache_dtype": "fp8"}, "FLASHINFER", 16),
    ("0.33.0", (9, 0), {"kv_cache_dtype": "fp8_e5m2"}, "FLASHINFER", 16),
    ("0.33.0", (9, 0), {"kv_cache_dtype": "fp8_per_token_head"}, "TRITON_ATTN", 16),
    ("0.33.0", (8, 0), {"head_size": 64, "sinks": True}, "TRITON_ATTN", 16),
    ("0.33.0", (7, 5), {}, "TRITON_ATTN", 16),
    ("0.33.0", (9, 0), {"mla": True}, "FLASH_ATTN_MLA", 16),
    ("0.33.0", (9, 0), {"mla": True, "kv_cache_dtype": "fp8"}, "FLASHMLA", 64),
    ("0.33.0", (9, 0), {"mla": True, "kv_cache_dtype": "fp8", "block_size": 32}, "TRITON_MLA", 16),
    ("0.33.0", (8, 0), {"mla": True}, "TRITON_MLA", 16),
    ("0.33.0", (10, 0), {"mla": True}, "FLASHINFER_MLA", 32),
    ("0.33.0", (9, 0), {"mla": True, "sparse": True}, "FLASH_ATTN_MLA_SPARSE", 64),
    ("0.33.0", (9, 0), {"mla": True, "sparse": True, "kv_cache_dtype": "fp8"}, "FLASHMLA_SPARSE", 64),
    ("0.33.0", (10, 0), {"head_size": 256, "sinks": False}, "FLASHINFER", 16),
    ("0.33.0", (9, 0), {"prefix_lm": True}, "TRITON_FLASH_ATTN", 16),
    ("0.33.0", (10, 0), {"prefix_lm": True}, "TRITON_FLASHINFER", 16),
    ("0.33.0", (8, 0), {"prefix_lm": True}, "TRITON_ATTN", 16),
    ("0.20.2", (9, 0), {"prefix_lm": True, "kv_cache_dtype": "fp8"}, "TRITON_ATTN", 16),
    ("0.14.1", (10, 0), {"mla": True}, "CUTLASS_MLA", 128),
    ("0.11.2", (9, 0), {"mla": True, "block_size": 32}, "FLASH_ATTN_MLA", 16),
]


@pytest.mark.parametrize(("release", "capability", "query", "name", "block_size"), CASES)
def test_backend(
    release: str, capability: tuple[int, int], query: dict[str, Any], name: str, block_size: int
) -> None:
    """The release's first choice, and the block it prefers."""
    backend = chosen(release, capability, **query)
    assert isinstance(backend, Backend)
    assert (backend.name, backend.preferred(16)) == (name, block_size)


#: What no backend takes.
REFUSED: list[tuple[str, tuple[int, int], dict[str, Any]]] = [
    ("0.33.0", (8, 0), {"mla": True, "sparse": True}),
    ("0.33.0", (9, 0), {"mla": True, "sparse": True, "kv_cache_dtype": "fp8_e4m3"}),
    ("0.33.0", (9, 0), {"mla": True, "sparse": True, "block_size": 32}),
    ("0.33.0", (9, 0), {"mla": True, "kv_cache_dtype": "int8_per_token_head"}),
    ("0.11.2", (8, 0), {"mla": True, "kv_cache_dtype": "fp8"}),
    ("0.14.1", (8, 9), {"kv_cache_dtype": "bfloat16"}),
]


@pytest.mark.parametrize(("release", "capability", "query"), REFUSED)
def test_no_backend(release: str, capability: tuple[int, int], query: dict[str, Any]) -> None:
    """Every candidate has a reason."""
    answer = chosen(release, capability, **query)
    assert isinstance(answer, NoBackend)
    assert answer.reasons
    assert all(reason for _, reason in answer.reasons)


def test_a_manager_block_is_split_into_kernel_blocks() -> None:
    """Any multiple of an exact kernel block will do."""
    exact = Backend("FLASHMLA", (64,), multiples=False)
    assert exact.takes(256)
    assert not exact.takes(96)
    assert exact.preferred(128) == 128

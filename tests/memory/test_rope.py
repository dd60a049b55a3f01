"""Tables of rotary positions: how many rows and columns, and how many tables."""

from __future__ import annotations

from typing import Any

import pytest

from vllmlint.memory.rope import rope_bytes, rope_tables
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import find_architecture


@pytest.mark.parametrize(
    ("scaling", "rows"),
    [
        ({}, 4096),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 1024}, 4096),
        ({"type": "linear", "factor": 8.0}, 32768),
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}, 8192),
        ({"type": "longrope", "original_max_position_embeddings": 1024}, 5120),
        ({"type": "mrope", "mrope_section": [16, 24, 24]}, 16384),
    ],
)
def test_rows_by_scaling(scaling: dict[str, Any], rows: int) -> None:
    fields = {
        "model_type": "llama",
        "hidden_size": 1024,
        "num_attention_heads": 8,
        "max_position_embeddings": 4096,
        "rope_scaling": scaling,
    }
    assert rope_tables(ModelArchitecture("some/model", fields)) == [(rows, 128)]


@pytest.mark.parametrize(
    ("model_id", "tables"),
    [
        ("meta-llama/Llama-3.1-8B", [(131072, 128)]),
        ("google/gemma-3-27b-it", [(1048576, 128), (131072, 128)]),
        ("Qwen/Qwen3-VL-2B-Instruct", [(1048576, 128)]),
        ("deepseek-ai/DeepSeek-R1", [(163840, 64)]),
        ("Qwen/Qwen3.5-27B", [(1048576, 64)]),
        ("openai-community/gpt2", []),
    ],
)
def test_tables_by_family(model_id: str, tables: list[tuple[int, int]]) -> None:
    architecture = find_architecture(model_id)
    assert architecture is not None
    assert rope_tables(architecture) == tables


def test_the_formula_shows_the_numbers() -> None:
    architecture = find_architecture("meta-llama/Llama-3.1-8B")
    assert architecture is not None
    assert rope_bytes(architecture, 2) == (33_554_432, "131072 positions x 128 x 2 B")

"""Checkpoint sizes: the modules in their schemes weigh what the published files weigh."""

from __future__ import annotations

import pytest
from weight_cases import engine_config

from vllmlint.memory.checkpoint import checkpoint_bytes
from vllmlint.memory.weights import weight_terms
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import find_architecture

#: Published bytes of safetensors files, 10^9, and whether they hold MTP layers.
PUBLISHED = [
    ("meta-llama/Llama-3.1-8B-Instruct", 16.063, False),
    ("deepseek-ai/DeepSeek-V4-Pro", 864.727, True),
    ("MiniMaxAI/MiniMax-M2.7", 230.146, False),
    ("moonshotai/Kimi-K2.5", 595.197, False),
    ("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16", 247.229, True),
    ("ibm-granite/granite-4.0-h-small", 64.414, False),
    ("Qwen/Qwen3-8B-AWQ", 6.099, False),
    ("Qwen/Qwen3.6-35B-A3B-FP8", 37.474, True),
    ("RedHatAI/Meta-Llama-3.1-70B-Instruct-quantized.w8a8", 72.700, False),
    ("RedHatAI/phi-4-quantized.w4a16", 9.090, False),
    ("google/gemma-4-31B-it", 62.545, False),
]


def _architecture(model_id: str) -> ModelArchitecture:
    found = find_architecture(model_id)
    assert found is not None
    return found


@pytest.mark.parametrize(("model_id", "billions", "mtp"), PUBLISHED, ids=[row[0] for row in PUBLISHED])
def test_files_weigh_what_is_published(model_id: str, billions: float, mtp: bool) -> None:
    size = checkpoint_bytes(_architecture(model_id), with_mtp=mtp)
    assert size / 1e9 == pytest.approx(billions, rel=0.001)


def test_a_published_size_decides_what_a_doubtful_scheme_leaves_open() -> None:
    """78.9 GB of files where every linear layer in four bits would make 68."""
    terms = weight_terms(engine_config("Qwen/Qwen3.5-122B-A10B-GPTQ-Int4"), 0)
    sure = sum(term.gib.mid for term in terms if term.name != "rotary positions")
    assert sure == pytest.approx(78.888e9 / 2**30, rel=0.03)


def test_files_with_several_formats_are_no_towers() -> None:
    names = {term.name for term in weight_terms(engine_config("openai/gpt-oss-120b"), 0)}
    assert "towers not recorded" not in names

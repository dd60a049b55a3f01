"""The cosine and sine tables of rotary positions, which no checkpoint lists (vllm-memory.md 1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllmlint.models.architecture import ModelArchitecture

#: Tables of multimodal rotary positions are this many times longer, for the indices that videos reach.
MROPE_LENGTH = 4
#: Families whose positions are multimodal whatever their `rope_scaling` says.
_MULTIMODAL = ("qwen2_vl", "qwen2_5_vl", "qwen2_5_omni", "qwen3_vl", "qwen3_omni", "glm4v")
_WITHOUT = frozenset({"opt", "gpt2", "bert", "xlm-roberta", "roberta", "mpnet", "nemotron_h", "bloom"})


def rope_bytes(architecture: ModelArchitecture, plain_bytes: int) -> tuple[int, str]:
    """Bytes of the tables on each rank, and the formula with its numbers.

    One table for each distinct kind of rotary position: rows (positions, times the factor where scaling is
    linear, original positions times the factor for YaRN) times rotated dimensions.
    """
    tables = rope_tables(architecture)
    parts = [f"{rows} positions x {dim} x {plain_bytes} B" for rows, dim in tables]
    return sum(rows * dim * plain_bytes for rows, dim in tables), " + ".join(parts)


def rope_tables(architecture: ModelArchitecture) -> list[tuple[int, int]]:
    """Rows and columns of each distinct table."""
    if architecture.model_type in _WITHOUT:
        return []
    positions = architecture.integer("max_position_embeddings") or 0
    dim = _rotary_dim(architecture)
    if not positions or not dim:
        return []
    stated = dict(architecture.part("rope_parameters") or architecture.part("rope_scaling"))
    if original := architecture.integer("original_max_position_embeddings"):
        stated.setdefault("original_max_position_embeddings", original)
    if _is_multimodal(architecture, stated):
        return [(positions * MROPE_LENGTH, dim)]
    nested = {key: value for key, value in stated.items() if isinstance(value, Mapping)}
    kinds = architecture.per_layer("layer_types")
    local = architecture.number("rope_local_base_freq")
    if nested:
        tables = [(_rows(positions, scaling), dim, repr(scaling)) for scaling in nested.values()]
    elif local is not None or architecture.model_type.startswith(("gemma3", "gemma4")):
        tables = [(_rows(positions, stated), dim, "global"), (positions, dim, "local")]
    else:
        tables = [(_rows(positions, stated), dim, "")]
    if architecture.integer("global_head_dim") and kinds:
        wide = architecture.integer("global_head_dim") or dim
        tables = [(positions, dim, "local"), (positions, wide, "global")]
    return [(rows, width) for rows, width, _ in dict.fromkeys(tables)]


def _rotary_dim(architecture: ModelArchitecture) -> int:
    if rope := architecture.integer("qk_rope_head_dim"):
        return rope
    if architecture.is_mla:
        return 0
    factor = architecture.number("partial_rotary_factor") or architecture.number("rotary_pct")
    if factor is None:
        given = architecture.part("rope_parameters").get("partial_rotary_factor")
        factor = given if isinstance(given, int | float) else None
    if factor is None:
        factor = 0.25 if architecture.model_type.startswith(("qwen3_next", "qwen3_5")) else 1.0
    return int((architecture.head_dim or 0) * factor)


def _is_multimodal(architecture: ModelArchitecture, scaling: Mapping[str, Any]) -> bool:
    if "mrope_section" in scaling or scaling.get("mrope") or scaling.get("type") == "mrope":
        return True
    return architecture.text("model_type").startswith(_MULTIMODAL)


def _rows(positions: int, scaling: Mapping[str, Any]) -> int:
    kind = scaling.get("rope_type") or scaling.get("type")
    factor = scaling.get("factor")
    factor = factor if isinstance(factor, int | float) and factor > 0 else 1
    if kind in ("linear", "dynamic"):
        return int(positions * factor)
    if kind in ("longrope", "su"):
        # one table for short and one for long prompts, joined
        original = scaling.get("original_max_position_embeddings")
        return positions + (original if isinstance(original, int) else 0)
    if kind in ("yarn", "deepseek_yarn"):
        original = scaling.get("original_max_position_embeddings")
        return int(original * factor) if isinstance(original, int) else positions
    return positions

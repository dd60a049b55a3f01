"""The model's maximum length (`_get_and_verify_max_len` of `vllm/config/model.py`; vllm-memory.md 4.2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from vllmlint.engine.config import AUTO_MAX_MODEL_LEN
from vllmlint.engine.errors import RefusedError
from vllmlint.engine.given import Given
from vllmlint.facts.transformers_models import default_max_position_embeddings
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.record import record

#: Keys of a config.json that state a length; the smallest counts (0.33.0, `derive_max_model_len_and_key`).
LENGTH_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
#: What vLLM assumes where config.json states none.
ASSUMED_LENGTH = 2048
_NEVER_SCALED = frozenset({"su", "longrope", "llama3"})
#: Since 0.30.0 their `max_position_embeddings` counts as already scaled.
_YARN = frozenset({"yarn", "deepseek_yarn", "deepseek_llama_scaling"})


@record
class ModelLength:
    """`derived`: the most the config allows; `resolved`: what the engine starts with; `auto`: whether vLLM
    then shortens it to what the KV cache holds."""

    derived: int
    resolved: int
    auto: bool


def resolve_length(given: Given) -> ModelLength:
    """The length; RefusedError where more is asked for than the config allows."""
    asked = given.integer("max_model_len")
    auto = asked == AUTO_MAX_MODEL_LEN and given.since("0.14.0")
    stated, key = _stated_length(given)
    if math.isinf(stated):
        if asked is not None and not auto:
            return ModelLength(asked, asked, auto=False)
        stated = ASSUMED_LENGTH
    derived = _scaled(given, stated)
    if asked is None or auto:
        return ModelLength(int(derived), _default(given, derived), auto)
    if asked > derived:
        _refuse_unless_allowed(given, asked, derived, key)
    return ModelLength(int(derived), asked, auto=False)


def _stated_length(given: Given) -> tuple[float, str]:
    architecture = given.architecture
    length, key = math.inf, ""
    for name in LENGTH_KEYS:
        value = architecture.number(name)
        if value is None and name == "max_position_embeddings":
            value = default_length(architecture)
        if value is not None and value < length:
            length, key = value, name
    model_max = architecture.number("model_max_length")
    if model_max and given.since("0.8.0"):
        length, key = model_max, "model_max_length"
    window = architecture.integer("sliding_window")
    if given.flag("disable_sliding_window") and window is not None and window < length:
        length, key = window, "sliding_window"
    return length, key


def default_length(architecture: ModelArchitecture) -> int | None:
    """What Transformers fills in for an absent `max_position_embeddings`, by the config's `model_type`."""
    return default_max_position_embeddings(architecture.model_type)


def rope_scalings(architecture: ModelArchitecture) -> list[Mapping[str, Any]]:
    """The rope settings of a model, one a layer type where it has several; empty: none that scale."""
    found: list[Mapping[str, Any]] = []
    for name in ("rope_scaling", "rope_parameters"):
        value = architecture.part(name)
        if value:
            nested = [entry for entry in value.values() if isinstance(entry, Mapping)]
            found.extend(nested or [value])
    return found


def rope_types(scalings: Iterable[Mapping[str, Any]]) -> list[str]:
    """`rope_type`, or `type` as older configs write it, of each."""
    return [str(entry.get("rope_type") or entry.get("type") or "default") for entry in scalings]


def _scaled(given: Given, length: float) -> float:
    scalings = rope_scalings(given.architecture)
    if not scalings or ("gemma3" in given.architecture.model_type and given.since("0.8.0")):
        return length
    factor: float = 1.0
    for kind, entry in zip(rope_types(scalings), scalings, strict=True):
        if kind in _NEVER_SCALED or (kind in _YARN and given.since("0.30.0")):
            continue
        stated = entry.get("factor", factor)
        factor = float(stated) if isinstance(stated, int | float) else 1.0
        original = entry.get("original_max_position_embeddings")
        if kind in _YARN and isinstance(original, int | float):
            length = original
    return length * factor


def _default(given: Given, derived: float) -> int:
    if given.since("0.11.1") and "longrope" in rope_types(rope_scalings(given.architecture)):
        original = given.architecture.number("original_max_position_embeddings")
        if original is not None:
            return int(original)
    return int(derived)


def _refuse_unless_allowed(given: Given, asked: int, derived: float, key: str) -> None:
    model_max = given.architecture.number("model_max_length")
    if model_max is not None and asked <= model_max:
        return
    if given.env_flag("VLLM_ALLOW_LONG_MAX_MODEL_LEN"):
        return
    raise RefusedError(
        "max-model-len-above-model",
        f"User-specified max_model_len ({asked}) is greater than the derived max_model_len "
        f"({key}={derived:g}) in model's config.json.",
        "max_model_len",
    )

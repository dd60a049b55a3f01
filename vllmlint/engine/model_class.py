"""Which of vLLM's model classes serves an architecture, and what that class supports."""

from __future__ import annotations

from typing import Literal

from vllmlint.engine.errors import RefusedError
from vllmlint.engine.read_releases import neighbours, parsed
from vllmlint.facts.architectures import (
    architecture_row,
    first_served,
    registry_releases,
    removed_in,
)
from vllmlint.facts.transformers_models import is_transformers_class
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.record import record
from vllmlint.serving.release import Release

PoolingType = Literal["LAST", "CLS", "MEAN"]
#: Suffix of an architecture -> its default runner and conversion, first match
#: (`_SUFFIX_TO_DEFAULTS` of `vllm/config/model.py`, 0.33.0).
_SUFFIXES: tuple[tuple[str, str, str], ...] = (
    ("ForCausalLM", "generate", "none"),
    ("ForConditionalGeneration", "generate", "none"),
    ("ChatModel", "generate", "none"),
    ("LMHeadModel", "generate", "none"),
    ("ForTextEncoding", "pooling", "embed"),
    ("EmbeddingModel", "pooling", "embed"),
    ("ForSequenceClassification", "pooling", "classify"),
    ("ForTokenClassification", "pooling", "classify"),
    ("ForAudioClassification", "pooling", "classify"),
    ("ForImageClassification", "pooling", "classify"),
    ("ForVideoClassification", "pooling", "classify"),
    ("ClassificationModel", "pooling", "classify"),
    ("ForRewardModeling", "pooling", "embed"),
    ("RewardModel", "pooling", "embed"),
    ("Model", "pooling", "embed"),
)
#: Where a catalogue row is not from the model's own config.json, its architecture's name may be amiss.
_SECOND_HAND = frozenset({"derived", "class-default"})
#: The class of vLLM that runs a model of the Transformers library (`_get_transformers_backend_cls`).
TRANSFORMERS_CLASS = "TransformersForCausalLM"


@record
class ModelClass:
    """What vLLM knows of the class behind an architecture (`_ModelInfo` of its registry).

    `name` is the architecture as it is served; `registered` whether the registry names it, rather than a
    class it converts or the Transformers library. `certain` is False where no release that was read tells.
    """

    name: str
    generates: bool
    pools: bool
    multimodal: bool
    hybrid: bool
    attention_free: bool
    pipeline_parallel: bool
    mamba_prefix_caching: bool
    v0_only: bool
    encoder_only: bool
    sequence_pooling: PoolingType
    step_pooling: bool
    registered: bool = True
    certain: bool = True


def model_class(architecture: ModelArchitecture, release: Release) -> ModelClass:
    """The class that serves a model; RefusedError where the release has none for it."""
    name = architecture.class_name
    if not name:
        return _class_of(architecture, "LlamaForCausalLM", "Pg", registered=False, certain=False)
    served, letters = _lookup(name, release)
    if served == "yes":
        return _class_of(architecture, name, letters)
    if served == "unknown":
        return _class_of(architecture, name, letters or "Pg", registered=False, certain=False)
    first = first_served(name)
    if first is not None and parsed(registry_releases())[first] > release:
        raise RefusedError(
            "architecture-newer-than-release",
            f"Model architectures ['{name}'] are not supported for now: vLLM serves it since "
            f"{registry_releases()[first]}.",
            "model",
        )
    if is_transformers_class(name):
        return _class_of(architecture, TRANSFORMERS_CLASS, "Pg", registered=False)
    converted = _converted(name, release)
    if converted is None:
        if first is None and architecture.confidence in _SECOND_HAND:
            return _class_of(architecture, name, "Pg", registered=False, certain=False)
        raise _unsupported(name)
    return _class_of(architecture, name, converted, registered=False)


def _lookup(name: str, release: Release) -> tuple[str, str]:
    row = architecture_row(name, *neighbours(registry_releases(), release))
    return row.served, row.letters


def suffix_defaults(name: str) -> tuple[str, str] | None:
    """The runner and the conversion that an architecture's name stands for; None: none."""
    return next(((runner, convert) for end, runner, convert in _SUFFIXES if name.endswith(end)), None)


def _converted(name: str, release: Release) -> str | None:
    """The letters of the generative class that vLLM converts: `Qwen3ForSequenceClassification` is served by
    `Qwen3ForCausalLM` (`_normalize_arch`)."""
    suffix = next((end for end, _, _ in _SUFFIXES if name.endswith(end)), None)
    if suffix is None:
        return None
    for other, _, _ in _SUFFIXES:
        served, letters = _lookup(name.removesuffix(suffix) + other, release)
        if served == "yes":
            return letters
    return None


def _class_of(
    architecture: ModelArchitecture, name: str, letters: str, *, registered: bool = True, certain: bool = True
) -> ModelClass:
    return ModelClass(
        name=name,
        generates="g" in letters,
        pools="p" in letters,
        multimodal="m" in letters,
        hybrid="h" in letters and not _all_attention(architecture),
        attention_free="f" in letters,
        pipeline_parallel="P" in letters,
        mamba_prefix_caching="M" in letters,
        v0_only="0" in letters,
        encoder_only="e" in letters,
        sequence_pooling="CLS" if "C" in letters else "MEAN" if "A" in letters else "LAST",
        step_pooling="S" in letters,
        registered=registered,
        certain=certain,
    )


def _all_attention(architecture: ModelArchitecture) -> bool:
    """A hybrid class whose layers all keep a KV cache (`ModelConfig.is_hybrid`, 0.33.0)."""
    kinds = architecture.per_layer("layer_types")
    return kinds is not None and all(kind in ("attention", "full_attention") for kind in kinds)


def _unsupported(name: str) -> RefusedError:
    last = removed_in(name)
    if last is not None:
        return RefusedError(
            "architecture-removed",
            f"Model architecture {name} was supported in vLLM until v{last}, and is not supported anymore.",
            "model",
        )
    return RefusedError(
        "architecture-unsupported", f"Model architectures ['{name}'] are not supported for now.", "model"
    )

"""The modules of a model: what shapes its weights have and how ranks divide them."""

from __future__ import annotations

from functools import lru_cache

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.modules.ends import encoder_modules, is_encoder, outer_modules
from vllmlint.models.modules.layers import layer_count, layer_modules
from vllmlint.models.modules.module import Module
from vllmlint.models.modules.mtp import mtp_modules
from vllmlint.models.modules.towers import tower_shape, vision_modules
from vllmlint.record import record

__all__ = ["Module", "ParameterCount", "layer_count", "missing_sizes", "modules_of", "parameter_count"]


@record
class ParameterCount:
    """Parameters by part of the model; `doubts` says what the config leaves out."""

    text: int
    vision: int
    mtp: int
    doubts: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """All but the MTP layers, which a published total leaves out and vLLM loads only when asked."""
        return self.text + self.vision


@lru_cache(maxsize=64)
def modules_of(architecture: ModelArchitecture) -> tuple[Module, ...]:
    """Every module of the model, MTP layers included (`part` tells); empty where fields are missing."""
    if not architecture.hidden_size or not layer_count(architecture):
        return ()
    if is_encoder(architecture):
        return tuple(encoder_modules(architecture))
    return (
        *outer_modules(architecture),
        *layer_modules(architecture),
        *vision_modules(architecture),
        *mtp_modules(architecture),
    )


@lru_cache(maxsize=64)
def parameter_count(architecture: ModelArchitecture) -> ParameterCount | None:
    """Parameters as a checkpoint holds them, tied matrices once; None where fields are missing."""
    modules = modules_of(architecture)
    if not modules or missing_sizes(architecture):
        return None
    sums = {"text": 0, "vision": 0, "audio": 0, "mtp": 0}
    for module in modules:
        sums[module.part] += module.parameters
    return ParameterCount(sums["text"], sums["vision"] + sums["audio"], sums["mtp"], _doubts(architecture))


@lru_cache(maxsize=64)
def missing_sizes(architecture: ModelArchitecture) -> tuple[str, ...]:
    """Names of modules whose size the config does not give; nothing can be said of the sum then."""
    return tuple(
        module.name
        for module in modules_of(architecture)
        if module.role != "never" and module.out_features * module.in_features == 0
    )


def _doubts(architecture: ModelArchitecture) -> tuple[str, ...]:
    found = []
    multimodal = any(word in architecture.class_name for word in ("ConditionalGeneration", "VL", "Omni"))
    # transformers builds a tower for this type, though the class name does not say so
    multimodal = multimodal or architecture.model_type == "step3p7"
    if multimodal and tower_shape(architecture) is None:
        found.append("the config says nothing of the vision tower")
    if architecture.part("audio_config") or architecture.model_type.startswith(("gemma3n", "qwen2_5_omni")):
        found.append("the audio tower is not counted")
    if not architecture.integer("vocab_size"):
        found.append("the config has no vocabulary size")
    return tuple(found)

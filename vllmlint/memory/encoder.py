"""Memory of the vision encoder during the memory profile (vllm-memory.md 2.4, "Multimodal").

The encoder runs first, on as many items of the largest modality as its budget holds; its outputs stay
while the language model is profiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.band import Band
from vllmlint.memory.dimensions import GIB, Dimensions
from vllmlint.memory.sampler import at_least, before
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.record import record

#: Tokens of one image at the processor's largest size: max_pixels of the Qwen-VL processors, 16384 merged
#: patches (log: "budget of 16384 tokens, and profiled with 1 image items").
_QWEN_TOKENS = 16384
_QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen2_5_omni", "qwen3_vl", "qwen3_5", "qwen3_omni")
#: Towers with a gated MLP: gate, up and their product live at once.
_GATED = ("qwen2_5_vl", "qwen2_5_omni", "mistral3", "pixtral", "glm4v")
#: Modalities whose limits switch the encoder off when all are 0.
MODALITIES = ("image", "video", "audio")
#: Size of a tower whose config is not recorded: SigLIP so400m, the most used one.
_DEFAULT_HIDDEN, _DEFAULT_INTERMEDIATE = 1152, 4304
#: Share of the transient estimate that chunked or windowed towers may stay below, and eager ones exceed.
_LOW_SHARE, _HIGH_SHARE = 0.5, 1.35


@record
class EncoderItem:
    """One item of the largest modality: the tokens it becomes and the patches that the tower reads."""

    tokens: int
    patches: int
    sure: bool


@record
class EncoderCost:
    """GiB of the encoder's own peak, and of the outputs that stay; all zero without an encoder pass."""

    peak: Band
    outputs: Band
    formula: str


NO_ENCODER = EncoderCost(Band(0.0, 0.0, 0.0), Band(0.0, 0.0, 0.0), "")


def has_encoder(model: ModelArchitecture) -> bool:
    """Whether the model has a vision or audio tower, by its config or its class name."""
    if model.part("vision_config") or model.part("audio_config"):
        return True
    name = model.class_name
    return "VL" in name or name.endswith(
        ("Mistral3ForConditionalGeneration", "PixtralForConditionalGeneration")
    )


def encoder_is_profiled(config: EngineConfig) -> bool:
    """Whether this rank may run the encoder while it is profiled."""
    settings = config.request.settings
    if not has_encoder(config.architecture):
        return False
    if settings.get("language_model_only") is True or settings.get("skip_mm_profiling") is True:
        return False
    limits = settings.get("limit_mm_per_prompt")
    return not _all_zero(limits, config.architecture)


def _all_zero(limits: Any, model: ModelArchitecture) -> bool:
    if not isinstance(limits, Mapping) or not limits:
        return False
    needed = ["image"] if model.part("vision_config") or not model.part("audio_config") else []
    if _reads_video(model):
        needed.append("video")
    if model.part("audio_config"):
        needed.append("audio")
    return all(_limit(limits, name) == 0 for name in needed)


def _limit(limits: Mapping[str, Any], modality: str) -> int | None:
    value = limits.get(modality)
    if isinstance(value, Mapping):
        value = value.get("count")
    return value if isinstance(value, int) else None


def _reads_video(model: ModelArchitecture) -> bool:
    return model.text("model_type").startswith(("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "glm4v"))


def is_qwen(model: ModelArchitecture) -> bool:
    """Whether the processor is one of the Qwen-VL families, which cut images into patches themselves."""
    return model.text("model_type").startswith(_QWEN)


def largest_item(model: ModelArchitecture, budget: int) -> EncoderItem:
    """The largest item of a family's processor; for families not in the table the budget itself."""
    kind, tower = model.text("model_type"), model.part("vision_config")
    if is_qwen(model):
        merge = _number(tower, "spatial_merge_size", 2) ** 2
        return EncoderItem(_QWEN_TOKENS, _QWEN_TOKENS * merge, True)
    patch = max(1, _number(tower, "patch_size", 14))
    side = _number(tower, "image_size", 0) // patch
    if kind in ("mistral3", "pixtral") and side:
        merge = _number(tower, "spatial_merge_size", 0) or model.integer("spatial_merge_size") or 2
        if kind == "pixtral" and not model.integer("spatial_merge_size"):
            merge = 1
        rows = side // merge
        return EncoderItem(rows * (rows + 1), side * side, True)
    if kind in ("gemma3", "gemma3n"):
        return EncoderItem(256, side * side or 4096, True)
    if kind.startswith("gemma4"):
        # 280 soft tokens an image, pooled 3 x 3 (Gemma 4 processor's default)
        return EncoderItem(280, 280 * 9, True)
    if kind.startswith("internvl"):
        # 12 tiles and a thumbnail, 256 tokens each (InternVL processor's default)
        return EncoderItem(13 * 256, 13 * 1024, True)
    if kind == "llama4":
        # 16 tiles and the whole image, 24 x 24 patches merged 2 x 2 (Llama 4 processor's max_patches)
        return EncoderItem(17 * 144, 17 * 576, True)
    return EncoderItem(budget, budget * 4, False)


def _number(part: Mapping[str, Any], name: str, default: int) -> int:
    value = part.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def layer_width(model: ModelArchitecture, hidden: int, inner: int, split: int) -> float:
    """Elements for one patch at the widest moment of a layer, its matrices cut over `split` ranks.

    Attention: queries, keys, values, their rotated copies and the output (6 h cut), beside residual, norm
    and projection (3 h). MLP: both activations (2 i cut) beside residual and norm, or with a gate the
    gate, up and their product (3 i cut) beside residual, norm and output.
    """
    attention = 6 * hidden / split + 3 * hidden
    gated = model.text("model_type").startswith(_GATED)
    mlp = (
        3 * inner / split + 3 * hidden
        if gated
        else max(2 * inner / split + 2 * hidden, inner / split + 3 * hidden)
    )
    return max(attention, mlp)


def _patch_values(model: ModelArchitecture) -> int:
    """Pixel values that make one patch: three channels, and two frames for the Qwen-VL families."""
    tower = model.part("vision_config")
    return 3 * _number(tower, "patch_size", 14) ** 2 * _number(tower, "temporal_patch_size", 1)


def encoder_cost(config: EngineConfig, sizes: Dimensions, stage: int) -> EncoderCost:
    """The encoder's peak and its outputs on the first pipeline stage; nothing elsewhere.

    Peak = items x patches x bytes x the widest moment of a layer, beside the pixels. Outputs = items x
    tokens x H (expanded to the whole budget in 0.11-0.12) stay, and so do the pixels that went in: the
    activation of Gemma-3 4B, 12B, 27B and Mistral-Small in 0.19.0 logs holds both to 0.01 GiB. The
    Qwen-VL families hand over patches; a 0.19.0 log of Qwen3.5-27B leaves no room for them, nor quite
    for the outputs.
    """
    if stage != 0 or not encoder_is_profiled(config):
        return NO_ENCODER
    batch = config.max_num_batched_tokens
    item = largest_item(config.architecture, batch)
    budget = max(batch, item.tokens)
    items = max(1, min(budget // max(1, item.tokens), config.max_num_seqs))
    tower = config.architecture.part("vision_config")
    hidden = _number(tower, "hidden_size", _DEFAULT_HIDDEN)
    inner = _number(tower, "intermediate_size", 0) or _number(tower, "mlp_ratio", 0) * hidden
    inner = inner or _DEFAULT_INTERMEDIATE * hidden // _DEFAULT_HIDDEN
    split = 1 if config.request.settings.get("mm_encoder_tp_mode") == "data" else config.tensor_parallel_size
    width = layer_width(config.architecture, hidden, inner, split)
    pixels = items * item.patches * _patch_values(config.architecture) * sizes.element_bytes / GIB
    peak = items * item.patches * sizes.element_bytes * width / GIB + pixels
    expanded = at_least(config.release, 0, 11) and before(config.release, 0, 13)
    each = budget if expanded else item.tokens
    held = items * each * sizes.hidden * sizes.element_bytes / GIB
    patches_given = is_qwen(config.architecture)
    low = _LOW_SHARE if item.sure else 0.1
    high = _HIGH_SHARE if item.sure else 2.0
    reason = (
        "size of the encoder's intermediates" if item.sure else "largest image of this family is not known"
    )
    formula = (
        f"encoder: {items} x {item.patches} patches x {sizes.element_bytes} B"
        f" x {width:g} + pixels {pixels:.3f} GiB"
        f"; outputs {items} x {each} x {sizes.hidden} x {sizes.element_bytes} B"
    )
    sure = item.sure and not patches_given
    outputs = Band(held + pixels if sure else 0.0, held + (0.0 if patches_given else pixels), held + pixels)
    return EncoderCost(Band(peak * low, peak, peak * high, reason), outputs, formula)

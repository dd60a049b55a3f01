"""Vision towers and their projectors, from the fields that configs give (vllm-memory.md 1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.modules.module import Module
from vllmlint.models.modules.tower_ends import Ends, end_modules, matrix, whole
from vllmlint.record import record


@record
class TowerShape:
    """A vision tower's sizes; `heads` decides whether tensor parallelism can split it."""

    hidden: int
    layers: int
    inner: int
    heads: int
    patch: int
    temporal: int
    out: int
    merge: int


#: Towers that every checkpoint of a class has, for configs that leave `vision_config` out or say part of it
#: (the values of Qwen2.5-VL-7B-Instruct, Qwen2-VL-7B-Instruct and Llama-4-Scout-17B-16E-Instruct).
_USUAL: Mapping[str, Mapping[str, Any]] = {
    "Qwen2_5_VLForConditionalGeneration": {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    },
    "Qwen2_5OmniModel": {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    },
    "Qwen2VLForConditionalGeneration": {
        "depth": 32,
        "embed_dim": 1280,
        "mlp_ratio": 4,
        "num_heads": 16,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    },
    "Llama4ForConditionalGeneration": {
        "model_type": "llama4_vision_model",
        "num_hidden_layers": 34,
        "hidden_size": 1408,
        "intermediate_size": 5632,
        "num_attention_heads": 16,
        "patch_size": 14,
        "image_size": 336,
        "projector_input_dim": 4096,
    },
}


#: InternVL 2.5 to 3.5: InternViT-300M, and InternViT-6B beside language models of 64 layers and more.
_INTERN_SMALL = {
    "num_hidden_layers": 24,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "patch_size": 14,
    "image_size": 448,
    "spatial_merge_size": 2,
}
_INTERN_LARGE = {
    **_INTERN_SMALL,
    "num_hidden_layers": 45,
    "hidden_size": 3200,
    "intermediate_size": 12800,
    "num_attention_heads": 25,
}
_INTERN_LAYERS = 64


def vision_config(architecture: ModelArchitecture) -> Mapping[str, Any]:
    """The config's `vision_config`, else the one that its class always has; empty where neither is known."""
    if architecture.class_name == "InternVLChatModel" and not architecture.part("vision_config"):
        large = (architecture.num_hidden_layers or 0) >= _INTERN_LAYERS
        return _INTERN_LARGE if large else _INTERN_SMALL
    return architecture.part("vision_config") or _USUAL.get(architecture.class_name, {})


def tower_shape(architecture: ModelArchitecture) -> TowerShape | None:
    """The vision tower's sizes; None where the config has none or leaves them out."""
    vision = vision_config(architecture)

    def size(*names: str) -> int:
        return next((vision[name] for name in names if isinstance(vision.get(name), int)), 0)

    hidden = size("embed_dim", "vt_hidden_size", "hidden_size", "width")
    layers = size("depth", "vt_num_hidden_layers", "num_hidden_layers", "layers")
    if not hidden or not layers:
        return None
    ratio = vision.get("mlp_ratio")
    inner = size("intermediate_size", "vt_intermediate_size", "mlp_hidden_size")
    inner = inner or int(hidden * (ratio if isinstance(ratio, int | float) else 4))
    kernel = vision.get("merge_kernel_size")
    merge = size("spatial_merge_size") or (kernel[0] if isinstance(kernel, list | tuple) else 0)
    if not merge:
        merge = architecture.integer("spatial_merge_size") or 0
    if "embed_dim" in vision:
        out = size("hidden_size") or architecture.hidden_size or 0  # Qwen2-VL's own naming
    else:
        out = size("out_hidden_size") or architecture.hidden_size or 0
    heads = size("num_heads", "num_attention_heads", "vt_num_attention_heads", "attention_heads")
    return TowerShape(
        hidden, layers, inner, heads, size("patch_size"), size("temporal_patch_size") or 1, out, merge
    )


#: Towers of SigLIP, CLIP and their like: biased attention, two biased MLP matrices, two biased norms.
_GATED = ("qwen2_5", "pixtral", "gemma4", "glm4v", "glm5", "deepseek_v41")


def vision_modules(architecture: ModelArchitecture) -> list[Module]:
    """The vision tower and its projector; empty where the config has none.

    Patches, positions, class tokens and projectors follow each family's own modelling code; families
    not listed get a plain ViT with a two-matrix projector.
    """
    shape = tower_shape(architecture)
    if shape is None:
        return []
    vision = vision_config(architecture)
    kind = str(vision.get("model_type") or "")
    kind = kind or architecture.text("model_type") or architecture.model_type
    layers = tuple(range(shape.layers))
    out = [module.changed(layers=layers) for module in _block(architecture, shape, kind)]
    out += end_modules(_family(architecture, kind), _ends(architecture, shape, vision))
    return [module.changed(name=f"visual.{module.name}", part="vision", place="first") for module in out]


def _family(architecture: ModelArchitecture, kind: str) -> str:
    whole = architecture.text("model_type")
    for start, name in (
        ("qwen2_5", "qwen2_5"),
        ("qwen2", "qwen2"),
        ("qwen3", "qwen3"),
        ("pixtral", "pixtral"),
        ("siglip", "siglip"),
        ("gemma4", "gemma4"),
        ("llama4", "llama4"),
        ("mllama", "mllama"),
        ("clip", "clip"),
        ("glm4v", "glm4v"),
        ("muse", "muse"),
    ):
        if kind.startswith(start) or whole.startswith(start):
            return name
    return "kimi" if "vt_hidden_size" in architecture.part("vision_config") else "plain"


def _block(architecture: ModelArchitecture, shape: TowerShape, kind: str) -> list[Module]:
    """One layer of the tower."""
    family = _family(architecture, kind)
    hidden, inner, heads = shape.hidden, shape.inner, shape.heads
    rms = family in ("qwen2_5", "pixtral", "gemma4", "glm4v")
    attn_bias = family not in ("pixtral", "gemma4", "glm4v", "mllama")
    mlp_bias = family not in ("pixtral", "gemma4", "glm4v")
    gated = family in ("qwen2_5", "pixtral", "gemma4", "glm4v") or kind.startswith(_GATED)
    if family == "glm4v":
        inner = shape.out  # its blocks take the projector's width, the projector the field's
    norms = 4 if family == "gemma4" else 2
    out = [
        matrix("blocks.*.attn.qkv", 3 * hidden, hidden, bias=attn_bias, heads=heads),
        matrix("blocks.*.attn.proj", hidden, hidden, bias=attn_bias, heads=heads, row=True),
        matrix("blocks.*.mlp.up", inner * (2 if gated else 1), hidden, bias=mlp_bias, heads=heads),
        matrix("blocks.*.mlp.down", hidden, inner, bias=mlp_bias, heads=heads, row=True),
        whole("blocks.*.norms", norms * hidden * (1 if rms else 2)),
    ]
    if family == "gemma4" and heads:
        out.append(whole("blocks.*.qk_norms", 2 * hidden // heads))
    return out


def _ends(architecture: ModelArchitecture, shape: TowerShape, vision: Mapping[str, Any]) -> Ends:
    image = vision.get("image_size")
    tiles = (image // shape.patch) ** 2 if isinstance(image, int) and shape.patch else 0
    return Ends(
        hidden=shape.hidden,
        inner=shape.inner,
        heads=shape.heads,
        patch=3 * shape.patch * shape.patch * shape.temporal,
        tiles=tiles,
        merged=shape.hidden * max(1, shape.merge) ** 2,
        out=shape.out,
        text=architecture.hidden_size or 0,
        vision=vision,
    )

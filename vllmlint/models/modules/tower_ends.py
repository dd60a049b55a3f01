"""What a vision tower has before and after its layers: patches, positions, final norms, the projector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vllmlint.models.modules.module import Module
from vllmlint.record import record


@record
class Ends:
    """Sizes at both ends of a tower: `patch` inputs of one patch, `tiles` patches of an image, `merged` the
    width of the patches that are joined to one, `out` what the projector gives, `text` the language model's
    width; `vision` the config."""

    hidden: int
    inner: int
    heads: int
    patch: int
    tiles: int
    merged: int
    out: int
    text: int
    vision: Mapping[str, Any]


def matrix(
    name: str, out: int, into: int, *, bias: bool = False, heads: int = 0, row: bool = False
) -> Module:
    return Module(name, out, into, ("in" if row else "out"), heads, bias=out if bias else 0, role="vision")


def whole(name: str, size: int, into: int = 1) -> Module:
    return Module(name, size, into, role="vision")


def _qwen2(at: Ends) -> list[Module]:
    return [
        whole("patch_embed", at.hidden, at.patch),
        whole("merger.ln_q", 2 * at.hidden),
        matrix("merger.mlp.0", at.merged, at.merged, bias=True),
        matrix("merger.mlp.2", at.out, at.merged, bias=True, row=True),
    ]


def _qwen2_5(at: Ends) -> list[Module]:
    return [
        whole("patch_embed", at.hidden, at.patch),
        whole("merger.ln_q", at.hidden),
        matrix("merger.mlp.0", at.merged, at.merged, bias=True),
        matrix("merger.mlp.2", at.out, at.merged, bias=True, row=True),
    ]


def _qwen3(at: Ends) -> list[Module]:
    deep = at.vision.get("deepstack_visual_indexes")
    extra = len(deep) if isinstance(deep, list | tuple) else 0
    return [
        whole("patch_embed", at.hidden, at.patch + 1),
        whole("pos_embed", at.vision.get("num_position_embeddings") or 0, at.hidden),
        whole("merger.norm", 2 * at.hidden + extra * 2 * at.merged),
        *(matrix(f"merger.{each}.fc1", at.merged, at.merged, bias=True) for each in range(1 + extra)),
        *(matrix(f"merger.{each}.fc2", at.out, at.merged, bias=True, row=True) for each in range(1 + extra)),
    ]


def _pixtral(at: Ends) -> list[Module]:
    return [
        whole("patch_conv", at.hidden, at.patch),
        whole("ln_pre", at.hidden),
        whole("projector.norm", at.hidden),
        whole("projector.patch_merger", at.hidden, max(at.merged, 4 * at.hidden)),
        matrix("projector.linear_1", at.text, at.hidden),
        matrix("projector.linear_2", at.text, at.text, row=True),
    ]


def _siglip(at: Ends) -> list[Module]:
    return [
        whole("patch_embedding", at.hidden, at.patch + 1),
        whole("position_embedding", at.tiles, at.hidden),
        whole("post_layernorm", 2 * at.hidden),
        whole("projector.soft_emb_norm", at.hidden),
        whole("projector.input_projection", at.text, at.hidden),
    ]


def _gemma4(at: Ends) -> list[Module]:
    positions = at.vision.get("position_embedding_size") or 10240
    return [
        whole("patch_embedder", at.hidden, at.patch),
        whole("position_embedding_table", 2 * positions, at.hidden),
        whole("embed_vision.projection", at.text, at.hidden),
    ]


def _kimi(at: Ends) -> list[Module]:
    """A learned grid of 64 by 64 positions; a two-matrix projector after 2 by 2 patches are joined."""
    return [
        whole("patch_embed", at.hidden, at.patch + 1),
        whole("patch_embed.pos_emb", 64 * 64, at.hidden),
        whole("final_layernorm", 2 * at.hidden),
        whole("mm_projector.pre_norm", 2 * at.hidden),
        matrix("mm_projector.linear_1", at.merged, at.merged, bias=True),
        matrix("mm_projector.linear_2", at.text, at.merged, bias=True, row=True),
    ]


def _adapted(at: Ends, *, frames: int, positions: int) -> list[Module]:
    """Llama 4 and Muse: an adapter over 2 by 2 patches, then the language model's width."""
    joined = at.vision.get("projector_input_dim") or 4096
    return [
        whole("patch_embedding", at.hidden, frames * at.patch),
        whole("positions", positions, at.hidden),
        whole("layernorms", 4 * at.hidden),
        matrix("vision_adapter.fc1", joined, 4 * at.hidden),
        matrix("vision_adapter.fc2", joined, joined, row=True),
        whole("projection", at.text, joined),
    ]


def _llama4(at: Ends) -> list[Module]:
    return _adapted(at, frames=1, positions=at.tiles + 2)


def _muse(at: Ends) -> list[Module]:
    return _adapted(at, frames=2, positions=1024)


def _glm4v(at: Ends) -> list[Module]:
    return [
        whole("patch_embed", at.hidden, at.patch + 1),
        whole("embeddings", at.tiles, at.hidden),
        whole("norms", 2 * at.hidden),
        whole("downsample", at.out, at.merged + 1),
        matrix("merger.proj", at.out, at.out),
        whole("merger.norm", 2 * at.out),
        matrix("merger.gate_up", 2 * at.inner, at.out),
        matrix("merger.down", at.out, at.inner, row=True),
    ]


def _plain(at: Ends) -> list[Module]:
    return [
        whole("patch_embed", at.hidden, at.patch + 1),
        whole("positions", at.tiles + 1, at.hidden),
        whole("post_layernorm", 2 * at.hidden),
        matrix("projector.linear_1", at.text, at.merged, bias=True),
        matrix("projector.linear_2", at.text, at.text, bias=True, row=True),
    ]


def _mllama(at: Ends) -> list[Module]:
    """Llama 3.2 Vision: a second, gated stack of global layers, tile positions, one wide projector."""
    hidden, inner, heads, vision = at.hidden, at.inner, at.heads, at.vision
    count = vision.get("num_global_layers") or 8
    width = vision.get("vision_output_dim") or hidden * 6
    most = vision.get("max_num_tiles") or 4
    ratios = 9  # aspect ratios of up to four tiles, and none
    stack = [
        matrix("global.*.attn.qkv", 3 * hidden, hidden, heads=heads),
        matrix("global.*.attn.proj", hidden, hidden, heads=heads, row=True),
        matrix("global.*.mlp.up", inner, hidden, bias=True, heads=heads),
        matrix("global.*.mlp.down", hidden, inner, bias=True, heads=heads, row=True),
        whole("global.*.norms", 4 * hidden + 2),
    ]
    return [
        *(module.changed(layers=tuple(range(count))) for module in stack),
        whole("patch_embedding", hidden, at.patch),
        whole("class_and_norms", 5 * hidden),
        whole("position_embedding", at.tiles + 1, hidden),
        whole("tile_position_embedding", ratios, most * (at.tiles + 1) * hidden),
        whole("tile_embeddings", 2 * ratios, most * hidden),
        Module(
            "multi_modal_projector",
            at.text,
            width,
            bias=at.text,
            role="vision",
        ),
    ]


#: What each family of towers has; others get a plain ViT's ends with a two-matrix projector.
_FAMILIES: Mapping[str, Callable[[Ends], list[Module]]] = {
    "qwen2": _qwen2,
    "qwen2_5": _qwen2_5,
    "qwen3": _qwen3,
    "pixtral": _pixtral,
    "siglip": _siglip,
    "gemma4": _gemma4,
    "kimi": _kimi,
    "llama4": _llama4,
    "muse": _muse,
    "glm4v": _glm4v,
    "mllama": _mllama,
}


def end_modules(family: str, at: Ends) -> list[Module]:
    """Patches, positions, final norms and the projector of a tower."""
    return _FAMILIES.get(family, _plain)(at)

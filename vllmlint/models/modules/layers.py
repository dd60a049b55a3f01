"""Which token mixer and which feed-forward block each layer has, and the layers' modules."""

from __future__ import annotations

from collections.abc import Sequence

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.modules.attention import attention_modules, shape_at
from vllmlint.models.modules.feedforward import block_name, mlp_modules, moe_modules
from vllmlint.models.modules.mla import hyper_connections, mla_modules, v4_modules
from vllmlint.models.modules.module import Module, column, row, vector, whole
from vllmlint.models.modules.norms import layer_norms
from vllmlint.models.modules.recurrent import (
    delta_attention_modules,
    gated_delta_modules,
    lightning_modules,
    mamba1_modules,
    mamba2_modules,
    short_conv_modules,
)

#: How configs call token mixers, in words of one meaning.
_KINDS = {
    "full_attention": "attention",
    "attention": "attention",
    "deepseek_sparse_attention": "attention",
    "indexed_attention": "attention",
    "sliding_attention": "sliding",
    "chunked_attention": "sliding",
    "linear_attention": "linear",
    "mamba": "mamba",
    "mamba2": "mamba",
    "conv": "conv",
    "hybrid": "both",
}
_PATTERN = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}


def layer_count(architecture: ModelArchitecture) -> int:
    """Layers of the text part, MTP layers not counted; 0 where the config does not say."""
    for name in ("num_hidden_layers", "n_layer", "num_layers"):
        if count := architecture.integer(name):
            return count
    pattern = architecture.text("hybrid_override_pattern")
    listed = architecture.per_layer("layers_block_type") or architecture.per_layer("layer_types") or ()
    return len(pattern) or len(listed)


def mixer_kinds(architecture: ModelArchitecture) -> Sequence[str]:
    """What each layer mixes tokens with: `attention`, `sliding`, `cross`, `linear`, `kda`, `lightning`,
    `mamba`, `conv`, `both` (attention beside Mamba), `none`; `mlp` and `moe` where the pattern's layers
    are either a mixer or a feed-forward block."""
    count = layer_count(architecture)
    if pattern := architecture.text("hybrid_override_pattern"):
        return [_PATTERN.get(letter, "none") for letter in pattern]
    if listed := architecture.per_layer("layers_block_type"):
        return [_KINDS.get(str(kind), str(kind)) for kind in listed]
    get = architecture.integer
    if architecture.model_type == "falcon_h1":
        return ["both"] * count
    if listed := architecture.per_layer("layer_types"):
        kinds = [_KINDS.get(str(kind), str(kind)) for kind in listed[:count]]
        if get("linear_num_heads"):
            kinds = ["kda" if kind == "linear" else kind for kind in kinds]
        return kinds
    if listed := architecture.per_layer("hybrid_layer_pattern"):
        return ["sliding" if kind == 1 else "attention" for kind in listed]
    if listed := architecture.per_layer("attn_type_list"):
        return ["attention" if kind == 1 else "lightning" for kind in listed]
    if full := architecture.part("linear_attn_config").get("full_attn_layers"):
        return ["attention" if layer + 1 in full else "kda" for layer in range(count)]
    if (step := get("full_attention_interval")) and get("linear_num_value_heads"):
        return ["attention" if (layer + 1) % step == 0 else "linear" for layer in range(count)]
    if crossed := architecture.per_layer("cross_attention_layers"):
        return ["cross" if layer in crossed else "attention" for layer in range(count)]
    if step := get("attn_layer_period"):
        offset = get("attn_layer_offset") or 0
        return ["attention" if layer % step == offset else "mamba" for layer in range(count)]
    if indices := architecture.per_layer("attn_layer_indices"):
        return ["attention" if layer in indices else "mamba" for layer in range(count)]
    if architecture.model_type in ("mamba", "mamba2"):
        return ["mamba"] * count
    return ["attention"] * count


def feedforward_kinds(architecture: ModelArchitecture) -> Sequence[str]:
    """Each layer's feed-forward block: `dense`, `moe`, `both` (Gemma 4), `none`."""
    count = layer_count(architecture)
    get = architecture.integer
    if architecture.text("hybrid_override_pattern") or architecture.per_layer("layers_block_type"):
        kinds = mixer_kinds(architecture)
        return [{"mlp": "dense", "moe": "moe"}.get(kind, "none") for kind in kinds]
    enabled = architecture.get("enable_moe_block") is not False
    if not architecture.num_experts or not enabled:
        return ["dense"] * count
    if architecture.model_type.startswith("gemma4"):
        return ["both"] * count
    if listed := architecture.per_layer("mlp_layer_types"):
        return ["dense" if kind == "dense" else "moe" for kind in listed[:count]]
    if listed := architecture.per_layer("moe_layer_freq"):
        return ["moe" if kind else "dense" for kind in listed[:count]]
    if step := get("interleave_moe_layer_step"):
        return ["dense" if (layer + 1) % step else "moe" for layer in range(count)]
    if step := get("expert_layer_period"):
        offset = get("expert_layer_offset") or 0
        return ["moe" if layer % step == offset else "dense" for layer in range(count)]
    first = get("first_k_dense_replace") or get("moe_layer_start_index") or get("num_dense_layers") or 0
    step = get("decoder_sparse_step") or get("moe_layer_freq") or 1
    only = architecture.per_layer("mlp_only_layers") or ()
    last = get("moe_layer_end_index")
    return [
        "dense"
        if layer < first
        or (layer + 1) % step
        or layer in only
        or (last is not None and last >= 0 and layer > last)
        else "moe"
        for layer in range(count)
    ]


def layer_modules(architecture: ModelArchitecture) -> list[Module]:
    """The modules of all layers: one entry for those of equal layers."""
    groups: dict[tuple[object, ...], list[int]] = {}
    mixers, blocks = mixer_kinds(architecture), feedforward_kinds(architecture)
    for layer, (mixer, block) in enumerate(zip(mixers, blocks, strict=True)):
        key = (mixer, block, *_distinctions(architecture, layer, mixer))
        groups.setdefault(key, []).append(layer)
    modules: list[Module] = []
    for layers in groups.values():
        each = one_layer(architecture, layers[0], mixers[layers[0]], blocks[layers[0]])
        modules += [module.in_layers(layers) for module in each]
    return modules


def _distinctions(architecture: ModelArchitecture, layer: int, mixer: str) -> tuple[object, ...]:
    """What else sets a layer apart from others with the same kinds of blocks."""
    shape = shape_at(architecture, layer, mixer) if mixer in ("attention", "sliding") else None
    lists = ("compress_ratios", "indexer_types", "intermediate_size", "block_configs")
    found: list[object] = [shape]
    for name in lists:
        values = architecture.per_layer(name)
        found.append(repr(values[layer]) if values is not None and layer < len(values) else None)
    found.append(layer < (architecture.integer("num_hash_layers") or 0))
    return tuple(found)


def one_layer(architecture: ModelArchitecture, layer: int, mixer: str, block: str) -> list[Module]:
    """The modules of one layer with its kinds of mixer and feed-forward block."""
    blocks = architecture.per_layer("block_configs")
    if blocks is not None:
        return _searched_layer(architecture, blocks[layer])
    if architecture.model_type == "longcat_flash":
        return _longcat_layer(architecture, layer)
    out = _mixer(architecture, layer, mixer)
    if block in ("dense", "both"):
        out += _dense(architecture, layer)
    if block in ("moe", "both"):
        out += moe_modules(architecture)
        if layer < (architecture.integer("num_hash_layers") or 0):
            table = (architecture.integer("vocab_size") or 0) * (
                architecture.integer("num_experts_per_tok") or 0
            )
            # an int64 table of the experts of every token id; not counted among parameters
            out.append(Module("ffn.gate.tid2eid", table, 1, role="never", dtype_bytes=8, extra=True))
    return out + hyper_connections(architecture) + layer_norms(architecture, mixer, block)


def _mixer(architecture: ModelArchitecture, layer: int, mixer: str) -> list[Module]:
    name = "mixer" if architecture.model_type == "nemotron_h" else "self_attn"
    if mixer in ("attention", "sliding", "cross", "both"):
        if architecture.is_mla:
            return mla_modules(architecture, layer)
        if architecture.integer("o_groups"):
            return v4_modules(architecture, layer)
        shape = shape_at(architecture, layer, mixer)
        if shape is None:
            return []
        out = attention_modules(architecture, shape, name="cross_attn" if mixer == "cross" else name)
        if mixer == "cross":
            out += [vector(f"cross_attn.{which}_norm", shape.key_dim) for which in "qk"]
            out.append(vector("cross_attn_gates", 2))
        if mixer == "both":
            out += mamba2_modules(architecture)
        return out
    if mixer == "linear":
        return gated_delta_modules(architecture)
    if mixer == "kda":
        return delta_attention_modules(architecture)
    if mixer == "lightning":
        return lightning_modules(architecture)
    if mixer == "conv":
        return short_conv_modules(architecture)
    if mixer == "mamba":
        first = architecture.model_type in ("jamba", "mamba", "falcon_mamba")
        mamba = mamba1_modules if first else mamba2_modules
        return mamba(architecture, name="mixer" if name == "mixer" else "mamba")
    return []


def _dense(architecture: ModelArchitecture, layer: int) -> list[Module]:
    get = architecture.integer
    name = "mixer" if architecture.model_type == "nemotron_h" else "mlp"
    if architecture.model_type.startswith(("llama4", "lfm2")):
        name = block_name(architecture)
    if architecture.model_type == "granitemoehybrid":
        return mlp_modules(architecture, get("shared_intermediate_size") or 0, name="shared_mlp")
    listed = architecture.per_layer("intermediate_size")
    if listed is not None:
        width = listed[layer]
    else:
        names = (
            "intermediate_size_mlp",
            "dense_intermediate_size",
            "intermediate_size",
            "ffn_dim",
            "n_inner",
        )
        width = next((size for each in names if (size := get(each))), 0)
        if not width and architecture.model_type in ("gpt2", "falcon", "bloom"):
            width = 4 * (architecture.hidden_size or 0)
    shared = get("num_kv_shared_layers") or 0
    if architecture.flag("use_double_wide_mlp") and shared and layer >= layer_count(architecture) - shared:
        width *= 2
    return mlp_modules(architecture, width, name=name)


def _searched_layer(architecture: ModelArchitecture, config: object) -> list[Module]:
    """A layer of a Nemotron NAS model: either block may be missing, with its norm."""
    hidden, dim = architecture.hidden_size or 0, architecture.head_dim or 0
    heads = architecture.num_attention_heads or 0
    parts = config if isinstance(config, dict) else {}
    attention, ffn = parts.get("attention") or {}, parts.get("ffn") or {}
    out: list[Module] = []
    group = attention.get("n_heads_in_group")
    if attention.get("replace_with_linear"):
        out += [whole("self_attn.linear_attn", hidden, hidden), vector("input_layernorm", hidden)]
    elif group and not attention.get("no_op"):
        kv_heads = heads // group
        out += [
            column("self_attn.q_proj", heads * dim, hidden, units=heads),
            column("self_attn.k_proj", kv_heads * dim, hidden, units=kv_heads),
            column("self_attn.v_proj", kv_heads * dim, hidden, units=kv_heads),
            row("self_attn.o_proj", hidden, heads * dim, units=heads),
            vector("input_layernorm", hidden),
        ]
    mult = ffn.get("ffn_mult")
    if mult and not ffn.get("no_op"):
        # two thirds of the multiple, up to a multiple of 256 (`_find_multiple` of the model's own code)
        width = -(-int(2 * mult * hidden / 3) // 256) * 256
        out += [*mlp_modules(architecture, width), vector("post_attention_layernorm", hidden)]
    return out


def _longcat_layer(architecture: ModelArchitecture, layer: int) -> list[Module]:
    """A LongCat layer: two attentions, two dense MLPs and a mixture of experts beside them."""
    hidden = architecture.hidden_size or 0
    width = architecture.integer("ffn_hidden_size") or 0
    out: list[Module] = []
    for half in (0, 1):
        out += mla_modules(architecture, layer, name=f"self_attn.{half}")
        out += mlp_modules(architecture, width, name=f"mlps.{half}")
        out += [
            vector(f"input_layernorm.{half}", hidden),
            vector(f"post_attention_layernorm.{half}", hidden),
        ]
    return out + moe_modules(architecture)

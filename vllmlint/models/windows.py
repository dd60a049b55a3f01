"""Which layers have attention, and which of them see only a window.

Source: the model classes of vLLM 0.33.0. Where a config.json leaves `layer_types` out, the rule of its family
has filled it in (`models/layer_types.py`).
"""

from __future__ import annotations

from vllmlint.models.architecture import ModelArchitecture

#: Values of `layer_types` and `layers_block_type` that name attention over keys and values.
ATTENTION_TYPES = frozenset(
    {
        "attention",
        "full_attention",
        "sliding_attention",
        "chunked_attention",
        "indexed_attention",
        "hybrid",
        "global",
        "local",
    }
)
#: Values that name a recurrent state.
STATE_TYPES = frozenset({"mamba", "linear_attention", "conv", "recurrent", "kda"})
#: `hybrid_override_pattern` of Nemotron-H: Mamba-2, attention, MLP, experts.
NEMOTRON_LETTERS = {"M": "state", "*": "attention", "-": "none", "E": "none"}
#: Families whose layers all see everything, whatever window the config has. Mistral 3 and 4, Phi-3 and
#: Mixtral follow `sliding_window` as it is.
WINDOWLESS = ("Cohere", "Llama4")


def mixer_kinds(architecture: ModelArchitecture, count: int) -> list[str] | None:
    """What mixes tokens in each layer: `attention`, `state`, `both` or `none`; None: cannot be told."""
    letters = architecture.text("hybrid_override_pattern")
    if letters:
        if len(letters) < count or not set(letters) <= set(NEMOTRON_LETTERS):
            return None
        return [NEMOTRON_LETTERS[letter] for letter in letters[:count]]
    blocks = architecture.per_layer("block_configs")
    if blocks is not None:
        return ["none" if block["attention"]["no_op"] else "attention" for block in blocks[:count]]
    if architecture.class_name == "FalconH1ForCausalLM":
        return ["both"] * count
    return (
        _listed_kinds(architecture, count)
        or _indexed_kinds(architecture, count)
        or _periodic_kinds(architecture, count)
        or ["attention"] * count
    )


def _listed_kinds(architecture: ModelArchitecture, count: int) -> list[str] | None:
    """From a list with one entry a layer."""
    listed = architecture.per_layer("layers_block_type") or architecture.per_layer("layer_types")
    if listed is not None and len(listed) >= count and any(kind in STATE_TYPES for kind in listed):
        return ["state" if kind in STATE_TYPES else "attention" for kind in listed[:count]]
    decided = architecture.per_layer("attn_type_list")
    if decided is not None:
        return ["attention" if kind else "state" for kind in decided[:count]]
    return None


def _indexed_kinds(architecture: ModelArchitecture, count: int) -> list[str] | None:
    """From a list of the layers that have attention, or that have not."""
    full = architecture.part("linear_attn_config").get("full_attn_layers")
    if full is not None:  # Kimi-Linear counts its layers from 1.
        return ["attention" if index + 1 in full else "state" for index in range(count)]
    for name in ("attn_layer_indices", "full_attn_idxs"):
        indices = architecture.per_layer(name)
        if indices is not None:
            return ["attention" if index in indices else "state" for index in range(count)]
    return None


def _periodic_kinds(architecture: ModelArchitecture, count: int) -> list[str] | None:
    """From a period: Jamba's, or the interval of Qwen3-Next."""
    period, offset = architecture.integer("attn_layer_period"), architecture.integer("attn_layer_offset")
    if period and offset is not None:
        return ["attention" if index % period == offset else "state" for index in range(count)]
    interval = architecture.integer("full_attention_interval")
    if interval and architecture.integer("linear_num_value_heads"):
        return ["state" if (index + 1) % interval else "attention" for index in range(count)]
    return None


def layer_windows(architecture: ModelArchitecture, count: int) -> list[int | None]:
    """The sliding window of every layer in tokens; None for a layer that sees everything."""
    hybrid = architecture.per_layer("hybrid_layer_pattern")
    if hybrid is not None:  # MiMo-V2: 1 is a window layer
        window = architecture.integer("sliding_window_size") or architecture.integer("sliding_window")
        return [window if index < len(hybrid) and hybrid[index] == 1 else None for index in range(count)]
    window = architecture.integer("sliding_window")
    if not window or architecture.get("use_sliding_window") is False:
        return [None] * count
    types = _layer_types(architecture, count)
    if types is not None:
        return [window if slides else None for slides in types]
    if architecture.class_name.startswith(WINDOWLESS):
        return [None] * count
    return [window] * count


def _layer_types(architecture: ModelArchitecture, count: int) -> list[bool] | None:
    """Whether each layer slides; None: nothing says that the family mixes."""
    listed = architecture.per_layer("layer_types")
    if listed is None or len(listed) < count:
        return None
    return [kind == "sliding_attention" for kind in listed[:count]]

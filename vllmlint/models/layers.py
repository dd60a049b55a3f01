"""What each layer of a model keeps in the KV cache: attention of which kind, or a recurrent state.

The widths are those of the whole model; what one rank holds is worked out in `vllmlint.memory.kv_specs`.
Sources: vllm-memory.md 1.2, 3.1 and 3.5, and the model classes of vLLM 0.11.2 to 0.33.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.states import State, state_of
from vllmlint.record import record, replace

#: `full`, `sliding` and `chunked` keep keys and values a head, `mla` one latent vector a token, `indexer`
#: the keys of a sparse indexer, `state` a recurrent state; the `v4_` kinds are DeepSeek-V4's caches.
LayerKind = Literal[
    "full",
    "sliding",
    "chunked",
    "mla",
    "indexer",
    "state",
    "v4_window",
    "v4_latent",
    "v4_indexer",
    "v4_state",
]

#: Families that only encode: no layer keeps anything between steps.
ENCODER_CLASSES = frozenset(
    {
        "BertModel",
        "BertForSequenceClassification",
        "RobertaModel",
        "RobertaForSequenceClassification",
        "XLMRobertaModel",
        "XLMRobertaForSequenceClassification",
        "ModernBertForMaskedLM",
        "ModernBertModel",
        "ModernBertForSequenceClassification",
        "NomicBertModel",
        "GteModel",
        "GteNewModel",
    }
)
#: Families whose caches are laid out by rules that are not written down here (vllm-memory.md 6).
UNKNOWN_CLASSES = frozenset(
    {
        "DeepseekV41ForCausalLM",
        "Glm5NextForConditionalGeneration",
        "KimiK3ForConditionalGeneration",
        "MiniMaxM3ForCausalLM",
        "MiniMaxM3SparseForConditionalGeneration",
        "MllamaForConditionalGeneration",
        "Qwen4ExpForCausalLM",
        "Qwen4ExpForConditionalGeneration",
        "WhisperForConditionalGeneration",
    }
)
#: Families whose layers mix kinds, by what their config says of it: without it, nothing can be told.
MIXED_BY_CONFIG = {
    "Gemma4": "layer_types",
    "NemotronH": "hybrid_override_pattern",
    "Llama4": "attention_chunk_size",
    "GraniteMoeHybrid": "layer_types",
    "Lfm2": "layer_types",
}
#: LongCat-Flash has two attention blocks a layer (vLLM `longcat_flash.py`).
TWO_ATTENTIONS = "LongcatFlash"
#: DeepSeek-V4 compresses one token in four (with an indexer) or one in 128 (vllm-memory.md 3.6).
V4_INDEXED_RATIO = 4


#: What tells layers apart whose caches differ.
LayerShape: TypeAlias = tuple[Any, ...]


@record
class CacheLayer:
    """One cache of one layer. A layer with none (shared KV, MLP only) is left out.

    `index` is the decoder layer it sits in, for pipeline stages. `num_kv_heads`, `head_size` and
    `head_size_v` are those of the whole model (an MLA or indexer cache has one head and no values);
    `window` is the sliding window or the chunk in tokens; `sinks`: whether attention has sinks;
    `compress_ratio`: tokens a stored entry covers.
    """

    index: int
    kind: LayerKind
    num_kv_heads: int = 1
    head_size: int = 0
    head_size_v: int = 0
    window: int | None = None
    sinks: bool = False
    compress_ratio: int = 1
    state: State | None = None

    @property
    def shape(self) -> LayerShape:
        """What decides the cache, its place left out: layers of one shape have one spec."""
        return (
            self.kind,
            self.num_kv_heads,
            self.head_size,
            self.head_size_v,
            self.window,
            self.sinks,
            self.compress_ratio,
            id(self.state) if self.state is not None else None,
        )

    def at(self, index: int) -> CacheLayer:
        """The same cache in another decoder layer."""
        return replace(self, index=index)


@record
class UnknownLayers:
    """Which caches the layers keep cannot be told; `reason` says why."""

    reason: str


@lru_cache(maxsize=64)
def cache_layers(
    architecture: ModelArchitecture, window_is_inclusive: bool = False
) -> tuple[CacheLayer, ...] | UnknownLayers:
    """The caches of every decoder layer, in vLLM's order; MTP and draft layers are not among them.

    `window_is_inclusive`: Cohere's window counts the token itself besides its `sliding_window`
    predecessors, as 0.33.0 reads it (vllm-memory.md 3.4).
    """
    name = architecture.class_name
    if name in ENCODER_CLASSES:
        return ()
    if name in UNKNOWN_CLASSES:
        return UnknownLayers(f"the cache layout of {name} is not known")
    count = architecture.num_hidden_layers
    if count is None or not architecture.num_attention_heads:
        return UnknownLayers("the config does not say how many layers and attention heads there are")
    missing = next((field for prefix, field in MIXED_BY_CONFIG.items() if name.startswith(prefix)), None)
    if missing is not None and architecture.get(missing) is None and not _other_pattern(architecture):
        return UnknownLayers(f"the config lacks {missing}")
    if architecture.per_layer("compress_ratios") is not None:
        return _v4_layers(architecture, count)
    kinds = _mixer_kinds(architecture, count)
    if isinstance(kinds, UnknownLayers):
        return kinds
    return _layers(architecture, kinds, window_is_inclusive)


def _layers(
    architecture: ModelArchitecture, kinds: Sequence[str], window_is_inclusive: bool
) -> tuple[CacheLayer, ...] | UnknownLayers:
    layers: list[CacheLayer] = []
    state = state_of(architecture) if any(kind in ("state", "both") for kind in kinds) else None
    shared_from = len(kinds) - (architecture.integer("num_kv_shared_layers") or 0)
    windows = _windows(architecture, kinds)
    for index, kind in enumerate(kinds):
        # Falcon-H1 has attention and a state side by side in every layer.
        if kind in ("attention", "both") and index < shared_from:
            found = _attention(architecture, index, windows[index], window_is_inclusive)
            if isinstance(found, UnknownLayers):
                return found
            layers.extend(found)
        if kind in ("state", "both"):
            if state is None:
                return UnknownLayers("the config lacks the sizes of the recurrent state")
            layers.append(CacheLayer(index, "state", state=state))
    return tuple(layers)


def _attention(
    architecture: ModelArchitecture, index: int, window: int | None, window_is_inclusive: bool
) -> tuple[CacheLayer, ...] | UnknownLayers:
    if architecture.is_mla:
        return _latent(architecture, index)
    chunk = _chunk(architecture, index)
    heads, width, width_v = _heads(architecture, index, window)
    if not heads or not width or _width_is_a_guess(architecture):
        return UnknownLayers("the config does not say how wide the attention heads are")
    sinks = architecture.class_name == "GptOssForCausalLM" or (
        window is not None and architecture.flag("add_swa_attention_sink_bias")
    )
    if chunk is not None:
        return (CacheLayer(index, "chunked", heads, width, width_v, chunk),)
    if window is None:
        return (CacheLayer(index, "full", heads, width, width_v, sinks=sinks),)
    if window_is_inclusive and architecture.class_name.startswith("Cohere2"):
        window += 1
    return (CacheLayer(index, "sliding", heads, width, width_v, window, sinks),)


def _latent(architecture: ModelArchitecture, index: int) -> tuple[CacheLayer, ...] | UnknownLayers:
    """Multi-head latent attention, with the keys of its sparse indexer where it has one."""
    rank, rope = architecture.integer("kv_lora_rank"), architecture.integer("qk_rope_head_dim")
    if rank is None or rope is None:
        return UnknownLayers("the config does not say how wide the latent vector is")
    latent = CacheLayer(index, "mla", 1, rank + rope)
    if architecture.class_name.startswith(TWO_ATTENTIONS):
        return (latent, latent)
    if architecture.integer("index_topk") is None:
        return (latent,)
    indexers = architecture.per_layer("indexer_types")
    if indexers is not None and indexers[index] != "full":
        return (latent,)
    width = architecture.integer("index_head_dim")
    if width is None:
        return UnknownLayers("the config does not say how wide the indexer's keys are")
    return (CacheLayer(index, "indexer", 1, width), latent)


def _other_pattern(architecture: ModelArchitecture) -> bool:
    """Whether the config says by another field which layers are of which kind."""
    return any(
        architecture.get(name) is not None
        for name in ("layers_block_type", "full_attn_idxs", "sliding_window", "no_rope_layers")
    )


def _width_is_a_guess(architecture: ModelArchitecture) -> bool:
    """Whether the heads' width was derived from a hidden size that the heads do not divide."""
    derived = (
        architecture.text("head_dim_source").startswith("derived") or architecture.get("head_dim") is None
    )
    hidden, heads = architecture.hidden_size, architecture.num_attention_heads
    return derived and hidden is not None and bool(heads) and hidden % (heads or 1) != 0


def _heads(architecture: ModelArchitecture, index: int, window: int | None) -> tuple[int, int, int]:
    """KV heads, width of keys and width of values of an attention layer; 0 where not known."""
    heads = architecture.num_key_value_heads or 0
    width = architecture.head_dim or 0
    blocks = architecture.per_layer("block_configs")
    if blocks is not None:
        group = blocks[index]["attention"]["n_heads_in_group"]
        return (architecture.num_attention_heads or 0) // group, width, width
    if architecture.class_name.startswith("Gemma4") and window is None:
        # Full-attention layers of Gemma-4 have heads of their own; a null means those of the others.
        width = architecture.integer("global_head_dim") or width
        if architecture.flag("attention_k_eq_v"):
            heads = architecture.integer("num_global_key_value_heads") or heads
        return heads, width, width
    if architecture.class_name.startswith("MiMoV2"):
        if window is not None:
            heads = architecture.integer("swa_num_key_value_heads") or heads
            width = architecture.integer("swa_head_dim") or width
            return heads, width, architecture.integer("swa_v_head_dim") or width
        return heads, width, architecture.integer("v_head_dim") or width
    return heads, width, width


def _chunk(architecture: ModelArchitecture, index: int) -> int | None:
    """Tokens of a local attention chunk of Llama 4; its layers without rotary embedding see everything."""
    chunk = architecture.integer("attention_chunk_size")
    if chunk is None or not architecture.class_name.startswith("Llama4"):
        return None
    rotary = architecture.per_layer("no_rope_layers")
    if rotary:
        return chunk if rotary[index] else None
    interval = architecture.integer("no_rope_layer_interval") or 4
    return chunk if (index + 1) % interval else None


def _windows(architecture: ModelArchitecture, kinds: Sequence[str]) -> list[int | None]:
    """The sliding window of every layer; None for a layer that sees everything."""
    from vllmlint.models.windows import layer_windows

    return layer_windows(architecture, len(kinds))


def _mixer_kinds(architecture: ModelArchitecture, count: int) -> list[str] | UnknownLayers:
    """What mixes tokens in each layer: `attention`, `state`, `both` or `none`."""
    from vllmlint.models.windows import mixer_kinds

    kinds = mixer_kinds(architecture, count)
    if kinds is None:
        return UnknownLayers("the config does not say which layers have attention")
    return kinds


def _v4_layers(architecture: ModelArchitecture, count: int) -> tuple[CacheLayer, ...] | UnknownLayers:
    """DeepSeek-V4: a window cache everywhere, compressed caches and compressor states in some layers.

    The order is that of construction in vLLM 0.33.0 (vllm-memory.md 3.6).
    """
    width, window = architecture.head_dim, architecture.integer("sliding_window")
    index_width = architecture.integer("index_head_dim")
    ratios = architecture.per_layer("compress_ratios")
    if not width or not window or not index_width or ratios is None or len(ratios) < count:
        return UnknownLayers("the config lacks sizes of the compressed caches")
    layers: list[CacheLayer] = []
    for index in range(count):
        ratio = ratios[index]
        layers.append(CacheLayer(index, "v4_window", 1, width, window=window))
        if ratio <= 1:
            continue
        indexed = ratio == V4_INDEXED_RATIO
        overlap = 2 if indexed else 1
        layers.append(CacheLayer(index, "v4_latent", 1, width, compress_ratio=ratio))
        layers.append(_v4_state(index, width, overlap, ratio))
        if indexed:
            layers.append(CacheLayer(index, "v4_indexer", 1, index_width, compress_ratio=ratio))
            layers.append(_v4_state(index, index_width, overlap, ratio))
    return tuple(layers)


def _v4_state(index: int, width: int, overlap: int, ratio: int) -> CacheLayer:
    """A compressor's running keys and scores (hence the 2), kept for `overlap` compression steps."""
    return CacheLayer(index, "v4_state", 1, 2 * overlap * width, window=overlap * ratio, compress_ratio=ratio)

"""A resolved configuration to the cache of every layer on a rank: backends, block size, specs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import lcm

from vllmlint.engine.attention import PLAIN, AttentionQuery, Backend, NoBackend, choose_backend, named_backend
from vllmlint.engine.config import EngineConfig, Refusal
from vllmlint.memory.kv_dtype import (
    V4_PACKED_BYTES,
    cache_dtype,
    head_bytes,
    indexer_bytes,
    latent_bytes,
)
from vllmlint.memory.kv_groups import Specs
from vllmlint.memory.kv_spec import CacheSpec, round_up
from vllmlint.memory.kv_state import (
    aligned_block_size,
    refused_state,
    state_bytes,
    states_per_request,
)
from vllmlint.models.layers import CacheLayer, LayerShape
from vllmlint.record import record

#: Tokens a block holds unless a backend or a state asks for more (0.33.0 `CacheConfig.DEFAULT_BLOCK_SIZE`).
DEFAULT_BLOCK_SIZE = 16
#: DeepSeek-V4: tokens a block of its compressed caches and of its window cache holds (vllm-memory.md 3.6).
V4_BLOCK_SIZE, V4_WINDOW_BLOCK_SIZE = 256, 64
#: Tokens a block of compressor states holds, by compression ratio (0.33.0 `deepseek_v4/compressor.py`).
V4_STATE_BLOCK_SIZES = {4: 4, 128: 8}
#: FlashMLA's packed pages are a multiple of this (its TMA stride), in bytes.
V4_PAGE_ALIGNMENT = 576
#: Models whose images attend to themselves in both directions (0.33.0 `model_arch_config_convertor.py`).
PREFIX_LM_TYPES = frozenset({"bagel", "gemma3", "molmo2", "moondream3", "paligemma"})
INDEXER_BACKEND = Backend("DEEPSEEK_V32_INDEXER", (64,), multiples=False)


@record
class CachePlan:
    """The caches of one rank: a spec for every cache layer, the block size in force, the backends."""

    specs: Specs
    block_size: int
    backends: tuple[str, ...]
    packed_layout: bool = False


def plan_specs(
    config: EngineConfig, layers: tuple[CacheLayer, ...], stages: Sequence[frozenset[int]]
) -> CachePlan | Refusal:
    """The cache of every layer, by its place in `layers`; a refusal where no backend takes a layer.

    `stages`: the places each pipeline stage owns. Since 0.20 every stage's worker sizes its own blocks.
    """
    if any(layer.kind == "v4_window" for layer in layers):
        return _v4_plan(config, layers)
    whole = [frozenset(range(len(layers)))]
    specs: Specs = {}
    plans = []
    for owned in stages if config.release.at_least("0.20.0") else whole:
        plan = _stage_plan(config, {at: layer for at, layer in enumerate(layers) if at in owned})
        if isinstance(plan, Refusal):
            return plan
        plans.append(plan)
        specs.update(plan.specs)
    ordered = {at: specs[at] for at in sorted(specs)}
    names = tuple(dict.fromkeys(name for plan in plans for name in plan.backends))
    return CachePlan(ordered, max((plan.block_size for plan in plans), default=DEFAULT_BLOCK_SIZE), names)


def _stage_plan(config: EngineConfig, layers: dict[int, CacheLayer]) -> CachePlan | Refusal:
    """The caches of the layers that one worker owns."""
    shapes = {at: layer.shape for at, layer in layers.items()}
    distinct = {shape: layers[at] for at, shape in shapes.items()}
    chosen: dict[LayerShape, Backend] = {}
    for shape, layer in distinct.items():
        if layer.state is not None:
            refused = refused_state(config, layer.state)
            if refused is not None:
                return refused
            continue
        backend = layer_backend(config, layer)
        if isinstance(backend, Refusal):
            return backend
        chosen[shape] = backend
    backends = list({backend.name: backend for backend in chosen.values()}.values())
    block_size = _raised_for_states(config, distinct.values(), backends, _block_size(config, backends))
    specs: dict[LayerShape, CacheSpec] = {}
    for shape, layer in distinct.items():
        spec = _spec(config, layer, chosen.get(shape), block_size, bool(backends))
        if spec.padded_page_bytes is not None and spec.padded_page_bytes < spec.plain_page_bytes:
            message = "AssertionError: page_size_padded is below the page of the state"
            return Refusal("state-exceeds-page", message, "groups", ("speculative_config",))
        specs[shape] = spec
    names = tuple(backend.name for backend in backends)
    return CachePlan({at: specs[shape] for at, shape in shapes.items()}, block_size, names)


def layer_backend(config: EngineConfig, layer: CacheLayer) -> Backend | Refusal:
    """The attention backend of one layer."""
    if layer.kind == "indexer":
        return INDEXER_BACKEND
    asked = asked_backend(config)
    if asked:
        named = named_backend(
            asked, _query(config, layer), config.release, config.gpu.compute_capability or (9, 0)
        )
        if isinstance(named, str):
            message = f"Selected backend {asked} is not valid for this configuration. Reason: ['{named}']"
            return Refusal("attention-backend-invalid", message, "model", ("attention_backend",))
        if named is not None:
            return _fp8_on_triton(config, named) or named
    forced = _forced_backend(config, layer)
    if forced is not None:
        return _fp8_on_triton(config, forced) or forced
    chosen = choose_backend(_query(config, layer), config.release, config.gpu.compute_capability or (9, 0))
    if isinstance(chosen, NoBackend):
        reasons = ", ".join(f"{name}: [{reason}]" for name, reason in chosen.reasons)
        message = f"No valid attention backend found for cuda. Reasons: {{{reasons}}}."
        return Refusal("no-attention-backend", message, "model", ("kv_cache_dtype", "block_size"))
    return _fp8_on_triton(config, chosen) or chosen


def asked_backend(config: EngineConfig) -> str:
    """The backend that the command line (`--attention-backend`, `--attention-config`) or the older
    VLLM_ATTENTION_BACKEND names; empty where vLLM chooses."""
    settings = config.request.settings
    inner = settings.get("attention_config")
    asked = settings.get("attention_backend") or (inner.get("backend") if isinstance(inner, dict) else None)
    asked = asked or config.request.env.get("VLLM_ATTENTION_BACKEND")
    name = str(asked or "").upper().removesuffix("_VLLM_V1")
    return "" if name == "AUTO" else name


def _fp8_on_triton(config: EngineConfig, backend: Backend) -> Refusal | None:
    """Triton has no native fp8 before compute capability 8.9; said since 0.24 (vllm-memory.md 3.1)."""
    capability = config.gpu.compute_capability or (9, 0)
    kinds = {"TRITON_MLA": "MLA", "TRITON_ATTN": "attention", "TRITON_ATTN_DIFFKV": "attention"}
    kind = kinds.get(backend.name)
    fp8 = cache_dtype(config).startswith("fp8")
    if kind is None or not fp8 or capability >= (8, 9) or not config.release.at_least("0.24.0"):
        return None
    message = (
        f"FP8 KV cache is not supported by the Triton {kind} backend on compute capability "
        f"{capability[0]}.{capability[1]}; native FP8 (fp8e4nv) requires SM89+."
    )
    return Refusal("fp8-cache-unsupported", message, "model", ("kv_cache_dtype",))


def _forced_backend(config: EngineConfig, layer: CacheLayer) -> Backend | None:
    """Families that name their backend: values narrower than keys, and Gemma-4 where FA4 is missing."""
    capability = config.gpu.compute_capability or (9, 0)
    if layer.head_size_v not in (0, layer.head_size) and config.release.at_least("0.17.0"):
        flash = capability[0] in (9, 10) if config.release.at_least("0.24.0") else True
        return Backend("FLASH_ATTN_DIFFKV" if flash else "TRITON_ATTN_DIFFKV")
    architecture = config.architecture
    widths = {architecture.head_dim, architecture.integer("global_head_dim")} - {None}
    flash4 = config.release.at_least("0.24.0") and capability[0] in (9, 10)
    if architecture.class_name.startswith("Gemma4") and len(widths) > 1 and not flash4:
        return Backend("TRITON_ATTN")
    return None


def _query(config: EngineConfig, layer: CacheLayer) -> AttentionQuery:
    architecture = config.architecture
    heads = architecture.num_attention_heads or 1
    latent = layer.kind == "mla"
    widest = max(architecture.head_dim or 0, architecture.integer("global_head_dim") or 0)
    return AttentionQuery(
        head_size=layer.head_size,
        kv_cache_dtype=cache_dtype(config),
        block_size=config.user_block_size,
        dtype=config.dtype,
        mla=latent,
        sparse=latent and architecture.integer("index_topk") is not None,
        sinks=layer.sinks,
        prefix_lm=_attends_in_images(config),
        heads_per_rank=max(1, heads // config.tensor_parallel_size),
        kv_heads_per_rank=max(1, layer.num_kv_heads // config.tensor_parallel_size),
        model_head_size=layer.head_size if latent else widest,
        nope_width=architecture.integer("qk_nope_head_dim"),
        rope_width=architecture.integer("qk_rope_head_dim"),
        index_topk=architecture.integer("index_topk"),
        dcp=config.decode_context_parallel_size,
        hybrid_float32=config.is_hybrid and config.mamba_ssm_cache_dtype == "float32",
        soft_cap=bool(architecture.number("attn_logit_softcapping")),
    )


def _attends_in_images(config: EngineConfig) -> bool:
    """Whether images attend to themselves in both directions (`is_mm_prefix_lm`, 0.13 on)."""
    architecture = config.architecture
    served_as_text = config.request.settings.get("language_model_only") is True
    return (
        config.release.at_least("0.13.0")
        and architecture.class_name.endswith("ForConditionalGeneration")
        and architecture.text("model_type") in PREFIX_LM_TYPES
        and not served_as_text
    )


def _block_size(config: EngineConfig, backends: list[Backend]) -> int:
    """The attention block in tokens, before states raise it (vllm-memory.md 3.2)."""
    given = config.user_block_size
    if not config.release.at_least("0.18.0"):
        return _early_block_size(config, given or DEFAULT_BLOCK_SIZE)
    if given is not None:
        return given
    if not backends:
        return DEFAULT_BLOCK_SIZE
    if len(backends) == 1:
        return backends[0].preferred(DEFAULT_BLOCK_SIZE)
    if all(backend.takes(DEFAULT_BLOCK_SIZE) for backend in backends):
        return DEFAULT_BLOCK_SIZE
    sizes = {1}
    for backend in backends:
        sizes = {lcm(one, other) for one in sizes for other in backend.sizes}
    return min(size for size in sizes if all(backend.takes(size) for backend in backends))


def _early_block_size(config: EngineConfig, block_size: int) -> int:
    """0.8 to 0.17: what the platform makes of the block size of latent attention."""
    if not config.architecture.is_mla:
        return block_size
    capability = config.gpu.compute_capability or (9, 0)
    sparse = config.architecture.integer("index_topk") is not None
    if capability[0] == 10 and (not sparse or not config.release.at_least("0.12.0")):
        wide = config.architecture.integer("qk_nope_head_dim") == 128
        if config.release.at_least("0.16.0") and wide:  # FlashInfer's kernel, else CUTLASS's
            block_size = block_size if block_size == 32 or block_size % 64 == 0 else 64
        elif config.release.at_least("0.10.0"):
            block_size = block_size if block_size % 128 == 0 else 128
    elif capability[0] == 9:
        block_size = block_size if block_size % 64 == 0 else 64
    return 64 if sparse else block_size


def _raised_for_states(
    config: EngineConfig, layers: Collection[CacheLayer], backends: list[Backend], block_size: int
) -> int:
    """Hybrid models: the block grows until its page holds a state."""
    states = [layer.state for layer in layers if layer.state is not None]
    attention = next((layer for layer in layers if layer.kind in ("full", "sliding", "mla")), None)
    if not states or attention is None or not backends:
        return block_size
    if not config.release.at_least("0.20.0"):
        block_size = config.user_block_size or DEFAULT_BLOCK_SIZE
        raised = aligned_block_size(
            config, states[0], backends[0], block_size, _token_bytes(config, attention)
        )
        return _early_block_size(config, raised)
    return aligned_block_size(config, states[0], backends[0], block_size, _token_bytes(config, attention))


def _token_bytes(config: EngineConfig, layer: CacheLayer) -> int:
    """What attention stores a token and layer on one rank."""
    dtype = cache_dtype(config)
    if layer.kind == "mla":
        return latent_bytes(layer.head_size, _latent_dtype(config, dtype), config.dtype)
    if layer.kind == "indexer":
        return indexer_bytes(layer.head_size)
    heads = max(1, layer.num_kv_heads // config.tensor_parallel_size)
    values = layer.head_size_v
    if values != layer.head_size and not config.release.at_least("0.16.0"):
        values = layer.head_size  # padded to the keys' width
    return heads * head_bytes(layer.head_size, values, dtype, config.dtype)


def _latent_dtype(config: EngineConfig, dtype: str) -> str:
    """FlashMLA's sparse kernel stores fp8 in a layout of its own."""
    sparse = config.architecture.integer("index_topk") is not None
    capability = config.gpu.compute_capability or (9, 0)
    packs = capability[0] == 9 or not config.release.at_least("0.18.0")
    return "fp8_ds_mla" if sparse and dtype == "fp8" and packs else dtype


def _spec(
    config: EngineConfig, layer: CacheLayer, backend: Backend | None, block_size: int, has_attention: bool
) -> CacheSpec:
    if layer.state is not None:
        return _state_spec(config, layer, block_size, has_attention)
    entry = _token_bytes(config, layer)
    layout = f"{layer.num_kv_heads} heads of {layer.head_size} and {layer.head_size_v}"
    if layer.kind in ("mla", "indexer"):
        return CacheSpec("MLAAttention", block_size, entry, layout)
    forgetful = _forgetful_entry(config, layer)
    if layer.kind == "chunked":
        return CacheSpec(
            "ChunkedLocalAttention",
            block_size,
            entry,
            layout,
            window=layer.window,
            promoted_entry_bytes=forgetful,
        )
    if layer.kind == "sliding":
        size = _window_block_size(config, backend, block_size)
        return CacheSpec(
            "SlidingWindow", size, entry, layout, window=layer.window, promoted_entry_bytes=forgetful
        )
    return CacheSpec("FullAttention", block_size, entry, layout)


def _forgetful_entry(config: EngineConfig, layer: CacheLayer) -> int | None:
    """What a token takes without the scales of a quantised cache (`KVQuantMode`, 0.20 on)."""
    dtype = cache_dtype(config)
    if not config.release.at_least("0.20.0") or dtype in PLAIN:
        return None
    heads = max(1, layer.num_kv_heads // config.tensor_parallel_size)
    return heads * (layer.head_size + layer.head_size_v)


def _window_block_size(config: EngineConfig, backend: Backend | None, block_size: int) -> int:
    """Windows choose their block: the smallest kernel block in 0.26 to 0.29, as much as fits later."""
    if backend is None or not config.release.at_least("0.26.0"):
        return block_size
    if not config.release.at_least("0.30.0"):
        return backend.smallest
    if backend.multiples:
        return max(max(size, block_size // size * size) for size in backend.sizes)
    fitting = [size for size in backend.sizes if size <= block_size]
    return max(fitting) if fitting else backend.smallest


def _state_spec(config: EngineConfig, layer: CacheLayer, block_size: int, has_attention: bool) -> CacheSpec:
    assert layer.state is not None
    padded = None
    if has_attention:
        page = block_size * _token_bytes(config, _attention_of(config))
        padded = page if page != state_bytes(config, layer.state, foreseen=True) else None
    cached = config.mamba_cache_mode in ("align", "all") or (
        config.enable_prefix_caching and not config.release.at_least("0.16.0")
    )
    return CacheSpec(
        "Mamba",
        block_size if cached else config.max_model_len,
        state_bytes(config, layer.state),
        layer.state.family,
        padded_page_bytes=padded,
        state_blocks=states_per_request(config, layer.state),
    )


def _attention_of(config: EngineConfig) -> CacheLayer:
    """A full-attention layer with the model's own heads, by which pages of states are padded."""
    model = config.architecture
    if model.is_mla:
        width = (model.integer("kv_lora_rank") or 0) + (model.integer("qk_rope_head_dim") or 0)
        return CacheLayer(0, "mla", 1, width)
    width = model.head_dim or 0
    return CacheLayer(0, "full", model.num_key_value_heads or 1, width, width)


def _v4_plan(config: EngineConfig, layers: tuple[CacheLayer, ...]) -> CachePlan | Refusal:
    dtype = cache_dtype(config)
    if not (dtype == "auto" or dtype.startswith("fp8")):
        message = f"DeepseekV4 fp8_ds_mla layout only supports fp8 kv-cache, got {dtype}."
        return Refusal("v4-cache-dtype", message, "model", ("kv_cache_dtype",))
    block_size = config.user_block_size or V4_BLOCK_SIZE
    sparsest = max(layer.compress_ratio for layer in layers)
    if block_size < sparsest:
        message = (
            f"a block of {block_size} tokens holds no entry of a cache with one entry a {sparsest} tokens"
        )
        return Refusal("v4-block-size", message, "groups", ("block_size",))
    shapes = [layer.shape for layer in layers]
    alike = dict(zip(shapes, layers, strict=True))
    made = {shape: _v4_spec(layer, block_size) for shape, layer in alike.items()}
    specs = {at: made[shape] for at, shape in enumerate(shapes)}
    return CachePlan(specs, block_size, ("FLASHMLA_SPARSE_DSV4",), packed_layout=True)


def _v4_spec(layer: CacheLayer, block_size: int) -> CacheSpec:
    ratio = layer.compress_ratio
    if layer.kind == "v4_window":
        spec = CacheSpec("SlidingWindowMLA", V4_WINDOW_BLOCK_SIZE, V4_PACKED_BYTES, "v4", window=layer.window)
    elif layer.kind == "v4_state":
        spec = CacheSpec(
            "SlidingWindowMLA",
            V4_STATE_BLOCK_SIZES[ratio],
            layer.head_size * 4,
            "v4_state",
            window=layer.window,
        )
    elif layer.kind == "v4_indexer":
        width = indexer_bytes(layer.head_size)
        spec = CacheSpec("MLAAttention", block_size, width, "v4_indexer", tokens_per_entry=ratio)
    else:
        spec = CacheSpec("MLAAttention", block_size, V4_PACKED_BYTES, "v4", tokens_per_entry=ratio)
    page = round_up(spec.plain_page_bytes, V4_PAGE_ALIGNMENT)
    return spec if page == spec.plain_page_bytes else spec.with_page(page)

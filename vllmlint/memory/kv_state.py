"""Recurrent states on one rank, and the attention block that is made to hold one (vllm-memory.md 3.5)."""

from __future__ import annotations

from math import lcm

from vllmlint.engine.attention import Backend
from vllmlint.engine.config import EngineConfig, Refusal
from vllmlint.memory.kv_dtype import element_bytes
from vllmlint.memory.kv_spec import cdiv
from vllmlint.models.states import State

#: Offsets at which FlashInfer's gated delta net exports a state, in tokens (0.31+ `gdn_attn.py`).
GDN_CHECKPOINT_TOKENS = 64
#: Latent attention beside states: blocks are a multiple of this since 0.27 (TensorRT-LLM's decode kernel).
LATENT_BLOCK_TOKENS = 128


def state_dtype(config: EngineConfig, state: State) -> str:
    """The dtype of the recurrence; `auto` follows the convolution's."""
    if state.family == "kda":
        asked = config.mamba_ssm_cache_dtype
        return asked if asked != "auto" and config.release.at_least("0.30.0") else "float32"
    if state.family in ("short_conv", "linear"):
        return "auto"
    return config.mamba_ssm_cache_dtype


def conv_dtype(config: EngineConfig) -> str:
    """The dtype of the convolution's rows."""
    given = config.request.settings.get("mamba_cache_dtype") or "auto"
    return config.dtype if given == "auto" else str(given)


def _extra_rows(config: EngineConfig, state: State) -> int:
    """Rows a layer's convolution keeps besides, one a speculative token, where the release's kernel does."""
    since = {"gdn": "0.11.0", "mamba2": "0.17.0", "kda": "0.27.0", "short_conv": "0.29.0"}.get(state.family)
    return config.num_speculative_tokens if since and config.release.at_least(since) else 0


def _extra_rows_foreseen(config: EngineConfig, state: State) -> int:
    """The same as the model class says before its layers exist; some forget them."""
    since = {"mamba2": "0.32.0", "short_conv": "1.0.0"}.get(state.family, "0.11.0")
    if config.architecture.class_name.startswith("NemotronH"):
        since = "0.17.0"
    return _extra_rows(config, state) if config.release.at_least(since) else 0


def state_bytes(config: EngineConfig, state: State, *, foreseen: bool = False) -> int:
    """One layer's state on one rank, in bytes; `foreseen`: what the attention block is sized for."""
    ranks = config.tensor_parallel_size
    groups = state.groups if state.groups % ranks == 0 else max(state.groups, ranks)
    channels = (state.conv_width + 2 * groups * state.group_width) // ranks
    extra = _extra_rows_foreseen(config, state) if foreseen else _extra_rows(config, state)
    rows = max(state.conv_kernel - 1, 0) + extra if state.conv_width else 0
    kept = conv_dtype(config)
    recurrent = state_dtype(config, state)
    recurrent = kept if recurrent == "auto" else recurrent
    return channels * rows * element_bytes(kept) + state.heads // ranks * state.row * element_bytes(recurrent)


def checkpoint_tokens(config: EngineConfig, state: State) -> int | None:
    """At which offsets a prefill can export the state (mode `align`); None where it cannot.

    FlashInfer's gated delta net runs on Hopper; on Blackwell it needs CUDA 13, which is not known here.
    """
    if config.mamba_cache_mode != "align":
        return None
    if state.family == "mamba2" and config.release.at_least("0.32.0"):
        return 1
    hopper = config.gpu.compute_capability == (9, 0)
    if state.family == "gdn" and config.release.at_least("0.31.0") and hopper:
        return GDN_CHECKPOINT_TOKENS
    return None


def states_per_request(config: EngineConfig, state: State) -> int:
    """Blocks one request holds, or holds besides those that grow with its length (3.4)."""
    speculative = config.num_speculative_tokens
    if grows(config):
        return speculative if config.release.at_least("0.22.0") else 0
    if config.mamba_cache_mode == "align":
        return 2 + speculative + (1 if checkpoint_tokens(config, state) else 0)
    return 1 + speculative


def grows(config: EngineConfig) -> bool:
    """Whether a request keeps a state every block: cache mode `all`, and always before 0.16."""
    return config.mamba_cache_mode == "all" or not config.release.at_least("0.16.0")


def aligned_block_size(
    config: EngineConfig, state: State, backend: Backend, block_size: int, token_bytes: int
) -> int:
    """The attention block, in tokens, whose page holds a state.

    `block_size` is the one in force before, `token_bytes` what attention stores a token and layer.
    """
    page = state_bytes(config, state, foreseen=True)
    if page == 0:
        return block_size
    granule = _granule(config, backend, block_size)
    if config.mamba_cache_mode == "all" or _caches_prefixes_early(config):
        granule = lcm(state.chunk_size, granule)
        return max(block_size, granule * cdiv(cdiv(page, token_bytes), granule))
    if config.release.at_least("0.31.0"):
        granule = lcm(granule, checkpoint_tokens(config, state) or 1)
    return max(block_size, granule * cdiv(page, granule * token_bytes))


def _caches_prefixes_early(config: EngineConfig) -> bool:
    """Before 0.16 prefix caching of states has no mode: it is on for the families that know it."""
    return not config.release.at_least("0.16.0") and config.enable_prefix_caching


def _granule(config: EngineConfig, backend: Backend, block_size: int) -> int:
    release = config.release
    latent = config.architecture.is_mla
    if not release.at_least("0.20.0"):
        # 0.11 to 0.19 `models/config.py`: before the backend is known.
        if latent:
            return 64
        blackwell = config.gpu.compute_capability is not None and config.gpu.compute_capability[0] == 10
        return 32 if blackwell and config.architecture.head_dim == 256 else 16
    granule = max(backend.smallest, block_size)
    return max(granule, LATENT_BLOCK_TOKENS) if latent and release.at_least("0.27.0") else granule


def refused_state(config: EngineConfig, state: State) -> Refusal | None:
    """States that a release does not build."""
    release = config.release
    early = config.num_speculative_tokens and not release.at_least("0.17.0")
    if early and config.architecture.model_type != "qwen3_next":
        message = "Mamba with speculative decoding is not supported yet."
        return Refusal("state-with-speculation", message, "model", ("speculative_config",))
    dtype = state_dtype(config, state)
    if state.family == "kda" and dtype not in ("auto", "float32", "bfloat16"):
        message = f"KDA recurrent state supports only auto, float32, and bfloat16; got {dtype}"
        return Refusal("kda-state-dtype", message, "model", ("mamba_ssm_cache_dtype",))
    return None

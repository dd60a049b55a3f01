"""Recurrent states: what a layer keeps a request instead of keys and values.

Sources: vllm-memory.md 3.5; `model_executor/layers/mamba/mamba_utils.py` of vLLM 0.33.0.
"""

from __future__ import annotations

from typing import Literal

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.record import record

#: The kernel's chunk where the config is silent, as transformers 5.23.0 fills it in, in tokens.
NEMOTRON_CHUNK, MAMBA2_CHUNK = 128, 256
#: The chunk vLLM assumes of states that have none (0.14.1 `config/model.py`, `get_mamba_chunk_size`).
DEFAULT_CHUNK = 2048

StateFamily = Literal["mamba1", "mamba2", "gdn", "kda", "short_conv", "linear"]


@record
class State:
    """The sizes of one layer's state, of the whole model (not of one rank), in elements.

    The convolution keeps `conv_kernel` - 1 rows of `conv_width` channels (Mamba-2 adds 2 x `groups` x
    `group_width`); the recurrence keeps `heads` rows of `row` elements. `chunk_size` is the length in
    tokens in which the family's kernel scans.
    """

    family: StateFamily
    conv_width: int = 0
    conv_kernel: int = 0
    groups: int = 0
    group_width: int = 0
    heads: int = 0
    row: int = 0
    chunk_size: int = DEFAULT_CHUNK


def state_of(architecture: ModelArchitecture) -> State | None:
    """The state of the layers that keep one; None where the config lacks its sizes."""
    for read in (_gated_delta_net, _kda, _nemotron_h, _mamba2, _mamba1, _short_conv, _linear):
        found = read(architecture)
        if found is not None:
            return found
    return None


def _all(architecture: ModelArchitecture, *names: str) -> tuple[int, ...] | None:
    values = tuple(architecture.integer(name) for name in names)
    return None if any(value is None for value in values) else tuple(value or 0 for value in values)


def _gated_delta_net(architecture: ModelArchitecture) -> State | None:
    """Qwen3-Next, Qwen3.5 and relatives."""
    sizes = _all(
        architecture,
        "linear_num_key_heads",
        "linear_num_value_heads",
        "linear_key_head_dim",
        "linear_value_head_dim",
        "linear_conv_kernel_dim",
    )
    if sizes is None:
        return None
    key_heads, value_heads, key_width, value_width, kernel = sizes
    return State(
        "gdn",
        conv_width=2 * key_heads * key_width + value_heads * value_width,
        conv_kernel=kernel,
        heads=value_heads,
        row=value_width * key_width,
    )


def _kda(architecture: ModelArchitecture) -> State | None:
    """Kimi delta attention: keys, values and queries of equal width."""
    part = architecture.part("linear_attn_config")
    heads, width = part.get("num_heads"), part.get("head_dim")
    kernel = part.get("short_conv_kernel_size")
    if heads is None:
        heads, width = architecture.integer("linear_num_heads"), architecture.integer("linear_head_dim")
        kernel = architecture.integer("linear_conv_kernel_dim")
    if not heads or not width or not kernel:
        return None
    return State("kda", conv_width=3 * heads * width, conv_kernel=kernel, heads=heads, row=width * width)


def _nemotron_h(architecture: ModelArchitecture) -> State | None:
    """Mamba-2 under the names of Nemotron-H."""
    sizes = _all(
        architecture, "mamba_num_heads", "mamba_head_dim", "ssm_state_size", "n_groups", "conv_kernel"
    )
    if sizes is None:
        return None
    heads, width, state, groups, kernel = sizes
    chunk = architecture.integer("chunk_size") or NEMOTRON_CHUNK
    return State("mamba2", heads * width, kernel, groups, state, heads, width * state, chunk)


def _mamba2(architecture: ModelArchitecture) -> State | None:
    """Mamba-2 under the names of Bamba, Granite-4-H and Falcon-H1."""
    sizes = _all(architecture, "mamba_n_heads", "mamba_d_head", "mamba_d_state", "mamba_d_conv")
    if sizes is None:
        return None
    heads, width, state, kernel = sizes
    inner = architecture.integer("mamba_d_ssm")
    if inner is None:
        inner = (architecture.integer("mamba_expand") or 2) * (architecture.hidden_size or 0)
    groups = architecture.integer("mamba_n_groups") or 1
    chunk = architecture.integer("mamba_chunk_size") or MAMBA2_CHUNK
    return State("mamba2", inner, kernel, groups, state, heads, width * state, chunk)


def _mamba1(architecture: ModelArchitecture) -> State | None:
    """Mamba-1 under the names of Jamba."""
    sizes = _all(architecture, "mamba_d_state", "mamba_d_conv", "mamba_expand", "hidden_size")
    if sizes is None:
        return None
    state, kernel, expand, hidden = sizes
    return State("mamba1", expand * hidden, kernel, heads=expand * hidden, row=state)


def _short_conv(architecture: ModelArchitecture) -> State | None:
    """The gated short convolution of LFM2."""
    kernel = architecture.integer("conv_L_cache")
    width = architecture.integer("conv_dim") or architecture.hidden_size
    return None if kernel is None or not width else State("short_conv", width, kernel)


def _linear(architecture: ModelArchitecture) -> State | None:
    """The lightning attention of MiniMax-Text-01."""
    heads, width = architecture.num_attention_heads, architecture.head_dim
    if architecture.per_layer("attn_type_list") is None or not heads or not width:
        return None
    return State("linear", heads=heads, row=width * width)

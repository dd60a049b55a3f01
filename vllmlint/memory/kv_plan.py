"""What vLLM makes of the memory left for the KV cache: blocks, tokens, concurrency, or a refusal.

The order is vLLM's: the caches of every layer, their groups, the start check on every pipeline stage,
the smallest block count over the stages (vllm-memory.md 0, 3.3, 3.4, 3.9).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vllmlint.engine.config import EngineConfig, Refusal
from vllmlint.memory.kv_caches import KvCaches, prepare_kv
from vllmlint.memory.kv_fit import (
    block_bytes,
    blocks_per_full_request,
    group_blocks,
    logged_tokens,
    longest_that_fits,
    need_of,
    needed_bytes_by_layer,
)
from vllmlint.memory.kv_groups import Group
from vllmlint.memory.kv_spec import FULL_KINDS, Demand, cdiv
from vllmlint.memory.kv_v0 import stage_shares
from vllmlint.models.layers import UnknownLayers
from vllmlint.record import record

#: vLLM writes amounts of cache memory in GiB with two decimals.
GIB = 1024**3


@record
class KvGroup:
    """Layers with one block table, over all pipeline stages.

    `kind` is vLLM's spec class without the word `Spec`, or `uniform` where layers of different pages
    share a table: then `page_bytes` is their sum and `pages` counts the layers by `class:bytes`.
    Otherwise `page_bytes` is one block of one layer. `block_size` and `window` are in tokens.
    """

    kind: str
    layers: int
    block_size: int
    page_bytes: int
    window: int | None
    blocks_per_request: int
    pages: tuple[tuple[str, int], ...] = ()


@record
class KvPlan:
    """The KV cache of a server that starts (one data parallel rank).

    `bytes_per_block` is what one block id costs on the widest stage, `num_blocks` the smallest count
    over the stages, `kv_tokens` what the log line "GPU KV cache size" says in this release,
    `needed_bytes` what the start check compared for one request of `max_model_len` tokens (the largest
    over the stages). `max_model_len` is what fitted where it was to be found (`auto_max_model_len`,
    None: it was not, or the model's own length fits). `bytes_per_token` is what one more token of a long
    request costs on the widest stage, blocks spread over their tokens. `assumptions`: what was taken for
    granted.
    """

    groups: tuple[KvGroup, ...]
    block_size: int
    bytes_per_block: int
    num_blocks: int
    kv_tokens: int
    max_concurrency: float
    needed_bytes: int
    max_model_len: int
    auto_max_model_len: int | None
    in_flight_tokens: int
    bytes_per_token: float
    backends: tuple[str, ...]
    assumptions: tuple[str, ...] = ()


@record
class KvRefusal(Refusal):
    """A refusal of the start check, with its numbers; lengths in tokens, None where vLLM gives none."""

    needed_bytes: int | None = None
    available_bytes: int | None = None
    estimated_max_len: int | None = None


def plan_kv(config: EngineConfig, available_bytes: int | Sequence[int]) -> KvPlan | Refusal | UnknownLayers:
    """What vLLM plans for `available_bytes` of each rank (one amount, or one a pipeline stage).

    A refusal where vLLM would not start; UnknownLayers where the model's caches are not known.
    """
    caches = prepare_kv(config)
    return caches if isinstance(caches, Refusal | UnknownLayers) else plan_caches(caches, available_bytes)


def plan_caches(model: KvCaches, available_bytes: int | Sequence[int]) -> KvPlan | Refusal:
    """The same for caches that are worked out already: plans for several amounts share them."""
    config = model.config
    if not model.groups:
        return _nothing(model)
    available = _per_stage(model, available_bytes)
    if config.model_runner == "v0":
        return _plan_v0(model, available)
    if not config.release.at_least("0.14.0"):
        return _plan_by_layer(model, available)
    planned = available
    if config.release.at_least("0.20.2"):
        # The override replaces the memory in every check.
        planned = _overridden(model, available)
    usable = planned
    if config.release.at_least("0.29.0"):
        # The pool holds one block, the null block, back.
        usable = [
            amount - _stage_block_bytes(model, groups)
            for amount, groups in zip(planned, model.stages, strict=True)
        ]
    found = _auto_length(model, usable)
    if isinstance(found, Refusal):
        return found
    demand = model.demand.at(found)
    refusal = _check(model, demand, usable)
    return refusal if refusal is not None else _result(model, demand, planned)


def kv_needed_bytes(config: EngineConfig) -> int | Refusal | UnknownLayers:
    """What one request of full length needs on the widest stage, as the start check counts it."""
    model = prepare_kv(config)
    return model if isinstance(model, Refusal | UnknownLayers) else needed_by_request(model)


def needed_by_request(model: KvCaches) -> int:
    """The same for caches that are worked out already."""
    return _needed(model, model.demand) if model.groups else 0


def _per_stage(model: KvCaches, available_bytes: int | Sequence[int]) -> list[int]:
    if isinstance(available_bytes, int):
        return [available_bytes] * len(model.stages)
    return list(available_bytes)


def _stage_block_bytes(model: KvCaches, groups: Sequence[Group]) -> int:
    return block_bytes(groups, model.config.release, model.plan.packed_layout)


def _overridden(model: KvCaches, available: list[int]) -> list[int]:
    count = _override(model.config)
    if count is None:
        return available
    return [count * _stage_block_bytes(model, groups) for groups in model.stages]


def overridden_bytes(config: EngineConfig) -> list[int] | None:
    """What the blocks of `num_gpu_blocks_override` take on each stage; None: no override, or not known."""
    count, model = _override(config), prepare_kv(config)
    if count is None or isinstance(model, Refusal | UnknownLayers) or not model.groups:
        return None
    return [count * _stage_block_bytes(model, groups) for groups in model.stages]


def _override(config: EngineConfig) -> int | None:
    count = config.request.settings.get("num_gpu_blocks_override")
    return count if isinstance(count, int) and not isinstance(count, bool) else None


def _auto_length(model: KvCaches, usable: list[int]) -> int | Refusal:
    """`--max-model-len auto`: the longest that fits on every stage; else the length as it is."""
    if not model.config.auto_max_model_len:
        return model.demand.max_model_len
    longest = min(
        longest_that_fits(model.demand, amount, need)
        for amount, need in zip(*_checked(model, usable), strict=True)
    )
    if longest > 0:
        return longest
    message = (
        "Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token. "
        "Try increasing `gpu_memory_utilization`."
    )
    settings = ("max_model_len", "gpu_memory_utilization")
    needed = _needed(model, model.demand)
    return KvRefusal("kv-cache-cannot-auto-fit", message, "kv", settings, needed, min(usable))


def _checked(model: KvCaches, usable: list[int]) -> tuple[list[int], list[Callable[[Demand], int]]]:
    """The amounts checked, and what each is held against: 0.14 to 0.16 ask the whole model of the poorest."""
    if not model.config.release.at_least("0.17.0"):
        return [min(usable)], [_need(model, model.groups)]
    return usable, [_need(model, groups) for groups in model.stages]


def _need(model: KvCaches, groups: Sequence[Group]) -> Callable[[Demand], int]:
    return need_of(groups, model.config.release, model.plan.packed_layout)


def _check(model: KvCaches, demand: Demand, usable: list[int]) -> Refusal | None:
    for amount, need in zip(*_checked(model, usable), strict=True):
        refusal = _refusal(model, demand, amount, need)
        if refusal is not None:
            return refusal
    return None


def _refusal(
    model: KvCaches, demand: Demand, available: int, need: Callable[[Demand], int]
) -> Refusal | None:
    """The check of one stage; the refusal names what the widest stage needs."""
    if available <= 0:
        return _no_memory(_needed(model, demand), available)
    needed = need(demand)
    if needed <= available:
        return None
    estimate = longest_that_fits(demand, available, need)
    hint = (
        f"Based on the available memory, the estimated maximum model length is {estimate}. "
        if estimate
        else ""
    )
    message = (
        f"To serve at least one request with the model's max seq len ({demand.max_model_len}), "
        f"({round(needed / GIB, 2)} GiB KV cache is needed, which is larger than the available KV cache "
        f"memory ({round(available / GIB, 2)} GiB). {hint}Try increasing `gpu_memory_utilization` or "
        "decreasing `max_model_len` when initializing the engine."
    )
    return KvRefusal(
        "kv-cache-cannot-hold-max-len",
        message,
        "kv",
        ("max_model_len", "gpu_memory_utilization"),
        _needed(model, demand),
        available,
        estimate or None,
    )


def _no_memory(needed: int, available: int) -> KvRefusal:
    message = (
        "No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
        "initializing the engine."
    )
    return KvRefusal("no-memory-for-kv-cache", message, "kv", ("gpu_memory_utilization",), needed, available)


def _plan_by_layer(model: KvCaches, available: list[int]) -> KvPlan | Refusal:
    """Before 0.14 the check adds up each stage's layers, before grouping and promotion (3.9)."""
    for amount, specs in zip(available, model.stage_specs, strict=True):
        if specs:
            refusal = _refusal(
                model,
                model.demand,
                amount,
                lambda demand, specs=specs: needed_bytes_by_layer(specs, demand),  # type: ignore[misc]
            )
            if refusal is not None:
                return refusal
    return _result(model, model.demand, available)


def _plan_v0(model: KvCaches, available: list[int]) -> KvPlan | Refusal:
    """V0 compares lengths, not bytes: one request must fit into a stage's share of the pool."""
    shares, size = stage_shares(model.config), model.plan.block_size
    blocks = _num_blocks(model, available)
    needed = _needed(model, model.demand)
    if blocks <= 0:
        return _no_memory(needed, min(available))
    holds = blocks // shares * size
    if model.demand.max_model_len > holds:
        message = (
            f"The model's max seq len ({model.demand.max_model_len}) is larger than the maximum number of "
            f"tokens that can be stored in KV cache ({holds}). Try increasing `gpu_memory_utilization` or "
            "decreasing `max_model_len` when initializing the engine."
        )
        settings = ("max_model_len", "gpu_memory_utilization")
        return KvRefusal(
            "kv-cache-cannot-hold-max-len", message, "kv", settings, needed, min(available), holds
        )
    return _result(model, model.demand, available)


def _needed(model: KvCaches, demand: Demand) -> int:
    if model.config.model_runner == "v0":
        widest = max(_stage_block_bytes(model, groups) for groups in model.stages)
        return stage_shares(model.config) * cdiv(demand.max_model_len, model.plan.block_size) * widest
    if not model.config.release.at_least("0.14.0"):
        return max(needed_bytes_by_layer(specs, demand) for specs in model.stage_specs)
    if not model.config.release.at_least("0.17.0"):
        return _need(model, model.groups)(demand)
    return max(_need(model, groups)(demand) for groups in model.stages)


def _result(model: KvCaches, demand: Demand, available: Sequence[int]) -> KvPlan:
    config = model.config
    blocks = _num_blocks(model, available)
    concurrency = _concurrency(model, demand, blocks)
    ranks = config.decode_context_parallel_size * config.prefill_context_parallel_size
    shortened = config.auto_max_model_len and demand.max_model_len < model.demand.max_model_len
    widest = max(_stage_block_bytes(model, groups) for groups in model.stages)
    return KvPlan(
        tuple(_shown(group, demand) for group in model.groups),
        min(group.spec.block_size for group in model.groups),
        widest,
        blocks,
        logged_tokens(blocks, model.groups, concurrency, demand, config.release, ranks),
        concurrency,
        _needed(model, demand),
        demand.max_model_len,
        demand.max_model_len if shortened else None,
        demand.in_flight_tokens,
        widest * _blocks_per_token(model.groups, demand),
        model.plan.backends,
        model.assumptions,
    )


def _num_blocks(model: KvCaches, available: Sequence[int]) -> int:
    """The smallest count over the stages, or what the override says."""
    override = _override(model.config)
    if override is not None:
        return override
    return min(
        max(0, amount // _stage_block_bytes(model, groups))
        for amount, groups in zip(available, model.stages, strict=True)
        if any(group.layers for group in groups)
    )


def _concurrency(model: KvCaches, demand: Demand, blocks: int) -> float:
    release = model.config.release
    if model.config.model_runner == "v0" or not release.at_least("0.9.1"):
        return blocks * model.plan.block_size / demand.max_model_len
    per_request = blocks_per_full_request(model.stages[0], demand, release)
    return blocks / per_request if per_request else 0.0


def _blocks_per_token(groups: Sequence[Group], demand: Demand) -> float:
    """Blocks that one more token of a long request takes, over all groups that keep every token."""
    return sum(
        1 / (group.spec.block_size * demand.context_parallel)
        for group in groups
        if group.spec.kind in FULL_KINDS
    )


def _shown(group: Group, demand: Demand) -> KvGroup:
    blocks = group_blocks(group, demand)
    if not group.uniform:
        spec = group.spec
        return KvGroup(spec.kind, len(group.layers), spec.block_size, spec.page_bytes, spec.window, blocks)
    pages: dict[str, int] = {}
    for spec in group.specs:
        name = f"{spec.kind}:{spec.page_bytes}"
        pages[name] = pages.get(name, 0) + 1
    size = group.spec.block_size
    return KvGroup("uniform", len(group.layers), size, group.page_bytes, None, blocks, tuple(pages.items()))


def _nothing(model: KvCaches) -> KvPlan:
    """A model without any cache: vLLM keeps one block for form's sake."""
    length = model.demand.max_model_len
    return KvPlan((), DEFAULT_BLOCK, 0, 1, 0, 0.0, 0, length, None, model.demand.in_flight_tokens, 0.0, ())


#: The block size a model without a cache is given.
DEFAULT_BLOCK = 16

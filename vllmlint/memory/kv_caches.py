"""One model's caches on its pipeline stages, before any amount of memory is known."""

from __future__ import annotations

from collections.abc import Sequence

from vllmlint.engine.config import EngineConfig, Refusal
from vllmlint.engine.stages import LAYER_PARTITION, stage_layers
from vllmlint.memory.kv_draft import DraftCaches, draft_caches, retained_tokens
from vllmlint.memory.kv_groups import Group, Specs, group_layers, promoted
from vllmlint.memory.kv_spec import WINDOW_KINDS, Demand
from vllmlint.memory.kv_specs import CachePlan, plan_specs
from vllmlint.memory.kv_state import grows
from vllmlint.memory.kv_v0 import v0_plan
from vllmlint.models.layers import CacheLayer, UnknownLayers, cache_layers
from vllmlint.record import record

#: From this release groups are made of the whole model, then cut by stage; before, of each stage's layers.
WHOLE_MODEL_SINCE = "0.11.0"


@record
class KvCaches:
    """One model's caches on its stages, ready to be held against an amount of memory.

    `groups` are those of the whole model, `stages` the same by pipeline stage, `stage_specs` the cache of
    every layer of a stage before any grouping, `demand` what one request of full length may claim.
    """

    config: EngineConfig
    plan: CachePlan
    groups: tuple[Group, ...]
    stages: tuple[tuple[Group, ...], ...]
    stage_specs: tuple[Specs, ...]
    demand: Demand
    assumptions: tuple[str, ...] = ()

    def at_length(self, max_model_len: int) -> KvCaches:
        """The same caches for requests of another length, in tokens."""
        demand = self.demand.at(max_model_len)
        return KvCaches(
            self.config, self.plan, self.groups, self.stages, self.stage_specs, demand, self.assumptions
        )


def prepare_kv(config: EngineConfig) -> KvCaches | Refusal | UnknownLayers:
    """One model's caches on its stages, ready to be held against an amount of memory."""
    own = cache_layers(config.architecture, window_is_inclusive=config.release.at_least("0.29.0"))
    if isinstance(own, UnknownLayers):
        return own
    draft = draft_caches(config, own)
    if isinstance(draft, UnknownLayers):
        return draft
    layers = (*own, *draft.layers)
    stages = _stage_sets(config, layers)
    if isinstance(stages, Refusal):
        return stages
    plan = _plan(config, layers, stages)
    if isinstance(plan, Refusal | UnknownLayers):
        return plan
    grouped = _grouped(config, plan, stages)
    return grouped if isinstance(grouped, Refusal) else _assembled(config, plan, stages, grouped, draft)


def _plan(
    config: EngineConfig, layers: tuple[CacheLayer, ...], stages: Sequence[frozenset[int]]
) -> CachePlan | Refusal | UnknownLayers:
    if config.model_runner == "v0":
        return v0_plan(config, layers)
    plan = plan_specs(config, layers, stages)
    if isinstance(plan, Refusal):
        return plan
    windows = any(spec.kind in WINDOW_KINDS for spec in plan.specs.values())
    if windows and config.decode_context_parallel_size > 1:
        return Refusal("dcp-with-window", "DCP not support sliding window.", "groups")
    return plan


def _grouped(
    config: EngineConfig, plan: CachePlan, stages: Sequence[frozenset[int]]
) -> tuple[list[Group], tuple[tuple[Group, ...], ...]] | Refusal:
    """The groups of the whole model, and those of each stage."""
    specs = plan.specs
    if config.model_runner == "v0":
        groups = [_one_pool(specs)] if specs else []
        return groups, tuple(tuple(group.on(stage) for group in groups) for stage in stages)
    if config.disable_hybrid_kv_cache_manager or not config.release.at_least("0.9.1"):
        changed = promoted(specs, config.release)
        if isinstance(changed, Refusal):
            return changed
        specs = changed
    whole = group_layers(specs, config.release, plan.packed_layout)
    if isinstance(whole, Refusal):
        return whole
    if config.release.at_least(WHOLE_MODEL_SINCE):
        return whole, tuple(tuple(group.on(stage) for group in whole) for stage in stages)
    cut: list[tuple[Group, ...]] = []
    for stage in stages:
        own = {at: spec for at, spec in specs.items() if at in stage}
        groups_of_stage = group_layers(own, config.release)
        if isinstance(groups_of_stage, Refusal):
            return groups_of_stage
        cut.append(tuple(groups_of_stage))
    return whole, tuple(cut)


def _one_pool(specs: Specs) -> Group:
    every = tuple(specs.values())
    return Group(tuple(specs), every[0], every, uniform=any(spec is not every[0] for spec in every))


def _assembled(
    config: EngineConfig,
    plan: CachePlan,
    stages: Sequence[frozenset[int]],
    grouped: tuple[list[Group], tuple[tuple[Group, ...], ...]],
    draft: DraftCaches,
) -> KvCaches:
    demand = Demand(
        config.max_model_len,
        in_flight_tokens(config),
        _context_parallel(config),
        grows(config),
        retained_tokens(config),
    )
    stage_specs = tuple({at: spec for at, spec in plan.specs.items() if at in stage} for stage in stages)
    return KvCaches(config, plan, tuple(grouped[0]), grouped[1], stage_specs, demand, draft.assumptions)


def in_flight_tokens(config: EngineConfig) -> int:
    """Tokens scheduled but not settled: `F` of vllm-memory.md 3.4."""
    batches = config.max_concurrent_batches if config.release.at_least("0.26.0") else 1
    return batches * config.max_num_batched_tokens


def _context_parallel(config: EngineConfig) -> int:
    """Ranks that share the tokens of a full cache; PCP shares them in 0.12 to 0.25."""
    ranks = config.decode_context_parallel_size
    if config.release.at_least("0.12.0") and not config.release.at_least("0.26.0"):
        ranks *= config.prefill_context_parallel_size
    return ranks


def _stage_sets(config: EngineConfig, layers: tuple[CacheLayer, ...]) -> list[frozenset[int]] | Refusal:
    """The places in `layers` of every stage; a drafter runs on the last one."""
    stages = config.pipeline_parallel_size
    if stages <= 1:
        return [frozenset(range(len(layers)))]
    count = config.architecture.num_hidden_layers or 0
    partition = config.request.env.get(LAYER_PARTITION)
    try:
        owners = stage_layers(count, stages, config.release, partition)
    except ValueError as error:
        return Refusal("pp-layer-partition", f"ValueError: {error}", "model", ("pipeline_parallel_size",))
    sets = [{at for at, layer in enumerate(layers) if layer.index in owned} for owned in owners]
    sets[-1].update(at for at, layer in enumerate(layers) if layer.index >= count)
    return [frozenset(places) for places in sets]

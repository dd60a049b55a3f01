"""How tensor, pipeline, expert and data parallelism divide a model's modules (vllm-memory.md 1.1)."""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.engine.stages import LAYER_PARTITION, stage_layers
from vllmlint.models.modules import Module, layer_count
from vllmlint.record import record

#: vLLM pads the vocabulary to a multiple of this before it divides it.
VOCAB_PADDING = 64


@record
class Ranks:
    """The groups that one rank is in: `tp` for attention and dense layers, `expert_tp` and `expert_ranks`
    for routed experts (each expert cut in so many parts; experts spread over so many ranks)."""

    tp: int
    expert_tp: int
    expert_ranks: int
    redundant_experts: int = 0
    whole_shared_experts: bool = False
    whole_vision: bool = False


def ranks_of(config: EngineConfig) -> Ranks:
    """How a configuration divides the model.

    With expert parallelism experts are spread over tp times dp ranks; without it the same ranks form one
    tensor parallel group for experts. Sequence parallel experts (EP with tp and dp, since 0.11.0) keep
    shared experts whole.
    """
    tp, dp = config.tensor_parallel_size, config.data_parallel_size
    group = tp * dp * max(1, config.prefill_context_parallel_size)
    moe = config.architecture.is_moe
    expert = config.enable_expert_parallel and moe
    sequence = expert and tp > 1 and dp > 1 and _at_least(config, 0, 11)
    settings = config.request.settings
    return Ranks(
        tp=tp,
        expert_tp=1 if expert else (group if moe else tp),
        expert_ranks=group if expert else 1,
        redundant_experts=_redundant_experts(config) if expert else 0,
        whole_shared_experts=sequence,
        whole_vision=settings.get("mm_encoder_tp_mode") == "data",
    )


def _at_least(config: EngineConfig, major: int, minor: int) -> bool:
    return config.release.key[:2] >= (major, minor)


def _redundant_experts(config: EngineConfig) -> int:
    settings = config.request.settings
    if not settings.get("enable_eplb"):
        return 0
    nested = settings.get("eplb_config")
    found = nested.get("num_redundant_experts") if isinstance(nested, dict) else None
    found = found or settings.get("num_redundant_experts")
    return found if isinstance(found, int) else 0


def rank_layers(config: EngineConfig, stage: int) -> range:
    """The layers of a pipeline stage; a partition by hand that vLLM would refuse is left out of account
    (the configuration is refused by itself)."""
    count, stages = layer_count(config.architecture), config.pipeline_parallel_size
    try:
        return stage_layers(count, stages, config.release, config.request.env.get(LAYER_PARTITION))[stage]
    except ValueError:
        return stage_layers(count, stages, config.release)[stage]


def padded_vocab(size: int) -> int:
    """The vocabulary as vLLM allocates it."""
    return -(-size // VOCAB_PADDING) * VOCAB_PADDING


@record
class LocalShape:
    """What one rank holds of a module: so many copies of a matrix, each with further parameters."""

    copies: int
    out_features: int
    in_features: int
    bias: int


def local_shape(module: Module, ranks: Ranks) -> LocalShape:
    """The part of a module that the fullest rank of a stage holds."""
    copies, parts = module.copies, ranks.tp
    out, into, bias = module.out_features, module.in_features, module.bias
    if module.role == "experts":
        # uneven placement gives the first ranks one expert more
        copies = -(-(copies + ranks.redundant_experts) // ranks.expert_ranks)
        parts = ranks.expert_tp
    elif (ranks.whole_shared_experts and "shared_expert" in module.name) or (
        module.role == "vision" and (ranks.whole_vision or (module.units and module.units % parts))
    ):
        parts = 1
    if module.shard == "vocab":
        out = -(-padded_vocab(out) // parts)
        bias = -(-bias // parts)
    elif module.shard == "out":
        share = _share(out, module.units, parts)
        bias = bias and bias * share // max(1, out)
        out = share
    elif module.shard == "in":
        into = _share(into, module.units, parts)
    return LocalShape(copies, out, into, bias)


def _share(size: int, units: int, parts: int) -> int:
    """One rank's part of a side: whole units; ranks that outnumber them share one."""
    if not units:
        return -(-size // parts)
    if units % parts == 0:
        return size // parts
    return size // units * max(1, -(-units // parts))


def language_model_only(config: EngineConfig) -> bool:
    """Whether the vision tower is left out: by flag, or as no item of any kind is allowed (since 0.11.0)."""
    settings = config.request.settings
    if settings.get("language_model_only") is True:
        return True
    limits = settings.get("limit_mm_per_prompt")
    if not isinstance(limits, dict) or not limits or config.release.key[:2] < (0, 11):
        return False
    named = [value.get("count") if isinstance(value, dict) else value for value in limits.values()]
    return {"image", "video"} <= limits.keys() and all(value == 0 for value in named)

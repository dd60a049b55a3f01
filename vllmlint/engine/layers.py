"""What building the layers refuses, after the configuration passed (vllm-memory.md 4.1, 4.3).

Attention backends and state caches are chosen while the layers are built too; what they refuse is the KV
plan's matter (`vllmlint.memory.kv_specs`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from vllmlint.engine.config import EngineConfig, Refusal
from vllmlint.engine.given import Given
from vllmlint.engine.parallel import is_moe
from vllmlint.engine.stages import LAYER_PARTITION, stage_layers
from vllmlint.engine.weight_shapes import capability_refusal, shape_refusal
from vllmlint.models.modules import Module, modules_of
from vllmlint.models.quantization import quantization_of

#: The vocabulary is padded to a multiple of this before it is split (`DEFAULT_VOCAB_PADDING_SIZE`).
VOCAB_PADDING = 64
#: Classes whose constructor wants an MoE layer on every pipeline stage (`raise RuntimeError("No … layer
#: found")` in their modules, 0.11.2 - 0.33.0), by first release.
_WANT_MOE_LAYER = {
    "Qwen3MoeForCausalLM": "0.11.0",
    "Qwen3NextForCausalLM": "0.11.0",
    "Glm4MoeForCausalLM": "0.11.0",
    "AfmoeForCausalLM": "0.11.0",
    "MixtralForCausalLM": "0.14.0",
    "Qwen3_5MoeForCausalLM": "0.17.0",
    "Qwen3_5MoeForConditionalGeneration": "0.17.0",
    "Qwen3VLMoeForConditionalGeneration": "0.20.0",
}
#: Classes that want at least as many experts as tensor parallel ranks (their MoE block's constructor).
_WANT_EXPERT_A_RANK = (
    *("Qwen2Moe", "Qwen3Moe", "Qwen3Next", "Qwen3_5Moe", "Ernie4_5_Moe", "Ernie4_5_VLMoe", "ExaoneMoE"),
    *("MiniMaxM2", "MiMoV2", "Lfm2Moe", "Step3", "HYV3", "Cohere2Moe", "Laguna"),
)
#: Modules whose split is not by plain division: states, convolutions, what some releases replicate.
_OTHER_SPLITS = ("linear_attn", "mamba", "conv", "mixer", "indexer", "compressor", "wo_a", "wo_b")


def layer_refusal(
    config: EngineConfig,
    *,
    stages: Collection[int] | None = None,
    experts: bool = True,
    attention_only: bool = False,
) -> Refusal | None:
    """The first thing that building the layers of these pipeline stages refuses (None: of every stage).

    `experts` False leaves expert layers out, `attention_only` everything that is built after a layer's
    attention.
    """
    given = Given(config.request)
    count = config.architecture.num_hidden_layers or 0
    partition = config.request.env.get(LAYER_PARTITION)
    try:
        owned = stage_layers(count, config.pipeline_parallel_size, config.release, partition)
    except ValueError as error:
        return Refusal("pipeline-partition-mismatch", str(error), "model", ("pipeline_parallel_size",))
    for stage, layers in enumerate(owned):
        if stages is not None and stage not in stages:
            continue
        first, last = stage == 0, stage == len(owned) - 1
        refusal = _stage_refusal(config, given, layers, first or last, experts, attention_only)
        if refusal is not None:
            return refusal
    return None


def _stage_refusal(
    config: EngineConfig, given: Given, layers: range, at_an_end: bool, experts: bool, attention_only: bool
) -> Refusal | None:
    refusal = _vocabulary_refusal(config) if at_an_end else None
    if refusal is not None:
        return refusal
    checkpoint = quantization_of(config.architecture)
    for module in _built(config, layers, attention_only):
        if module.role == "experts" and not experts:
            continue
        refusal = _split_refusal(config, module)
        if refusal is None and checkpoint is not None and config.quantization is not None:
            scheme = checkpoint.scheme_of(module.quant_name, module.role)
            if scheme is not None:
                merged = _is_merged_head(module)
                refusal = capability_refusal(config, scheme) or shape_refusal(config, module, scheme, merged)
        if refusal is not None:
            return refusal
    if attention_only:
        return None
    return _moe_refusal(config, given, layers)


def _vocabulary_refusal(config: EngineConfig) -> Refusal | None:
    vocabulary = config.architecture.integer("vocab_size")
    if not vocabulary:
        return None
    padded = -(-vocabulary // VOCAB_PADDING) * VOCAB_PADDING
    if padded % config.tensor_parallel_size == 0:
        return None
    return Refusal(
        "tp-does-not-divide-vocabulary",
        f"{padded} is not divisible by {config.tensor_parallel_size}",
        "model",
        ("tensor_parallel_size",),
    )


def _built(config: EngineConfig, layers: range, attention_only: bool) -> Iterator[Module]:
    """The linear modules of the stage's layers, in the order in which they are built."""
    owned = frozenset(layers)
    found = [
        (min(owned & frozenset(module.layers)), place, module)
        for place, module in enumerate(modules_of(config.architecture))
        if module.part == "text" and module.role in ("linear", "experts") and owned & frozenset(module.layers)
    ]
    for _, _, module in sorted(found, key=lambda item: item[:2]):
        if attention_only and not _is_attention(module):
            return
        yield module


def _is_attention(module: Module) -> bool:
    return ".self_attn." in module.name or ".attention." in module.name or ".attn." in module.name


def _is_merged_head(module: Module) -> bool:
    """Whether the matrix is fused with others behind it: a partition must then end on a whole tile."""
    return module.name.endswith(("q_proj", "k_proj", "gate_proj", "q_a_proj"))


def _split_refusal(config: EngineConfig, module: Module) -> Refusal | None:
    """Ranks must divide what is split: heads, KV heads (or be divided by them), the intermediate size."""
    ranks = config.tensor_parallel_size
    if module.shard == "none" or any(part in module.name for part in _OTHER_SPLITS):
        return None
    if module.units:
        divides = module.units % ranks == 0 if module.units >= ranks else ranks % module.units == 0
        if divides or not module.name.endswith(("k_proj", "v_proj")):
            return None
        return Refusal(
            "tp-does-not-divide-kv-heads",
            f"{module.units} KV heads cannot be split or shared among {ranks} tensor parallel ranks",
            "model",
            ("tensor_parallel_size",),
        )
    size = module.out_features if module.shard == "out" else module.in_features
    if module.role == "experts":
        if config.enable_expert_parallel:
            return None
        size //= 2 if module.name.endswith("gate_up_proj") else 1
    if size % ranks == 0:
        return None
    return Refusal(
        "tp-does-not-divide-intermediate",
        f"{size} is not divisible by {ranks}",
        "model",
        ("tensor_parallel_size",),
    )


def _moe_refusal(config: EngineConfig, given: Given, layers: range) -> Refusal | None:
    experts, name = config.architecture.num_experts, config.model_class
    if not is_moe(config.architecture):
        return None
    ranks = config.tensor_parallel_size
    if ranks > experts and not config.enable_expert_parallel and name.startswith(_WANT_EXPERT_A_RANK):
        return Refusal(
            "tp-above-experts",
            f"Tensor parallel size {ranks} is greater than the number of experts {experts}.",
            "model",
            ("tensor_parallel_size",),
        )
    world = ranks * config.data_parallel_size
    if config.enable_expert_parallel and experts % world and not given.since("0.10.1"):
        return Refusal(
            "experts-not-divisible",
            f"{experts} experts cannot be spread evenly over {world} ranks",
            "model",
            ("enable_expert_parallel", "tensor_parallel_size"),
        )
    return _missing_moe_refusal(config, layers)


def _missing_moe_refusal(config: EngineConfig, layers: range) -> Refusal | None:
    llama4 = config.model_class.startswith("Llama4") and not config.release.at_least("0.12.0")
    if llama4 and config.release.at_least("0.11.1") and config.pipeline_parallel_size > 1:
        # 0.11.2 looks for MoE layers on every stage's whole list and finds placeholders.
        return _no_moe_layer(config)
    since = _WANT_MOE_LAYER.get(config.model_class)
    if since is None or not config.release.at_least(since):
        return None
    if _moe_layers(config) & frozenset(layers):
        return None
    return _no_moe_layer(config)


def _moe_layers(config: EngineConfig) -> frozenset[int]:
    found: Iterable[tuple[int, ...]] = (
        module.layers for module in modules_of(config.architecture) if module.role == "experts"
    )
    return frozenset(layer for layers in found for layer in layers)


def _no_moe_layer(config: EngineConfig) -> Refusal:
    return Refusal(
        "pipeline-stage-without-layers",
        f"No MoE layer found in the model.layers of a pipeline stage ({config.model_class}).",
        "model",
        ("pipeline_parallel_size",),
    )

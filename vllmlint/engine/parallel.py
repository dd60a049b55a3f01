"""What the parallel configuration refuses (`ParallelConfig`, `verify_with_parallel_config`; 4.1)."""

from __future__ import annotations

from vllmlint.engine.errors import RefusedError
from vllmlint.engine.given import Given
from vllmlint.engine.model_class import ModelClass
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.record import record


@record
class ParallelSizes:
    """How many ranks there are of each kind."""

    tensor: int
    pipeline: int
    data: int
    decode_context: int
    prefill_context: int
    expert: bool

    @property
    def world_size(self) -> int:
        """Ranks of one engine."""
        return self.tensor * self.pipeline * self.prefill_context


def parallel_sizes(given: Given) -> ParallelSizes:
    """The sizes as asked."""
    return ParallelSizes(
        tensor=given.size("tensor_parallel_size"),
        pipeline=given.size("pipeline_parallel_size"),
        data=given.size("data_parallel_size"),
        decode_context=given.size("decode_context_parallel_size"),
        prefill_context=given.size("prefill_context_parallel_size"),
        expert=given.flag("enable_expert_parallel"),
    )


def check_sizes(given: Given, sizes: ParallelSizes) -> None:
    """`ParallelConfig`: GPUs of the node, data parallel, EPLB, context parallel, in that order."""
    _check_world_size(given, sizes)
    local = given.integer("data_parallel_size_local")
    if local is not None and local > sizes.data:
        raise RefusedError(
            "data-parallel-size-local",
            f"data_parallel_size_local ({local}) must be <= data_parallel_size ({sizes.data})",
            "data_parallel_size_local",
            "data_parallel_size",
        )
    if given.flag("enable_eplb"):
        _check_eplb(sizes)
    _check_context_parallel(sizes)


def _check_world_size(given: Given, sizes: ParallelSizes) -> None:
    gpus = given.request.gpus_per_node
    if gpus is None or given.text("distributed_executor_backend") is not None or given.size("nnodes") > 1:
        return
    if sizes.world_size * sizes.data > 1 and sizes.world_size > gpus:
        raise RefusedError(
            "world-size-above-gpus",
            f"World size ({sizes.world_size}) is larger than the number of available GPUs ({gpus}) in this "
            "node.",
            "tensor_parallel_size",
            "pipeline_parallel_size",
        )


def _check_eplb(sizes: ParallelSizes) -> None:
    if not sizes.expert:
        raise RefusedError(
            "eplb-without-expert-parallel",
            "enable_expert_parallel must be True to use EPLB.",
            "enable_eplb",
            "enable_expert_parallel",
        )
    if sizes.tensor * sizes.prefill_context * sizes.data <= 1:
        raise RefusedError(
            "eplb-on-one-rank",
            f"EPLB requires tensor_parallel_size or data_parallel_size to be greater than 1, but got "
            f"TP={sizes.tensor}, DP={sizes.data}.",
            "enable_eplb",
        )


def _check_context_parallel(sizes: ParallelSizes) -> None:
    decode, prefill = sizes.decode_context, sizes.prefill_context
    if prefill == 1 and sizes.tensor % decode:
        raise RefusedError(
            "dcp-does-not-divide-tp",
            f"tp_size={sizes.tensor} must be divisible by dcp_size={decode}.",
            "decode_context_parallel_size",
            "tensor_parallel_size",
        )
    if prefill > 1 and decode not in (1, prefill, sizes.tensor * prefill):
        raise RefusedError(
            "dcp-with-pcp",
            "When PCP is enabled, DCP must be disabled, span the PCP axis, or span the full TP x PCP axis.",
            "decode_context_parallel_size",
            "prefill_context_parallel_size",
        )


def check_external_load_balancing(given: Given, sizes: ParallelSizes) -> None:
    """An external load balancer before a dense model's ranks (0.21.0 on)."""
    external = given.flag("data_parallel_external_lb") or given.integer("data_parallel_rank") is not None
    if sizes.data > 1 and external and not is_moe(given.architecture) and given.since("0.21.0"):
        raise RefusedError(
            "dp-external-lb-dense-model",
            "Non-MoE models do not support external data parallel mode.",
            "data_parallel_external_lb",
            "data_parallel_rank",
            "data_parallel_size",
        )


def is_moe(architecture: ModelArchitecture) -> bool:
    """Whether vLLM counts any expert (`ModelConfig.is_moe`)."""
    return architecture.num_experts > 0


def total_kv_heads(architecture: ModelArchitecture) -> int | None:
    """KV heads of the whole model, as vLLM counts them (`get_total_num_kv_heads`)."""
    multi_query = architecture.flag("multi_query") and not architecture.flag("new_decoder_architecture")
    if architecture.model_type in ("falcon", "RefinedWeb", "RefinedWebModel") and multi_query:
        return 1
    for name in ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num"):
        value = architecture.integer(name)
        if value is not None:
            return value
    return architecture.num_attention_heads


def check_model(given: Given, sizes: ParallelSizes, model: ModelClass) -> None:
    """`verify_with_parallel_config`: heads, expert parallel, pipeline parallel, decode context parallel."""
    architecture = given.architecture
    heads = architecture.num_attention_heads
    if heads is not None and heads % sizes.tensor:
        raise RefusedError(
            "tp-does-not-divide-heads",
            f"Total number of attention heads ({heads}) must be divisible by tensor parallel size "
            f"({sizes.tensor}).",
            "tensor_parallel_size",
        )
    if sizes.expert and not is_moe(architecture) and given.since("0.8.0"):
        raise RefusedError(
            "expert-parallel-on-dense-model",
            "Number of experts in the model must be greater than 0 when expert parallelism is enabled.",
            "enable_expert_parallel",
        )
    if sizes.pipeline > 1 and model.certain and not model.pipeline_parallel:
        raise RefusedError(
            "pipeline-parallel-unsupported",
            "Pipeline parallelism is not supported for this model. Supported models implement the "
            "`SupportsPP` interface.",
            "pipeline_parallel_size",
        )
    kv_heads = total_kv_heads(architecture)
    if sizes.decode_context > 1 and not architecture.is_mla and heads and kv_heads:
        _check_decode_context(sizes, heads, kv_heads)


def _check_decode_context(sizes: ParallelSizes, heads: int, kv_heads: int) -> None:
    settings = ("decode_context_parallel_size", "tensor_parallel_size")
    if sizes.tensor <= kv_heads:
        raise RefusedError(
            "dcp-tp-not-above-kv-heads",
            f"tensor parallel size {sizes.tensor} must be greater than total num kv heads {kv_heads} when "
            "enable decode context parallel for GQA/MQA",
            *settings,
        )
    most = sizes.tensor // kv_heads
    if sizes.decode_context > most:
        raise RefusedError(
            "dcp-above-kv-replicas",
            f"decode context parallel size must less than or equal to (tensor parallel size {sizes.tensor} "
            f"// total num kv heads {kv_heads}) = {most}, but got {sizes.decode_context}",
            *settings,
        )
    if (heads // kv_heads) % sizes.decode_context:
        raise RefusedError(
            "dcp-does-not-divide-query-groups",
            f"Total number of q per kv attn heads ({heads // kv_heads}) must be divisible by dcp world size "
            f"when enable decode context parallel for GQA ({sizes.decode_context}).",
            *settings,
        )

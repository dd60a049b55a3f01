"""From a request to what vLLM resolves it to, or to why it refuses (`EngineArgs.create_engine_config`).

The steps and the checks between them are in vLLM's own order, so the first refusal is the one that vLLM
prints: model configuration (class, runner, dtype, length, quantisation), cache, parallel sizes,
speculation, batch limits, then what only the whole configuration can tell.
"""

from __future__ import annotations

from vllmlint.engine.batch import (
    BatchLimits,
    Prefill,
    check_limits,
    resolve_limits,
    resolve_prefill,
)
from vllmlint.engine.cache_dtype import (
    check_cache_dtype,
    check_nvfp4_mla,
    hooked_cache_dtype,
    resolve_cache_dtype,
)
from vllmlint.engine.config import EngineConfig, EngineRequest, ModelRunner, Refusal
from vllmlint.engine.dtype import resolve_dtype
from vllmlint.engine.errors import RefusedError
from vllmlint.engine.given import Given
from vllmlint.engine.graphs import resolve_graphs
from vllmlint.engine.length import ModelLength, resolve_length
from vllmlint.engine.mamba import Mamba, check_state_dtype, resolve_mamba
from vllmlint.engine.model_class import ModelClass, model_class
from vllmlint.engine.parallel import (
    ParallelSizes,
    check_external_load_balancing,
    check_model,
    check_sizes,
    parallel_sizes,
)
from vllmlint.engine.quantization import check_method, resolve_quantization
from vllmlint.engine.runner import RunnerType, resolve_model_runner, resolve_runner_type
from vllmlint.engine.scheduling import hybrid_manager_off, resolve_async_scheduling
from vllmlint.engine.speculation import Speculation, resolve_speculation
from vllmlint.models.quantization import CheckpointQuantization, quantization_of
from vllmlint.record import record

#: Default of `--gpu-memory-utilization` and the release from which it is higher (vllm-memory.md 2.1).
UTILIZATION, HIGHER_UTILIZATION, HIGHER_SINCE = 0.9, 0.92, "0.20.0"


def resolve(request: EngineRequest) -> EngineConfig | Refusal:
    """What vLLM's configuration step makes of a request, or the first thing it refuses.

    Refusals of the worker and of layer construction come later: `device_refusal`, `layer_refusal`.
    """
    try:
        return _resolved(Given(request))
    except RefusedError as error:
        return error.refusal


@record
class _Model:
    """What the model configuration decides."""

    served: ModelClass
    runner_type: RunnerType
    dtype: str
    length: ModelLength
    checkpoint: CheckpointQuantization | None
    quantization: str | None


def _model(given: Given) -> _Model:
    _check_remote_code(given)
    served = model_class(given.architecture, given.release)
    runner = resolve_runner_type(given, served)
    dtype = resolve_dtype(given, runner == "pooling")
    length = resolve_length(given)
    checkpoint = quantization_of(given.architecture)
    return _Model(served, runner, dtype, length, checkpoint, resolve_quantization(given, checkpoint))


def _resolved(given: Given) -> EngineConfig:
    model = _model(given)
    _check_partial_prefills(given)
    engine = resolve_model_runner(given, model.served, model.runner_type, model.dtype)
    length = model.length.resolved
    prefill = resolve_prefill(given, model.served, model.runner_type, engine, length)
    cache_dtype = resolve_cache_dtype(given, model.checkpoint)
    utilization = _utilization(given)
    check_state_dtype(given)
    sizes = parallel_sizes(given)
    check_external_load_balancing(given, sizes)
    check_sizes(given, sizes)
    speculation = resolve_speculation(given, model.served)
    if speculation.method and not speculation.draft:
        # The model drafts for itself, so its speculative configuration holds it against the ranks already.
        check_model(given, sizes, model.served)
    limits = resolve_limits(given, model.served, model.runner_type, engine, prefill, length)
    check_limits(prefill, limits, length)
    mamba = resolve_mamba(given, model.served, engine, prefill, speculation)
    cache_dtype = hooked_cache_dtype(given, model.served, cache_dtype)
    check_cache_dtype(given, cache_dtype, model.dtype)
    check_model(given, sizes, model.served)
    check_method(given, model.quantization, model.checkpoint is not None, model.dtype)
    asynchronous = resolve_async_scheduling(given, engine, model.runner_type, speculation)
    check_nvfp4_mla(given, cache_dtype)
    return _assembled(
        given,
        model,
        engine,
        prefill,
        cache_dtype,
        utilization,
        sizes,
        speculation,
        limits,
        mamba,
        asynchronous,
    )


def _assembled(
    given: Given,
    model: _Model,
    engine: ModelRunner,
    prefill: Prefill,
    cache_dtype: str,
    utilization: float,
    sizes: ParallelSizes,
    speculation: Speculation,
    limits: BatchLimits,
    mamba: Mamba,
    asynchronous: bool,
) -> EngineConfig:
    graphs = resolve_graphs(given, model.served, model.runner_type, engine, limits, speculation.tokens)
    return EngineConfig(
        request=given.request,
        model_runner=engine,
        runner_type=model.runner_type,
        dtype=model.dtype,
        quantization=model.quantization,
        kv_cache_dtype=cache_dtype,
        max_model_len=model.length.resolved,
        derived_max_model_len=model.length.derived,
        max_num_batched_tokens=limits.tokens,
        max_num_seqs=limits.seqs,
        enable_chunked_prefill=prefill.chunked,
        enable_prefix_caching=mamba.prefix_caching,
        async_scheduling=asynchronous,
        gpu_memory_utilization=utilization,
        tensor_parallel_size=sizes.tensor,
        pipeline_parallel_size=sizes.pipeline,
        data_parallel_size=sizes.data,
        decode_context_parallel_size=sizes.decode_context,
        prefill_context_parallel_size=sizes.prefill_context,
        enable_expert_parallel=sizes.expert,
        enforce_eager=given.flag("enforce_eager"),
        cudagraph_mode=graphs.mode,
        max_cudagraph_capture_size=graphs.largest,
        user_block_size=given.integer("block_size"),
        mamba_cache_mode=mamba.cache_mode,
        num_speculative_tokens=speculation.tokens,
        other={
            "cudagraph_capture_sizes": graphs.sizes,
            "speculative_method": speculation.method,
            "speculative_model": speculation.draft,
        },
        auto_max_model_len=model.length.auto,
        disable_hybrid_kv_cache_manager=hybrid_manager_off(given, speculation),
        model_class=model.served.name,
        is_hybrid=model.served.hybrid,
        mamba_ssm_cache_dtype=mamba.ssm_cache_dtype,
        doubts=_doubts(given, model),
    )


def _doubts(given: Given, model: _Model) -> tuple[str, ...]:
    doubts = []
    if model.runner_type == "generate" and given.architecture.class_name.endswith("Model"):
        doubts.append("a sentence-transformers modules.json beside the config would make it a pooling model")
    if given.gpu.memory_gib is None:
        doubts.append("the memory of the GPU is not known, which decides the batch limits")
    if not model.served.certain:
        doubts.append("no release that was read says whether vLLM serves this architecture")
    if model.checkpoint is not None and model.checkpoint.doubt:
        doubts.append(model.checkpoint.doubt)
    return tuple(doubts)


def _utilization(given: Given) -> float:
    asked = given.number("gpu_memory_utilization")
    if asked is None:
        return HIGHER_UTILIZATION if given.since(HIGHER_SINCE) else UTILIZATION
    if asked > 1 or (asked <= 0 and given.since("0.11.1")):
        raise RefusedError(
            "gpu-memory-utilization-range",
            f"gpu_memory_utilization should be greater than 0 and less than or equal to 1, not {asked:g}",
            "gpu_memory_utilization",
        )
    return asked


def _check_remote_code(given: Given) -> None:
    """A config whose class neither vLLM nor Transformers has (4.5)."""
    needed = given.architecture.published.get("needs_trust_remote_code") is True
    if needed and not given.flag("trust_remote_code"):
        raise RefusedError(
            "trust-remote-code-missing",
            "Failed to load the model config. If the model is a custom model not yet available in the "
            "HuggingFace transformers library, consider setting `trust_remote_code=True`.",
            "trust_remote_code",
        )


def _check_partial_prefills(given: Given) -> None:
    asked = max(given.size("max_num_partial_prefills"), given.size("max_long_partial_prefills"))
    if asked > 1 and given.since("0.11.0"):
        raise RefusedError(
            "partial-prefills-unsupported",
            "Concurrent Partial Prefill is not supported. We recommend to remove Concurrent Partial Prefill "
            "from your config.",
            "max_num_partial_prefills",
        )

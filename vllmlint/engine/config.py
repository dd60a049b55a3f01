"""The engine configuration: what is asked of vLLM, and what it resolves that to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from vllmlint.hardware.gpu import Gpu
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.record import record
from vllmlint.serving.release import Release

#: Which engine and model runner does the work: the V0 engine, or the first or second runner of V1.
ModelRunner = Literal["v0", "v1", "v2"]
#: `--max-model-len` that lets vLLM shorten the length by itself until the KV cache holds it.
AUTO_MAX_MODEL_LEN = -1
#: Where a start is refused: engine configuration, the worker's device check, layer construction, grouping
#: of the KV cache, KV cache planning.
RefusalStage = Literal["config", "device", "model", "groups", "kv"]


@record
class EngineRequest:
    """What is asked of vLLM: `settings` holds the arguments that were given, by vLLM's names with
    underscores, as its parser types them; `env` the environment variables that were given."""

    release: Release
    architecture: ModelArchitecture
    gpu: Gpu
    settings: Mapping[str, Any]
    env: Mapping[str, str]
    gpus_per_node: int | None = None


@record
class Refusal:
    """vLLM does not start: `rule` names the condition (kebab case), `message` is the gist of what vLLM
    says, `stage` where it falls. `settings` names the arguments it is about."""

    rule: str
    message: str
    stage: RefusalStage = "config"
    settings: tuple[str, ...] = ()


@record
class EngineConfig:
    """What vLLM resolves a request to. Names are vLLM's; sizes in tokens or requests.

    `quantization` is the method's name after aliases (None: unquantised), `dtype` and `kv_cache_dtype`
    as vLLM names them (`bfloat16`, `fp8_e4m3`; `kv_cache_dtype` may stay `auto`). `max_model_len` is what the
    engine starts with; with `auto_max_model_len` vLLM then shortens it until the KV cache holds it.
    `derived_max_model_len` is the most the model's config allows. `user_block_size` is `--block-size` as
    given. `model_class` is the class that serves the model (`TransformersForCausalLM`: vLLM has none of its
    own). `other` holds what else was resolved, by vLLM's names; `doubts` says what could not be told and was
    taken as it usually is.
    """

    request: EngineRequest
    model_runner: ModelRunner
    runner_type: Literal["generate", "pooling"]
    dtype: str
    quantization: str | None
    kv_cache_dtype: str
    max_model_len: int
    derived_max_model_len: int
    max_num_batched_tokens: int
    max_num_seqs: int
    enable_chunked_prefill: bool
    enable_prefix_caching: bool
    async_scheduling: bool
    gpu_memory_utilization: float
    tensor_parallel_size: int
    pipeline_parallel_size: int
    data_parallel_size: int
    decode_context_parallel_size: int
    prefill_context_parallel_size: int
    enable_expert_parallel: bool
    enforce_eager: bool
    cudagraph_mode: str
    max_cudagraph_capture_size: int
    user_block_size: int | None
    mamba_cache_mode: str
    num_speculative_tokens: int
    other: Mapping[str, Any]
    auto_max_model_len: bool = False
    disable_hybrid_kv_cache_manager: bool = False
    model_class: str = ""
    is_hybrid: bool = False
    mamba_ssm_cache_dtype: str = "auto"
    doubts: tuple[str, ...] = ()

    @property
    def release(self) -> Release:
        """The vLLM release."""
        return self.request.release

    @property
    def architecture(self) -> ModelArchitecture:
        """The model."""
        return self.request.architecture

    @property
    def gpu(self) -> Gpu:
        """The GPU of every rank."""
        return self.request.gpu

    @property
    def max_concurrent_batches(self) -> int:
        """Batches in flight at once (`VllmConfig.max_concurrent_batches`, 0.26): what a sliding window has
        to hold is this times `max_num_batched_tokens` (vllm-memory.md 3.4)."""
        if self.async_scheduling and self.model_runner == "v2":
            return self.pipeline_parallel_size + 1
        if self.async_scheduling and self.pipeline_parallel_size == 1:
            return 2
        return self.pipeline_parallel_size

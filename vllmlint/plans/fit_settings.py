"""Which arguments and variables bear on GPU memory: where one of them cannot be told, neither can the sum."""

from __future__ import annotations

from vllmlint.serving.flag_tables import flag_table
from vllmlint.serving.release import Release

#: vLLM's configuration classes whose arguments size weights, caches, batches or graphs
#: (source: the `config` column of schemas/vllm/flags.json).
_CLASSES = frozenset(
    {
        *("ParallelConfig", "CacheConfig", "SchedulerConfig", "CompilationConfig", "LoRAConfig"),
        *("KernelConfig", "MambaConfig", "AttentionConfig", "SpeculativeConfig"),
        *("UVAOffloadConfig", "OffloadConfig", "PrefetchOffloadConfig", "PromptAdapterConfig"),
    }
)
#: Arguments of other classes that do so too.
_OTHERS = frozenset(
    {
        *("max_model_len", "dtype", "quantization", "enforce_eager", "hf_overrides", "rope_scaling"),
        *(
            "rope_theta",
            "runner",
            "task",
            "convert",
            "model_impl",
            "max_seq_len_to_capture",
            "hf_config_path",
        ),
        *("disable_sliding_window", "override_attention_dtype", "quantization_config", "max_logprobs"),
        *("compilation_config", "optimization_level", "performance_mode", "speculative_config"),
        *("kv_transfer_config", "attention_config", "kernel_config", "additional_config"),
        *("limit_mm_per_prompt", "language_model_only", "mm_encoder_tp_mode", "skip_mm_profiling"),
        *("mm_processor_kwargs", "mm_encoder_only", "load_format", "speculative_model"),
        *("num_speculative_tokens", "device", "worker_use_ray", "revision", "enable_prompt_embeds"),
    }
)
#: Arguments of the classes above that say where ranks run or how they talk, not what they hold.
_NEUTRAL = frozenset(
    {
        *("cpu_distributed_timeout_seconds", "data_parallel_address", "data_parallel_rank"),
        *("data_parallel_rpc_port", "data_parallel_start_rank", "device_ids", "distributed_timeout_seconds"),
        *("fault_tolerance_config", "master_addr", "master_port", "node_rank", "numa_bind"),
        *("numa_bind_cpus", "numa_bind_nodes", "prefix_caching_hash_algo", "kv_cache_metrics"),
        *("scheduling_policy", "stream_interval", "max_num_queued_reqs", "max_num_queued_tokens"),
        *("swap_space", "nnodes", "data_parallel_size_local", "preemption_mode", "dp_sync_interval"),
        *("kv_cache_metrics_sample", "data_parallel_hybrid_lb", "data_parallel_external_lb"),
        *("disable_nccl_for_dp_synchronization", "kv_offloading_backend", "revision"),
    }
)
#: Variables that vLLM's memory profile, backends or limits depend on (vllm-memory.md 0, 1.1, 2.1, 3.3, 4.2).
MEMORY_VARIABLES = frozenset(
    {
        *("VLLM_USE_V1", "VLLM_USE_V2_MODEL_RUNNER", "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS"),
        *("VLLM_ATTENTION_BACKEND", "VLLM_ALLOW_LONG_MAX_MODEL_LEN", "VLLM_PP_LAYER_PARTITION"),
        *("VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE", "VLLM_KV_CACHE_LAYOUT"),
        *("VLLM_FLASH_ATTN_VERSION", "VLLM_MLA_DISABLE", "VLLM_FUSED_MOE_CHUNK_SIZE"),
        *("VLLM_USE_FLASHINFER_SAMPLER", "VLLM_ALL2ALL_BACKEND", "VLLM_ENABLE_V1_MULTIPROCESSING"),
    }
)


def bears_on_memory(name: str, release: Release) -> bool:
    """Whether an argument, by vLLM's name with underscores, can change what a plan says."""
    if name in _NEUTRAL:
        return False
    if name in _OTHERS:
        return True
    spec = flag_table(release).get(name)
    return spec is not None and spec.config in _CLASSES

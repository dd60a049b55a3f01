"""Which engine and model runner serve a request, and whether it generates or pools."""

from __future__ import annotations

from typing import Literal

from vllmlint.engine.config import ModelRunner
from vllmlint.engine.errors import RefusedError
from vllmlint.engine.given import Given
from vllmlint.engine.model_class import ModelClass, suffix_defaults

RunnerType = Literal["generate", "pooling"]
#: Tasks of the older `--task` -> runner.
_POOLING_TASKS = frozenset({"embed", "embedding", "classify", "score", "reward", "pooling", "encode"})
#: Architectures that the second model runner serves by default, by the first release of each list
#: (`DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES` of `vllm/config/vllm.py`; vllm-memory.md 0).
_SECOND_RUNNER: tuple[tuple[str, frozenset[str]], ...] = (
    ("0.28.0", frozenset({"DeepseekV4ForCausalLM"})),
    ("0.27.0", frozenset({"KimiK3ForConditionalGeneration"})),
    (
        "0.26.0",
        frozenset({"InklingForCausalLM", "InklingForConditionalGeneration", "LongcatFlashNgramForCausalLM"}),
    ),
    ("0.24.0", frozenset({"DeepseekV2ForCausalLM", "Qwen2MoeForCausalLM", "GraniteMoeForCausalLM"})),
)
_DENSE_SECOND_RUNNER: dict[str, frozenset[str]] = {
    "0.23.0": frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen3ForCausalLM"}),
    "0.22.0": frozenset({"Qwen3ForCausalLM"}),
}
#: Speculative methods the second runner has; every other one keeps the first runner.
_SECOND_RUNNER_METHODS = frozenset({"eagle", "eagle3", "mtp", "dflash", "dspark"})
#: Before 0.8.0 V1 was opt-in; after 0.10 there is nothing but V1 (vllm-memory.md 0).
V1_DEFAULT, V0_REMOVED, SECOND_RUNNER_DEFAULT = "0.8.0", "0.11.0", "0.29.0"


def resolve_runner_type(given: Given, model: ModelClass) -> RunnerType:
    """`generate` or `pooling`; RefusedError for a runner the model has not."""
    asked = given.text("runner") or "auto"
    task = given.text("task") or "auto"
    convert = given.text("convert") or "auto"
    if asked == "draft" or (asked == "generate" and model.pools and not model.generates):
        if model.generates:
            return "generate"
        raise RefusedError(
            "runner-unsupported",
            f"Embedding models do not support `--runner {asked}`.",
            "runner",
        )
    if asked in ("generate", "pooling"):
        return "pooling" if asked == "pooling" else "generate"
    if task in _POOLING_TASKS or convert not in ("auto", "none"):
        return "pooling"
    if task == "generate":
        return "generate"
    return _default_runner(given, model)


def _default_runner(given: Given, model: ModelClass) -> RunnerType:
    if given.architecture.get("sentence_transformers"):
        return "pooling"
    if model.pools:
        return "pooling"
    if model.registered and model.generates:
        return "generate"
    match = suffix_defaults(given.architecture.class_name or model.name)
    return "pooling" if match is not None and match[0] == "pooling" else "generate"


def resolve_model_runner(given: Given, model: ModelClass, runner: RunnerType, dtype: str) -> ModelRunner:
    """The engine and runner: V0, or the first or second runner of V1 (vllm-memory.md 0)."""
    if not given.since(V0_REMOVED) and not _first_engine(given, model, dtype, runner):
        return "v0"
    return "v2" if _second_runner(given, model, runner) else "v1"


def _first_engine(given: Given, model: ModelClass, dtype: str, runner: RunnerType) -> bool:
    """Whether V1 serves it where V0 still existed (`_is_v1_supported_oracle`, 0.8.5 - 0.10.2)."""
    asked = given.env_flag("VLLM_USE_V1")
    if not given.since(V1_DEFAULT):
        return bool(asked) and given.since("0.6.4")
    if asked is not None:
        return asked
    if model.v0_only or (model.attention_free and not given.since("0.10.0")):
        return False
    if not given.since("0.10.0") and model.hybrid:
        return False
    if not given.since("0.10.0") and given.capability is not None and given.capability < 80:
        return False
    if not given.since("0.9.0") and (dtype not in ("bfloat16", "float16") or runner == "pooling"):
        return False
    if given.size("pipeline_parallel_size") > 1 and not given.since("0.9.0"):
        return False
    return _cache_dtype_in_v1(given) and _speculation_in_v1(given)


def _cache_dtype_in_v1(given: Given) -> bool:
    asked = given.text("kv_cache_dtype") or "auto"
    if asked == "auto":
        return True
    capability = given.capability or 0
    if given.since("0.10.0"):
        return capability >= 90 or given.architecture.is_mla
    return asked.startswith("fp8") and 90 <= capability < 100


def _speculation_in_v1(given: Given) -> bool:
    method = given.mapping("speculative_config").get("method")
    if not given.get("speculative_config"):
        return True
    if not given.since("0.9.0"):
        return False
    return method in ("ngram", "[ngram]", "eagle", "eagle3", "medusa", "deepseek_mtp")


def _second_runner(given: Given, model: ModelClass, runner: RunnerType) -> bool:
    asked = given.env_flag("VLLM_USE_V2_MODEL_RUNNER")
    if asked is not None and given.since("0.12.0"):
        return asked
    if not given.since("0.22.0"):
        return False
    if not given.since(SECOND_RUNNER_DEFAULT) and not _second_by_default(given, model, runner):
        return False
    return not _second_runner_lacks(given)


def _second_by_default(given: Given, model: ModelClass, runner: RunnerType) -> bool:
    if runner != "generate":
        return False
    moe = given.architecture.num_experts > 0
    if not given.since("0.24.0"):
        names = _DENSE_SECOND_RUNNER["0.23.0" if given.since("0.23.0") else "0.22.0"]
        quantized = bool(given.architecture.part("quantization_config"))
        return model.name in names and not moe and not quantized
    listed = any(given.since(first) and model.name in names for first, names in _SECOND_RUNNER)
    if not given.since("0.25.0"):
        return listed or model.name in _DENSE_SECOND_RUNNER["0.23.0"]
    if model.attention_free or (model.hybrid and not (listed and given.since("0.27.0"))):
        return False
    return listed or not moe


def _second_runner_lacks(given: Given) -> bool:
    """What the second runner does not do (`_get_v2_model_runner_unsupported_features`)."""
    speculation = given.mapping("speculative_config")
    method = speculation.get("method")
    pipeline = given.size("pipeline_parallel_size") > 1
    if given.text("distributed_executor_backend") == "external_launcher" and pipeline:
        return True
    if speculation:
        unsupported = method in ("suffix", "custom_class")
        if not given.since("0.33.0"):
            unsupported = method not in _SECOND_RUNNER_METHODS and not str(method).endswith("_mtp")
        if unsupported or (speculation.get("parallel_drafting") and method not in ("dflash", "dspark")):
            return True
    if given.since("0.33.0"):
        return False
    return bool(
        given.get("logits_processors")
        or given.flag("enable_dbo")
        or given.flag("kv_sharing_fast_prefill")
        or (given.flag("enable_prompt_embeds") and not given.since("0.29.0"))
    )

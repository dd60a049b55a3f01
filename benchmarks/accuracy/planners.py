"""The documented formulas of two public planners, for a side-by-side comparison.

Only the formulas are written down, from the sources named; the inputs (parameter counts, sizes) are the same
as vllmlint's, so that differences come from the formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.weights import weight_terms, weight_total

GIB = 1 << 30
#: llm-d configuration explorer, `capacity_planner.py`: constants measured with 0.11.0 on H100.
_EXPLORER_DENSE, _EXPLORER_MOE = 5.5, 8.0
_EXPLORER_NON_TORCH_ONE, _EXPLORER_NON_TORCH_MORE = 0.15, 0.6
#: The same planner later, `data/configuration/vllm_memory_constants.json`: measured with 0.19.0 on H100.
_PLANNER_ACTIVATION: Mapping[str, float] = {
    "LlamaForCausalLM": 1.89,
    "Qwen2ForCausalLM": 2.25,
    "Qwen3ForCausalLM": 2.21,
    "Mistral3ForConditionalGeneration": 2.10,
    "PixtralForConditionalGeneration": 2.10,
    "DeepseekV2ForCausalLM": 1.93,
    "GraniteForCausalLM": 0.85,
    "LlavaNextForConditionalGeneration": 0.79,
    "MixtralForCausalLM": 1.21,
    "Phi3ForCausalLM": 1.52,
    "Qwen2MoeForCausalLM": 2.47,
    "Qwen3MoeForCausalLM": 2.68,
    "Gemma2ForCausalLM": 3.65,
    "Gemma3ForCausalLM": 3.94,
    "GemmaForCausalLM": 3.63,
}
_PLANNER_DENSE, _PLANNER_MOE, _PLANNER_MULTIMODAL = 2.0, 2.5, 2.0
#: LLM-GPU-Calc, `app.py`: non-torch memory 1024 MiB, activation T x (18 H + 4 I) bytes.
_CALC_NON_TORCH = 1.0


def _box_gib(config: EngineConfig) -> float:
    """The figure on the box that both planners take for the card's memory."""
    total = config.gpu.memory_gib or 0.0
    sizes = (6, 8, 12, 16, 20, 24, 32, 40, 48, 80, 94, 96, 141, 180, 192, 288)
    return float(next((size for size in sizes if size >= total - 0.6), total))


def _weights(config: EngineConfig) -> float:
    """Parameters over the GPUs: both divide the checkpoint evenly; vllmlint's sum stands for its size."""
    stages = range(config.pipeline_parallel_size)
    whole = sum(weight_total(weight_terms(config, stage)).mid for stage in stages)
    return whole / config.pipeline_parallel_size


def config_explorer(config: EngineConfig) -> dict[str, float]:
    """llm-d configuration explorer (llm-d-incubation/llm-d-planner, `capacity_planner.py`)."""
    weights = _weights(config)
    activation = _EXPLORER_MOE if config.architecture.is_moe else _EXPLORER_DENSE
    one = config.tensor_parallel_size == 1
    other = _EXPLORER_NON_TORCH_ONE if one else _EXPLORER_NON_TORCH_MORE
    gpus = config.tensor_parallel_size * config.pipeline_parallel_size
    # the activation of one replica is taken once from the memory of all its GPUs
    room = _box_gib(config) * config.gpu_memory_utilization - weights - activation / gpus - other
    return {"weights": weights, "activation": activation, "KV GiB": max(0.0, room)}


def planner_0_19(config: EngineConfig) -> dict[str, float]:
    """The same planner with its later constants (`vllm_memory_constants.json`, vLLM 0.19.0 on H100)."""
    weights = _weights(config)
    model = config.architecture
    base = _PLANNER_MOE if model.is_moe else _PLANNER_DENSE
    if model.part("vision_config"):
        base = _PLANNER_MULTIMODAL
    activation = _PLANNER_ACTIVATION.get(model.class_name, base)
    many, piped = config.tensor_parallel_size > 1, config.pipeline_parallel_size > 1
    other = 2.10 if many else 0.07 if piped else 0.27
    room = _box_gib(config) * config.gpu_memory_utilization - weights - activation - other
    return {"weights": weights, "activation": activation, "KV GiB": max(0.0, room)}


def llm_gpu_calc(config: EngineConfig) -> dict[str, float]:
    """LLM-GPU-Calc (gjgjos/LLM-GPU-Calc, `app.py`), solved for the KV cache of one GPU's share."""
    weights = _weights(config)
    hidden = config.architecture.hidden_size or 0
    inner = config.architecture.integer("intermediate_size") or 0
    activation = config.max_model_len * (18 * hidden + 4 * inner) / GIB
    room = _box_gib(config) * config.gpu_memory_utilization - weights - activation - _CALC_NON_TORCH
    return {"weights": weights, "activation": activation, "KV GiB": max(0.0, room)}


PLANNERS: dict[str, Callable[[EngineConfig], dict[str, float]]] = {
    "llm-d configuration explorer": config_explorer,
    "llm-d planner, 0.19.0 constants": planner_0_19,
    "LLM-GPU-Calc": llm_gpu_calc,
}


def planned(name: str, config: EngineConfig) -> dict[str, float]:
    """What a planner's formulas give: weights, activation and KV GiB of one GPU."""
    return PLANNERS[name](config)

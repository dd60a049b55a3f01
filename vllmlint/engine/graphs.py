"""CUDA graph mode and the largest captured batch (`VllmConfig._set_cudagraph_sizes`; vllm-memory.md 2.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllmlint.engine.batch import BatchLimits
from vllmlint.engine.config import ModelRunner
from vllmlint.engine.given import Given
from vllmlint.engine.model_class import ModelClass
from vllmlint.engine.runner import RunnerType
from vllmlint.record import record

#: The default ceiling; 1024 on compute capability 10.x since 0.28.0 and for gpt-oss since 0.11.1.
CEILING, WIDE_CEILING = 512, 1024
#: CUDA graph mode by optimization level (`OPTIMIZATION_LEVEL_TO_CONFIG`); the default level is 2.
_MODES = {0: "NONE", 1: "PIECEWISE", 2: "FULL_AND_PIECEWISE", 3: "FULL_AND_PIECEWISE"}
#: The older `cudagraph_mode` numbers of a compilation config.
_NUMBERS = {0: "NONE", 1: "PIECEWISE", 2: "FULL", 3: "FULL_DECODE_ONLY", 4: "FULL_AND_PIECEWISE"}


@record
class Graphs:
    """`mode` as vLLM names it, `largest` batch captured in tokens (0: none), `sizes` in ascending order."""

    mode: str
    largest: int
    sizes: tuple[int, ...]


def resolve_graphs(
    given: Given,
    model: ModelClass,
    runner: RunnerType,
    engine: ModelRunner,
    limits: BatchLimits,
    speculative_tokens: int,
) -> Graphs:
    """The graphs that are captured at start-up."""
    compilation = given.mapping("compilation_config")
    mode = _mode(given, model, runner, engine, compilation)
    if mode == "NONE":
        return Graphs(mode, 0, ())
    asked = given.get("cudagraph_capture_sizes") or compilation.get("cudagraph_capture_sizes")
    asked = asked or given.get("cuda_graph_sizes") or given.get("cuda_graph_capture_sizes")
    sizes = [size for size in asked if isinstance(size, int)] if isinstance(asked, list | tuple) else []
    if len(sizes) > 1 or (sizes and given.since("0.11.1")):
        kept = tuple(sorted({size for size in sizes if size <= limits.tokens}))
        return Graphs(mode, kept[-1] if kept else 0, kept)
    if engine == "v0":
        found = _first_engine_sizes(limits.seqs)
    else:
        stated = sizes[0] if sizes else _stated_ceiling(given, compilation)
        found = _sizes(given, limits, _ceiling(given, model, limits, speculative_tokens, stated))
        if stated is None:
            found = sorted({*found, *_decode_sizes(given, model, limits, speculative_tokens)})
    return Graphs(mode, found[-1] if found else 0, tuple(found))


def _mode(
    given: Given, model: ModelClass, runner: RunnerType, engine: ModelRunner, compilation: Mapping[str, Any]
) -> str:
    if given.flag("enforce_eager"):
        return "NONE"
    level = given.integer("optimization_level")
    asked = compilation.get("cudagraph_mode")
    if isinstance(asked, int):
        asked = _NUMBERS.get(asked)
    if isinstance(asked, str):
        mode = asked.upper()
    elif given.since("0.12.0"):
        mode = _MODES.get(2 if level is None else level, _MODES[2])
    elif engine == "v0":
        mode = "FULL_DECODE_ONLY"
    else:
        mode = "FULL_AND_PIECEWISE" if given.since("0.11.0") else "PIECEWISE"
    if runner == "pooling" and mode.startswith("FULL"):
        return "PIECEWISE"
    if given.architecture.flag("is_encoder_decoder") and mode not in ("NONE", "FULL_DECODE_ONLY"):
        return "FULL_DECODE_ONLY" if given.since("0.12.0") else "PIECEWISE"
    return mode


def _stated_ceiling(given: Given, compilation: Mapping[str, Any]) -> int | None:
    stated = given.integer("max_cudagraph_capture_size") or compilation.get("max_cudagraph_capture_size")
    return stated if isinstance(stated, int) else None


def default_ceiling(given: Given) -> int:
    """The largest batch vLLM captures by itself on this GPU."""
    capability = given.gpu.compute_capability
    wide = capability is not None and capability[0] == 10 and given.since("0.28.0")
    return WIDE_CEILING if wide else CEILING


def _ceiling(
    given: Given, model: ModelClass, limits: BatchLimits, speculative_tokens: int, stated: int | None
) -> int:
    if stated is None and model.name == "GptOssForCausalLM" and given.since("0.11.1"):
        stated = WIDE_CEILING
    if stated is None:
        if not given.since("0.10.0"):
            stated = CEILING
        else:
            query = 1 + (speculative_tokens if given.since("0.13.0") else 0)
            stated = min(limits.seqs * query * 2, default_ceiling(given))
    return min(stated, limits.tokens)


def _sizes(given: Given, limits: BatchLimits, largest: int) -> list[int]:
    small = [1, 2, 4]
    if given.text("performance_mode") == "interactivity" and given.since("0.17.0"):
        small = list(range(1, 33))
    sizes = [size for size in small if size <= largest]
    if not given.since("0.11.1"):
        return sizes + list(range(8, largest + 1, 8))
    sizes += list(range(8, min(largest + 1, 256), 8)) + list(range(256, largest + 1, 16))
    if limits.tokens <= largest and given.since("0.20.2"):
        sizes.append(limits.tokens)
    return sorted(set(sizes))


def _decode_sizes(given: Given, model: ModelClass, limits: BatchLimits, speculative_tokens: int) -> list[int]:
    """Uniform decode batches that are captured beside the grid (0.29.0 on)."""
    if not given.since("0.29.0") or (model.name == "GptOssForCausalLM"):
        return []
    query, default = 1 + speculative_tokens, default_ceiling(given)
    ceiling = min(limits.seqs * query * 2, default)
    if query == 1:
        sizes = [limits.seqs] if limits.seqs <= ceiling else []
    else:
        most = min(limits.seqs, default)
        counts = {1, 2, 4, *range(8, min(most + 1, 256), 8), *range(256, most + 1, 16), most}
        sizes = [count * query for count in counts if count <= most and count * query <= ceiling]
    return [size for size in sizes if size <= limits.tokens]


def _first_engine_sizes(seqs: int) -> list[int]:
    """V0 captures up to the first size that holds `max_num_seqs`."""
    possible = [1, 2, 4, *range(8, 8 * 1025, 8)]
    largest = next((size for size in possible if size >= seqs), possible[-1])
    return [size for size in possible if size <= largest]

"""CUDA graph memory: what is captured, what it costs, whether the budget pays (vllm-memory.md 2.5)."""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.band import ZERO, Band
from vllmlint.memory.dimensions import MIB, Dimensions
from vllmlint.memory.sampler import at_least, before
from vllmlint.record import record

#: MiB that one captured graph costs for each layer: 0.17 to 0.41 in logs of full start-ups (Llama-3.1-8B
#: 0.50 GiB for 86 graphs of 32 layers on A100, 0.91 for 102 on H100, Phi-3 0.46 for 86 of 32, Qwen3-30B-A3B
#: 1.04 for 102 of 48, Qwen3-235B 2.60 for 67 of 94 with TP 8). The driver keeps node and kernel parameters of
#: every layer.
_MIB_PER_LAYER = (0.08, 0.22, 0.42)
#: The second runner captures into one pool: 0.23 GiB for 86 graphs of 32 layers (0.31.0).
_MIB_PER_LAYER_V2 = (0.05, 0.13, 0.3)
#: The estimate counts every graph as dear as the second largest: 0.9 times the real amount (0.84 for 0.91 GiB
#: in a 0.19.0 log) to 3.4 times.
_ESTIMATE_FACTOR = 1.3
#: Estimates for mixture-of-experts and hybrid models run away on some kernels (one of 118 GiB is on record):
#: the bound cannot be tight. With experts and speculation one log has 6.24 GiB for 60 graphs, 0.1 GiB each:
#: it only bounds the band. Why the second sample is so large there is not known; perhaps whole workspaces.
_RUNAWAY_FACTOR = 4.0
_RUNAWAY_GIB = 0.105
_MIB_PER_GIB = 1024


@record
class GraphCost:
    """GiB charged to the budget, GiB really taken, and the formula."""

    charged: Band
    actual: Band
    formula: str


def capture_sizes(config: EngineConfig) -> tuple[int, ...]:
    """Batch sizes that graphs are captured for: as resolved, else 1, 2, 4, steps of 8, and of 16 above 256
    (0.11.1+)."""
    given = config.other.get("cudagraph_capture_sizes")
    if given:
        return tuple(given)
    largest = config.max_cudagraph_capture_size
    if largest <= 0:
        return ()
    small = [size for size in (1, 2, 4) if size <= largest]
    if at_least(config.release, 0, 11, 1):
        eights = range(8, min(largest + 1, 256), 8)
        sixteens = range(256, largest + 1, 16)
        return (*small, *eights, *sixteens)
    return (*small, *range(8, largest + 1, 8))


def lora_variants(config: EngineConfig) -> int:
    """How often each graph is captured for LoRA: with and without adapters since 0.11
    (`cudagraph_specialize_lora`); with `--specialize-active-lora` for no adapter, each power of two up to
    `--max-loras`, and all of them and one (459 = 51 x 9 piecewise graphs for 64 slots in a 0.27.1 log).
    """
    settings = config.request.settings
    if settings.get("enable_lora") is not True or before(config.release, 0, 11):
        return 1
    if settings.get("specialize_active_lora") is not True:
        return 2
    slots = settings.get("max_loras")
    most = slots if isinstance(slots, int) and slots > 0 else 1
    return len({0, most + 1, *(1 << power for power in range(most.bit_length()))})


def graph_counts(config: EngineConfig) -> tuple[int, int]:
    """How many (piecewise, full) graphs are captured."""
    mode = config.cudagraph_mode.upper()
    if config.enforce_eager or mode == "NONE":
        return 0, 0
    sizes = capture_sizes(config)
    full_limit = config.max_num_seqs * (1 + config.num_speculative_tokens)
    variants = lora_variants(config)
    full = variants * sum(1 for size in sizes if size <= full_limit)
    piecewise = variants * len(sizes)
    if config.model_runner == "v0" or mode in ("FULL", "FULL_DECODE_ONLY"):
        return 0, full
    return piecewise, full if "FULL" in mode else 0


def estimate_is_charged(config: EngineConfig) -> bool:
    """Whether the budget pays: since 0.20.0, or from 0.18 with VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS=1."""
    chosen = config.request.env.get("VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS")
    if chosen is not None:
        return chosen.strip().lower() in ("1", "true") and at_least(config.release, 0, 18)
    if before(config.release, 0, 20):
        return False
    return config.gpu.vendor != "amd" or at_least(config.release, 0, 26)


def graph_cost(config: EngineConfig, sizes: Dimensions) -> GraphCost:
    """What CUDA graphs take on one rank, and what of it is charged to the budget."""
    piecewise, full = graph_counts(config)
    count = piecewise + full
    if count == 0:
        return GraphCost(ZERO, ZERO, "no CUDA graphs")
    layers = max(1, sizes.layers // config.pipeline_parallel_size)
    rates = _MIB_PER_LAYER_V2 if config.model_runner == "v2" else _MIB_PER_LAYER
    floor = count * MIB / (1 << 30)
    amounts = [max(floor, count * layers * rate / _MIB_PER_GIB) for rate in rates]
    actual = Band(amounts[0], amounts[1], amounts[2], "cost of one graph by kernels and driver")
    formula = f"({piecewise} piecewise + {full} full graphs) x {layers} layers x {rates[1]} MiB"
    return GraphCost(_charged(config, actual, count), actual, formula)


def _charged(config: EngineConfig, actual: Band, count: int) -> Band:
    if not estimate_is_charged(config):
        return ZERO
    if config.model_runner == "v2" and before(config.release, 0, 29):
        return ZERO  # the second runner's estimate was a stub that returned 0
    model = config.architecture
    irregular = model.is_moe or bool(model.get("layer_types_pattern")) or config.num_speculative_tokens > 0
    factor = _RUNAWAY_FACTOR if irregular else 2.0
    high = actual.high * factor / 2
    if model.is_moe and config.num_speculative_tokens > 0 and config.model_runner == "v1":
        high = max(high, count * _RUNAWAY_GIB)
    return Band(
        actual.low,
        actual.mid * _ESTIMATE_FACTOR,
        high,
        "vLLM extrapolates from its two largest graphs",
    )

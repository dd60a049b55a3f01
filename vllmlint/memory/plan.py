"""What vLLM does with the memory of a GPU at start, put together from its parts (vllm-memory.md 0).

`requested = utilization * total`; `available = requested - weights - activation - buffers - non-torch -
CUDA graphs`; the KV cache is planned from what is available. Every part is a band, so there are three
cache plans: at the least, the likely and the most memory that may be available.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from vllmlint.engine.config import AUTO_MAX_MODEL_LEN, EngineConfig, EngineRequest, Refusal
from vllmlint.engine.device import device_refusal
from vllmlint.engine.layers import layer_refusal
from vllmlint.engine.resolve import resolve
from vllmlint.memory.band import Band, Term, exact, total
from vllmlint.memory.given_cache import NO_DOUBT, given_cache_check, given_cache_gib
from vllmlint.memory.kv_figures import KvFigures, kv_figures
from vllmlint.memory.profile import profile_terms
from vllmlint.memory.start_check import StartDoubt, start_check
from vllmlint.memory.total import total_memory
from vllmlint.memory.weights import WeightsUnknownError, weight_terms
from vllmlint.record import record

Verdict = Literal["fits", "does-not-fit", "depends", "unknown"]
#: The parts of vLLM's sum, in its order.
Part = Literal["weights", "activation", "buffers", "non_torch", "cuda_graph"]
PARTS: tuple[Part, ...] = ("weights", "activation", "buffers", "non_torch", "cuda_graph")
GIB = 1 << 30
#: `max_model_len` is validated from this release on (`Field(gt=0)`, since 0.14.0 `ge=-1`; before, nothing).
_LENGTH_VALIDATED = "0.13.0"
#: Settings that count something there must be at least one of.
_COUNTS = (
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "data_parallel_size",
    "decode_context_parallel_size",
    "prefill_context_parallel_size",
    "max_num_seqs",
    "max_num_batched_tokens",
    "max_loras",
)
#: Amounts that must not be below zero (`ge=0`; before 0.11 `CacheConfig._verify_args`).
_AMOUNTS = ("cpu_offload_gb", "swap_space")


@record
class StageMemory:
    """One rank of a pipeline stage: the terms of each part, and what is left for the KV cache, in GiB.

    `terms` hold only what vLLM counts against the requested memory. `requested_gib` and `available_gib`
    are what the start allows; `available_gib` may be negative.
    """

    index: int
    terms: Mapping[Part, tuple[Term, ...]]
    requested_gib: Band
    available_gib: Band

    def part(self, name: Part) -> Band:
        """The sum of one part."""
        return total(term.gib for term in self.terms[name])


@record
class MemoryPlan:
    """What becomes of a start.

    `refusal` is the reason vLLM gives where nothing fits it; `config` is None where it refuses before
    anything is sized, and `stages` are empty then. `kv` holds the cache at the low, likely and high end
    of the available memory. `reason` says why the verdict is what it is. `dominant` names the terms that
    take the most, the largest first.
    """

    config: EngineConfig | None
    verdict: Verdict
    reason: str
    refusal: Refusal | None = None
    stages: tuple[StageMemory, ...] = ()
    tightest: int = 0
    kv: tuple[KvFigures, KvFigures, KvFigures] | None = None
    dominant: tuple[str, ...] = ()

    @property
    def needed_gib(self) -> float | None:
        """KV cache that one request of `max_model_len` tokens takes on the tightest rank."""
        if self.kv is None:
            return None
        return next((one.needed_gib for one in self.kv if one.needed_gib is not None), None)

    def careful(self) -> KvFigures | None:
        """The cache at the low end of what may be available."""
        return self.kv[0] if self.kv is not None else None


def composed(
    index: int, terms: Mapping[Part, Sequence[Term]], requested_gib: Band, fixed_gib: float | None
) -> StageMemory:
    """A stage from its terms; `fixed_gib` is a KV cache whose size is given (`--kv-cache-memory-bytes`)."""
    kept = {part: tuple(terms[part]) for part in PARTS}
    if fixed_gib is not None:
        available = exact(fixed_gib)
    else:
        used = total(term.gib for part in PARTS for term in kept[part])
        available = requested_gib.minus(used)
    return StageMemory(index, kept, requested_gib, available)


def dominant_terms(stage: StageMemory, count: int = 3) -> tuple[str, ...]:
    """The terms that take the most of a stage's memory, the largest first."""
    found = [(term.gib.mid, term.name) for part in PARTS for term in stage.terms[part]]
    found.sort(key=lambda pair: -pair[0])
    return tuple(name for gib, name in found[:count] if gib > 0)


def judge(kv: tuple[KvFigures, KvFigures, KvFigures]) -> tuple[Verdict, str]:
    """The verdict of three cache plans and its reason (vllm-memory.md 6): a failure is certain where even
    the most that may be available is too little, a fit where the least is enough."""
    low, _, high = kv
    if high.refusal is not None:
        return "does-not-fit", _short(kv) if high.needed_gib is not None else high.refusal.message
    if low.refusal is None:
        return "fits", _holds(low, high)
    return "depends", _short(kv)


def _holds(low: KvFigures, high: KvFigures) -> str:
    if high.needed_gib == 0:
        return "the model keeps no KV cache"
    if high.shortened:
        lengths = f"{low.max_model_len:,}"
        if high.max_model_len != low.max_model_len:
            lengths += f" to {high.max_model_len:,}"
        return f"vLLM shortens max_model_len to {lengths} tokens, so that one request fits the KV cache"
    tokens = f"{low.tokens:,}" if low.tokens == high.tokens else f"{low.tokens:,} to {high.tokens:,}"
    many = (
        f"{low.concurrency:.2f}"
        if f"{low.concurrency:.2f}" == f"{high.concurrency:.2f}"
        else f"{low.concurrency:.2f} to {high.concurrency:.2f}"
    )
    return f"{tokens} tokens of KV cache, {many} requests of {low.max_model_len:,} tokens at once"


def _short(kv: tuple[KvFigures, KvFigures, KvFigures]) -> str:
    """What is left and what one request needs."""
    low, mid, high = kv
    left = f"{low.available_gib:.2f} to {high.available_gib:.2f} GiB are left for the KV cache"
    if f"{low.available_gib:.2f}" == f"{high.available_gib:.2f}":
        left = f"{mid.available_gib:.2f} GiB are left for the KV cache"
    else:
        left += f", most likely {mid.available_gib:.2f}"
    needed = next((one.needed_gib for one in (high, mid, low) if one.needed_gib is not None), None)
    return (
        left if needed is None else f"{left}; one request of {high.max_model_len:,} tokens needs {needed:.2f}"
    )


def plan_memory(request: EngineRequest) -> MemoryPlan:
    """What becomes of a request: what vLLM refuses, or the sum of every stage and the cache it leaves.

    `unknown` where the model's weights or caches cannot be worked out; the reason says why.
    """
    length = request.settings.get("max_model_len")
    if isinstance(length, int) and length < 0 and not request.release.at_least(_LENGTH_VALIDATED):
        reason = (
            f"max_model_len {length}: vLLM {request.release} does not check it, and has no automatic length"
        )
        return MemoryPlan(None, "unknown", reason)
    resolved = _impossible(request) or resolve(request)
    if isinstance(resolved, Refusal):
        if resolved.rule == "architecture-unsupported" and _brings_its_class(request):
            reason = (
                f"vLLM has no {request.architecture.class_name}; whether its Transformers backend takes the"
                " class that the repository brings cannot be told"
            )
            return MemoryPlan(None, "unknown", reason)
        return MemoryPlan(None, "does-not-fit", resolved.message, resolved)
    return plan_config(resolved)


def _brings_its_class(request: EngineRequest) -> bool:
    """Whether the model's own code may stand in (`auto_map` and `--trust-remote-code`; 0.33.0,
    `model_executor/models/registry.py`, `_try_resolve_transformers`)."""
    trusted = request.settings.get("trust_remote_code") is True
    return trusted and request.architecture.published.get("has_auto_map") is True


def _impossible(request: EngineRequest) -> Refusal | None:
    """Sizes that no release takes: vLLM validates them before anything else (`ge=1` in its configs)."""
    for name in _COUNTS:
        value = request.settings.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value < 1:
            return Refusal("size-below-one", f"{name} must be at least 1, not {value}", "config", (name,))
    for name in _AMOUNTS:
        value = request.settings.get(name)
        if isinstance(value, int | float) and value < 0:
            return Refusal(
                "size-below-zero", f"{name} must not be below 0, it is {value:g}", "config", (name,)
            )
    drafting = request.settings.get("speculative_config")
    tokens = drafting.get("num_speculative_tokens") if isinstance(drafting, Mapping) else None
    if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens < 1:
        # `Field(gt=0)` of SpeculativeConfig
        message = f"num_speculative_tokens must be at least 1, not {tokens}"
        return Refusal("size-below-one", message, "config", ("speculative_config",))
    length, release = request.settings.get("max_model_len"), request.release
    if not isinstance(length, int) or isinstance(length, bool) or length > 0:
        return None
    if length == 0 or (release.at_least(_LENGTH_VALIDATED) and not _is_auto(request)):
        message = f"max_model_len must be more than 0, not {length}"
        return Refusal("size-below-one", message, "config", ("max_model_len",))
    return None


def _is_auto(request: EngineRequest) -> bool:
    """Whether vLLM chooses the length itself: -1 from 0.14.0 on (`config/model.py`)."""
    asked = request.settings.get("max_model_len")
    return asked == AUTO_MAX_MODEL_LEN and request.release.at_least("0.14.0")


def plan_config(config: EngineConfig) -> MemoryPlan:
    """The same for a configuration that is resolved already; the worker and the layers may still refuse."""
    refusal = device_refusal(config) or layer_refusal(config)
    if refusal is not None:
        return MemoryPlan(config, "does-not-fit", refusal.message, refusal)
    layers = config.architecture.num_hidden_layers
    if layers is not None and config.pipeline_parallel_size > layers:
        return MemoryPlan(config, "unknown", f"a pipeline of more stages than the {layers} layers")
    try:
        parts = [_parts(config, stage) for stage in range(config.pipeline_parallel_size)]
    except WeightsUnknownError as error:
        return MemoryPlan(config, "unknown", str(error))
    stages = tuple(part.stage for part in parts)
    tightest = min(range(len(stages)), key=lambda index: stages[index].available_gib.mid)
    dominant = dominant_terms(stages[tightest])
    doubt = _first(start_check(config, part.before_profile, part.outside) for part in parts)
    if doubt.certain is not None:
        return MemoryPlan(
            config, "does-not-fit", doubt.certain.message, doubt.certain, stages, tightest, None, dominant
        )
    kv = kv_figures(config, [stage.available_gib for stage in stages])
    if isinstance(kv, str):
        return MemoryPlan(config, "unknown", kv, None, stages, tightest, None, dominant)
    verdict, reason = judge(kv)
    refusal = kv[2].refusal if verdict == "does-not-fit" else None
    given = _given_cache(config, parts) if verdict == "fits" else NO_DOUBT
    if given.certain is not None:
        verdict, reason, refusal = "does-not-fit", given.certain.message, given.certain
    possible = given.possible or doubt.possible
    if verdict == "fits" and possible is not None:
        verdict, reason = "depends", f"perhaps: {possible.message}"
    return MemoryPlan(config, verdict, reason, refusal, stages, tightest, kv, dominant)


@record
class _Parts:
    """A stage with what it takes beside the budget."""

    stage: StageMemory
    before_profile: Band
    outside: Band


def _parts(config: EngineConfig, index: int) -> _Parts:
    profile = profile_terms(config, index)
    settings = config.request.settings
    terms: dict[Part, Sequence[Term]] = {
        # LoRA slots, the draft model and what is offloaded to host memory are among them
        "weights": weight_terms(config, index),
        "activation": (profile.activation,),
        "buffers": (profile.buffers,),
        "non_torch": (profile.non_torch,),
        "cuda_graph": (profile.cuda_graph,),
    }
    given = settings.get("kv_cache_memory_bytes")
    # 0 is as good as none (`if kv_cache_memory_bytes := …`), what is below is taken as it is, and refused
    fixed = given / GIB if isinstance(given, int) and given != 0 else None
    requested = total_memory(config.gpu).scaled(config.gpu_memory_utilization)
    stage = composed(index, terms, requested, fixed)
    # the first of them is what the process takes before vLLM reads the free memory
    return _Parts(stage, profile.outside[0].gib, profile.outside_gib)


def _given_cache(config: EngineConfig, parts: Sequence[_Parts]) -> StartDoubt:
    """Whether a cache of a given size has room beside the rest, on every stage."""
    sizes = given_cache_gib(config, len(parts))
    if sizes is None:
        return NO_DOUBT
    return _first(
        given_cache_check(config, part.stage, part.outside, size)
        for part, size in zip(parts, sizes, strict=True)
    )


def _first(doubts: Iterable[StartDoubt]) -> StartDoubt:
    """The doubts of all ranks as one: any of them ends the start."""
    found = list(doubts)
    certain = next((one.certain for one in found if one.certain is not None), None)
    return StartDoubt(certain, next((one.possible for one in found if one.possible is not None), None))

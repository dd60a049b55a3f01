"""What to change so that it fits; each change is worked out again before it is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from vllmlint.hardware.gpu import Gpu
from vllmlint.plans.fit import FitPlan, plan_subject
from vllmlint.plans.fit_subject import flag
from vllmlint.record import record

#: Lengths are suggested in steps of this many tokens, the shortest is one step.
_LENGTH_STEP = 256
#: Requests in a batch that are tried, the most first.
_BATCHES = (512, 256, 128, 64, 32, 16, 8)
#: Above 0.95 little is left for what vLLM does not count (vllm-memory.md 2.1).
_UTILIZATIONS = (0.9, 0.92, 0.93, 0.94, 0.95)
_TENSOR_SIZES = (1, 2, 4, 8)


@record
class Suggestion:
    """One change that was worked out again and meets the goal: `settings` are the arguments it changes
    (empty for another GPU), `effect` what the plan then says."""

    change: str
    effect: str
    settings: Mapping[str, Any]
    goal: str


def meets(plan: FitPlan, concurrency: int | None) -> bool:
    """Whether a plan fits for certain, with room for that many requests of full length."""
    if plan.verdict != "fits" or plan.memory is None:
        return False
    careful = plan.memory.careful()
    return concurrency is None or (careful is not None and careful.concurrency >= concurrency)


def suggest(plan: FitPlan, concurrency: int | None, others: Sequence[Gpu]) -> tuple[Suggestion, ...]:
    """Changes that make a plan meet the goal, in the order of what they cost (vllm-memory.md 6): fewer
    requests in a batch, a shorter length, more of the memory, a smaller cache, more GPUs, another GPU.

    Empty where the goal is met already, and where something else than memory is in doubt. Where nothing
    tells the GPU: the one with the least memory that is enough.
    """
    goal = "fits" if concurrency is None else f"holds {concurrency} requests of full length"
    if plan.gpu is None and plan.subject.architecture is not None and not plan.subject.problems:
        return tuple(_elsewhere(plan, concurrency, others, goal))
    if plan.gpu is None or plan.memory is None or plan.verdict == "unknown" or meets(plan, concurrency):
        return ()
    found: list[Suggestion] = []
    for changes in (
        _batch(plan),
        _shorter(plan, concurrency),
        _utilization(plan),
        _cache(plan),
        _split(plan),
    ):
        for settings in changes:
            tried = plan_subject(plan.subject.changed(**settings), plan.gpu, plan.pool)
            if meets(tried, concurrency):
                found.append(Suggestion(_written(settings), tried.reason, settings, goal))
                break
    found += _elsewhere(plan, concurrency, others, goal)
    return tuple(found)


def _written(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{flag(name)} {value}" for name, value in settings.items())


def _batch(plan: FitPlan) -> Iterator[dict[str, Any]]:
    config = plan.memory.config if plan.memory is not None else None
    if config is not None:
        yield from ({"max_num_seqs": size} for size in _BATCHES if size < config.max_num_seqs)


def _shorter(plan: FitPlan, concurrency: int | None) -> Iterator[dict[str, Any]]:
    """The longest length that meets the goal, in steps, worked out over whole plans."""
    memory = plan.memory
    config = memory.config if memory is not None else None
    if config is None or config.max_model_len <= _LENGTH_STEP:
        return

    def works(steps: int) -> bool:
        shorter = plan.subject.changed(max_model_len=steps * _LENGTH_STEP)
        return meets(plan_subject(shorter, plan.gpu, plan.pool), concurrency)

    most = (config.max_model_len - 1) // _LENGTH_STEP
    careful = memory.careful() if memory is not None else None
    longest = careful.longest if careful is not None and careful.longest else 0
    # what vLLM estimates is mostly right: the batch may depend on the length too
    guess = min(longest // (concurrency or 1) // _LENGTH_STEP, most)
    found = guess if guess and works(guess) else 0
    if not found or (found < most and works(found + 1)):
        low, high = found, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if works(middle) else (low, middle - 1)
        found = low
    if found:
        yield {"max_model_len": found * _LENGTH_STEP}


def _utilization(plan: FitPlan) -> Iterator[dict[str, Any]]:
    """More of the memory; less where the start itself has no room beside the budget."""
    memory = plan.memory
    config = memory.config if memory is not None else None
    if memory is None or config is None:
        return
    now = config.gpu_memory_utilization
    refused = memory.refusal is not None and memory.refusal.stage == "device"
    if refused or (memory.kv is not None and memory.kv[0].refusal is None and plan.verdict != "fits"):
        yield from ({"gpu_memory_utilization": part} for part in reversed(_UTILIZATIONS) if part < now)
    elif "kv_cache_memory_bytes" not in plan.subject.settings:
        yield from ({"gpu_memory_utilization": part} for part in _UTILIZATIONS if part > now)


def _cache(plan: FitPlan) -> Iterator[dict[str, Any]]:
    config = plan.memory.config if plan.memory is not None else None
    if config is not None and not config.kv_cache_dtype.startswith("fp8"):
        yield {"kv_cache_dtype": "fp8"}


def _split(plan: FitPlan) -> Iterator[dict[str, Any]]:
    now = plan.subject.settings.get("tensor_parallel_size", 1)
    yield from ({"tensor_parallel_size": size} for size in _TENSOR_SIZES if size != now)


def _elsewhere(
    plan: FitPlan, concurrency: int | None, others: Iterable[Gpu], goal: str
) -> Iterator[Suggestion]:
    """The GPU with the least memory on which the goal is met."""
    here = plan.gpu.memory_gib if plan.gpu is not None and plan.gpu.memory_gib is not None else 0.0
    least = _least_gib(plan)
    larger: dict[float, Gpu] = {}
    for gpu in others:
        memory = gpu.memory_gib
        if memory is not None and memory > max(here, least) and not gpu.unified_memory:
            # one of each size is enough to try
            larger.setdefault(memory, gpu)
    for _, gpu in sorted(larger.items()):
        tried = plan_subject(plan.subject, gpu)
        if meets(tried, concurrency):
            yield Suggestion(f"GPU {gpu.id} ({gpu.memory_gib:.2f} GiB)", tried.reason, {}, goal)
            return


def _least_gib(plan: FitPlan) -> float:
    """Memory below which no GPU can do: weights and the cache of one request, at the least."""
    memory = plan.memory
    if memory is None or not memory.stages:
        return 0.0
    stage = memory.stages[memory.tightest]
    return stage.part("weights").low + (memory.needed_gib or 0.0)

"""What must hold of every plan, whatever the constants are: order of bands, and levers that pull one way."""

from __future__ import annotations

import dataclasses
from typing import Any

from fit_runs import gpu_of, subject_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vllmlint.memory.plan import PARTS, MemoryPlan
from vllmlint.plans.fit import FitPlan, plan_subject

MODELS = (
    "meta-llama/Llama-3.1-8B-Instruct",
    "Qwen/Qwen3-32B-FP8",
    "google/gemma-3-27b-it",
    "openai/gpt-oss-120b",
    "deepseek-ai/DeepSeek-V3",
    "Qwen/Qwen3-30B-A3B",
    "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "mistralai/Mistral-7B-Instruct-v0.1",
)
GPUS = ("nvidia-a100-80gb-sxm", "nvidia-h100-80gb-sxm", "nvidia-h200-141gb-sxm", "nvidia-b200")
RELEASES = ("0.11.2", "0.14.1", "0.20.2", "0.26.0", "0.33.0")
cases = st.tuples(st.sampled_from(MODELS), st.sampled_from(GPUS), st.sampled_from(RELEASES))
sizes = st.sampled_from((1, 2, 4, 8))
lengths = st.integers(9, 15).map(lambda power: 2**power)
batches = st.integers(1, 512)
Case = tuple[str, str, str]
LITTLE = settings(max_examples=40, deadline=None)


def plan(case: Case, memory_gib: float | None = None, **given_settings: Any) -> FitPlan:
    """The plan of a case; `memory_gib` replaces the GPU's memory."""
    model, name, release = case
    gpu = gpu_of(name)
    if memory_gib is not None:
        gpu = dataclasses.replace(gpu, memory_gib=memory_gib)
    return plan_subject(subject_of(model, release, **given_settings), gpu)


def memory_of(found: FitPlan) -> MemoryPlan:
    """The sum of a plan; the example is skipped where vLLM refuses before there is one."""
    assume(found.memory is not None and found.memory.stages and found.memory.kv is not None)
    assert found.memory is not None
    return found.memory


def tokens(found: FitPlan) -> tuple[int, int, int]:
    """Tokens at the low, middle and high end; 0 where the start fails."""
    kv = memory_of(found).kv
    assert kv is not None
    return kv[0].tokens, kv[1].tokens, kv[2].tokens


def available(found: FitPlan) -> float:
    """GiB for the cache, by the middle of the estimate."""
    memory = memory_of(found)
    return memory.stages[memory.tightest].available_gib.mid


@LITTLE
@given(cases, sizes, batches, lengths)
def test_bands_are_ordered(case: Case, size: int, batch: int, length: int) -> None:
    found = plan(case, tensor_parallel_size=size, max_num_seqs=batch, max_model_len=length)
    memory = memory_of(found)
    for stage in memory.stages:
        for part in PARTS:
            band = stage.part(part)
            assert 0 <= band.low <= band.mid <= band.high, part
        left = stage.available_gib
        assert left.low <= left.mid <= left.high
    low, mid, high = tokens(found)
    assert low <= mid <= high
    kv = memory.kv
    assert kv is not None
    longest = [one.longest for one in kv if one.longest is not None]
    assert longest == sorted(longest)
    if found.verdict == "fits":
        assert low > 0
        assert all(one.concurrency >= 1 for one in kv) or case[2] in {"0.11.2", "0.14.1"}


@LITTLE
@given(cases, st.sampled_from((1, 2, 4)), lengths)
def test_more_ranks_never_need_more_each(case: Case, size: int, length: int) -> None:
    few = memory_of(plan(case, tensor_parallel_size=size, max_model_len=length))
    many = memory_of(plan(case, tensor_parallel_size=size * 2, max_model_len=length))
    assert many.stages[0].part("weights").mid <= few.stages[0].part("weights").mid
    if few.needed_gib is not None and many.needed_gib is not None:
        assert many.needed_gib <= few.needed_gib * (1 + 1e-9)


@LITTLE
@given(cases, sizes, st.floats(0.5, 0.9), st.floats(0.005, 0.09))
def test_tokens_fall_with_utilization(case: Case, size: int, share: float, step: float) -> None:
    less = plan(case, tensor_parallel_size=size, gpu_memory_utilization=share, max_model_len=4096)
    more = plan(case, tensor_parallel_size=size, gpu_memory_utilization=share + step, max_model_len=4096)
    for low, high in zip(tokens(less), tokens(more), strict=True):
        assert low <= high
    assert available(less) < available(more)


@LITTLE
@given(cases, sizes, lengths)
def test_a_longer_request_never_needs_less(case: Case, size: int, length: int) -> None:
    short = memory_of(plan(case, tensor_parallel_size=size, max_model_len=length))
    long = memory_of(plan(case, tensor_parallel_size=size, max_model_len=length * 2))
    if short.needed_gib is not None and long.needed_gib is not None:
        assert short.needed_gib <= long.needed_gib
    if long.verdict == "fits":
        assert short.verdict == "fits"


@LITTLE
@given(cases, sizes, batches, st.integers(1, 512))
def test_more_requests_at_once_leave_no_more(case: Case, size: int, batch: int, more: int) -> None:
    common = {"tensor_parallel_size": size, "max_model_len": 4096, "max_num_batched_tokens": 8192}
    few = plan(case, max_num_seqs=batch, **common)
    many = plan(case, max_num_seqs=batch + more, **common)
    assert available(many) <= available(few) + 1e-9


@LITTLE
@given(cases, sizes, st.sampled_from((512, 2048, 8192)))
def test_more_tokens_in_a_batch_leave_no_more(case: Case, size: int, batch: int) -> None:
    common = {"tensor_parallel_size": size, "max_model_len": 512, "max_num_seqs": 64}
    few = plan(case, max_num_batched_tokens=batch, **common)
    many = plan(case, max_num_batched_tokens=batch * 2, **common)
    assert available(many) <= available(few) + 1e-9


@LITTLE
@given(cases, sizes, st.floats(40, 200), st.floats(0.1, 100))
def test_a_larger_gpu_holds_no_fewer_tokens(case: Case, size: int, memory: float, more: float) -> None:
    # with the batch given: its defaults depend on the memory
    common = {
        "tensor_parallel_size": size,
        "max_model_len": 4096,
        "max_num_batched_tokens": 4096,
        "max_num_seqs": 64,
    }
    small = plan(case, memory, **common)
    large = plan(case, memory + more, **common)
    for low, high in zip(tokens(small), tokens(large), strict=True):
        assert low <= high


@LITTLE
@given(cases, st.integers(1, 64))
def test_a_given_cache_is_what_there_is(case: Case, gib: int) -> None:
    found = plan(case, tensor_parallel_size=8, kv_cache_memory_bytes=gib << 30)
    assert available(found) == gib


@LITTLE
@given(cases, st.integers(1, 10_000))
def test_given_blocks_are_what_there_are(case: Case, blocks: int) -> None:
    found = plan(case, tensor_parallel_size=8, max_model_len=512, num_gpu_blocks_override=blocks)
    kv = memory_of(found).kv
    assert kv is not None
    assert {one.blocks for one in kv} <= {blocks, 0}

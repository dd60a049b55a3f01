"""Host memory and start-up time."""

from __future__ import annotations

import pytest
from profile_cases import GEMMA_27B, LLAMA_8B, config

from vllmlint.memory.host import HostMemory, host_memory, process_memory
from vllmlint.memory.load_time import startup_seconds, startup_seconds_anywhere


def term(memory: HostMemory, name: str) -> float:
    """The middle of one term, 0 where there is none."""
    return sum(one.gib.mid for one in memory.terms if one.name == name)


def test_request_tables_are_requests_times_length() -> None:
    """1024 requests x 131072 tokens x 4 B = 0.5 GiB in the second runner, 0.625 GiB in the first."""
    long = {"max_model_len": 131072}
    assert term(host_memory(config(LLAMA_8B, model_runner="v2", **long)), "request tables") == pytest.approx(
        0.5
    )
    assert term(host_memory(config(LLAMA_8B, "0.20.2", **long)), "request tables") == pytest.approx(0.625)


@pytest.mark.parametrize(
    ("version", "runner", "settings", "swap"),
    [
        ("0.6.6", "v0", {}, 8.0),
        ("0.6.6", "v0", {"swap_space": 0}, 0.0),
        ("0.11.0", "v1", {"swap_space": 16}, 0.0),
    ],
)
def test_swap_space_is_taken_by_v0_for_each_gpu(
    version: str, runner: str, settings: dict[str, int], swap: float
) -> None:
    one = config(LLAMA_8B, version, model_runner=runner, tensor_parallel_size=2, settings=settings)
    assert term(host_memory(one), "swap space") == swap


def test_offload_is_counted_for_the_ranks_of_the_node() -> None:
    one = config(LLAMA_8B, tensor_parallel_size=4, settings={"cpu_offload_gb": 10, "kv_offloading_size": 30})
    assert term(host_memory(one, 2), "weights offloaded") == 20
    assert term(host_memory(one), "weights offloaded") == 40
    assert term(host_memory(one), "KV cache offloaded") == 30


def test_whole_shards_only_where_a_loader_holds_them() -> None:
    mapped = host_memory(config(LLAMA_8B, tensor_parallel_size=4))
    held = host_memory(
        config(LLAMA_8B, tensor_parallel_size=4, settings={"load_format": "pt"}), largest_shard_gib=5
    )
    eager = host_memory(
        config(LLAMA_8B, tensor_parallel_size=4, settings={"safetensors_load_strategy": "eager"}),
        largest_shard_gib=5,
    )
    assert term(held, "loading") == term(eager, "loading") == 20
    assert term(mapped, "loading") < 1


def test_shared_memory_by_ranks() -> None:
    one, four = (host_memory(config(LLAMA_8B, tensor_parallel_size=size)).shm.gib for size in (1, 4))
    assert one.high < 64 / 1024  # the runtime's default is enough
    assert four.low > 64 / 1024  # and is not for several ranks
    assert four.high < 4


def test_multimodal_cache_for_each_engine() -> None:
    one = config(GEMMA_27B, data_parallel_size=2)
    cache = next(one for one in host_memory(one).terms if one.name == "multimodal cache")
    assert cache.gib.high == 12  # one API server and two engines
    off = config(GEMMA_27B, settings={"language_model_only": True})
    assert term(host_memory(off), "multimodal cache") == 0


def test_sum_holds_every_term() -> None:
    memory = host_memory(config(LLAMA_8B, tensor_parallel_size=2))
    assert memory.needed_gib.mid == pytest.approx(sum(one.gib.mid for one in memory.terms))
    assert memory.shm in memory.terms


def test_reading_takes_size_over_rate() -> None:
    time = startup_seconds(config(LLAMA_8B), 15.0, read_gib_per_second=1.5)
    read = next(step for step in time.steps if step.name == "read weights")
    assert read.seconds.mid == 10.0
    assert [step.name for step in time.steps if step.name == "download"] == []
    fetched = startup_seconds(config(LLAMA_8B), 15.0, download_gib_per_second=0.5, downloads=True)
    assert next(step for step in fetched.steps if step.name == "download").seconds.mid == 30.0


def test_unknown_rate_widens_and_unknown_size_says_so() -> None:
    known = startup_seconds(config(LLAMA_8B), 15.0, read_gib_per_second=1.0).seconds
    rate = startup_seconds(config(LLAMA_8B), 15.0).seconds
    size = startup_seconds(config(LLAMA_8B), None).seconds
    assert known.high - known.low < rate.high - rate.low < size.high - size.low


def test_eager_skips_compile_and_capture() -> None:
    eager = {
        step.name: step.seconds.high
        for step in startup_seconds(config(LLAMA_8B, enforce_eager=True), 1.0).steps
    }
    assert eager["compile"] == eager["capture graphs"] == 0
    full = {step.name: step.seconds for step in startup_seconds(config(LLAMA_8B, "0.19.0"), 1.0).steps}
    assert full["compile"].low <= 20.2 <= full["compile"].high  # 28 layers in a 0.19 log
    assert full["capture graphs"].low <= 9 <= full["capture graphs"].high


def test_processes_alone_are_the_least_that_a_plan_adds() -> None:
    plan = host_memory(config(LLAMA_8B, tensor_parallel_size=4))
    alone = process_memory(4).gib
    assert alone.mid == pytest.approx(term(plan, "processes"))
    assert alone.low < plan.needed_gib.low
    assert process_memory(1, has_engine_core=False).gib.mid == pytest.approx(alone.mid - 3 * 2.5 - 1.0)


def test_a_start_on_any_gpu_has_wider_bounds() -> None:
    """Nothing is known of compilation and capture without a GPU, so that the low end leaves both out."""
    one = config(LLAMA_8B)
    here = startup_seconds(one, 15.0, read_gib_per_second=1.0).seconds
    anywhere = startup_seconds_anywhere(one.architecture, 1, 15.0, read_gib_per_second=1.0).seconds
    assert anywhere.low <= here.low <= here.high <= anywhere.high
    eager = startup_seconds_anywhere(one.architecture, 1, 15.0, read_gib_per_second=1.0, eager=True).seconds
    assert eager.mid < anywhere.mid
    fetched = startup_seconds_anywhere(one.architecture, 1, 15.0, download_gib_per_second=0.5, downloads=True)
    assert next(step for step in fetched.steps if step.name == "download").seconds.mid == 30.0

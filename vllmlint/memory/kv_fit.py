"""Whether one request fits, how many blocks there are, and what vLLM logs of it, release by release.

vLLM 0.33.0: `v1/core/kv_cache_planning.py`; before: `v1/core/kv_cache_utils.py` (vllm-memory.md 3.3, 3.9).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from vllmlint.memory.kv_groups import Group, Specs
from vllmlint.memory.kv_packed import early_block_bytes, tuple_bytes
from vllmlint.memory.kv_spec import Demand, blocks_per_request, bytes_per_request, cdiv, distinct, round_up
from vllmlint.serving.release import Release


def block_bytes(groups: Sequence[Group], release: Release, packed_layout: bool) -> int:
    """What one block id costs on a stage."""
    if release.at_least("0.29.0"):
        widest = max(_pages_bytes(group) if group.layers else 0 for group in groups)
        if packed_layout:
            for stride in (spec.stride_bytes for group in groups for spec in group.specs):
                widest = round_up(widest, stride)
        return widest
    if len(groups) == 1 and groups[0].uniform:
        return groups[0].page_bytes
    if all(group.uniform for group in groups):
        return early_block_bytes(groups, release)
    return groups[0].spec.page_bytes * max(len(group.layers) for group in groups)


def _pages_bytes(group: Group) -> int:
    """One page of every layer of a group; alike layers mostly share one spec."""
    first = group.specs[0]
    if all(spec is first for spec in group.specs):
        return first.page_bytes * len(group.specs)
    return sum(spec.page_bytes for spec in group.specs)


def group_blocks(group: Group, demand: Demand) -> int:
    """The blocks one request claims of a group."""
    if group.uniform:
        return max(blocks_per_request(spec, demand) for spec in distinct(group.specs))
    return blocks_per_request(group.spec, demand)


def need_of(groups: Sequence[Group], release: Release, packed_layout: bool) -> Callable[[Demand], int]:
    """What the start check compares with the memory of a stage, as a function of the request (3.9)."""
    if release.at_least("0.29.0"):
        block = block_bytes(groups, release, packed_layout)
        kinds = [distinct(group.specs) if group.uniform else [group.spec] for group in groups]
        return lambda demand: (
            block * sum(max(blocks_per_request(spec, demand) for spec in specs) for specs in kinds)
        )
    if len(groups) == 1 and groups[0].uniform:
        counts = Counter(groups[0].specs)
        return lambda demand: sum(count * bytes_per_request(spec, demand) for spec, count in counts.items())
    if all(group.uniform for group in groups):
        tuples = tuple_bytes(groups)
        return lambda demand: tuples * sum(group_blocks(group, demand) for group in groups)
    page = groups[0].spec.page_bytes
    longest = max(len(group.layers) for group in groups)
    # 0.14 to 0.18 ask for the first group alone (vllm-memory.md 3.9).
    counted = groups if release.at_least("0.19.0") else groups[:1]
    return lambda demand: (
        longest * page * sum(cdiv(bytes_per_request(group.spec, demand), page) for group in counted)
    )


def needed_bytes_by_layer(specs: Specs, demand: Demand) -> int:
    """The same in releases before 0.14, which add up the layers of a stage before any grouping."""
    counts = Counter(specs.values())
    return sum(count * bytes_per_request(spec, demand) for spec, count in counts.items())


def blocks_per_full_request(groups: Sequence[Group], demand: Demand, release: Release) -> int:
    """By what the number of blocks is divided to get the maximum concurrency."""
    if release.at_least("0.27.0"):
        return sum(group_blocks(group, demand) for group in groups)
    longest = max(len(group.layers) for group in groups)
    claimed = sum(group_blocks(group, demand) * group.page_bytes for group in groups)
    return cdiv(longest * claimed, groups[0].page_bytes * longest)


def logged_tokens(
    num_blocks: int, groups: Sequence[Group], concurrency: float, demand: Demand, release: Release, ranks: int
) -> int:
    """The number in the log line "GPU KV cache size", which changed in 0.20.2; `ranks` share tokens."""
    if release.at_least("0.20.2"):
        return int(concurrency * demand.max_model_len)
    smallest = min(group.spec.block_size for group in groups)
    return num_blocks // len(groups) * smallest * ranks


def longest_that_fits(demand: Demand, available_bytes: int, needed_at: Callable[[Demand], int]) -> int:
    """The largest length in [1, max_model_len] whose need fits, by vLLM's own bisection; 0 if none does."""
    left, right, result = 1, demand.max_model_len, 0
    if needed_at(demand.at(1)) > available_bytes:
        return 0
    while left <= right:
        middle = (left + right) // 2
        if needed_at(demand.at(middle)) <= available_bytes:
            result, left = middle, middle + 1
        else:
            right = middle - 1
    return result

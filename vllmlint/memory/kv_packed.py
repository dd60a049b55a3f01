"""Groups of caches whose blocks hold pages of several sizes (DeepSeek-V4; vllm-memory.md 3.6).

vLLM 0.33.0: `_get_packed_kv_cache_groups`; 0.20.2 to 0.26.0: `group_and_unify_kv_cache_specs`.
"""

from __future__ import annotations

from collections.abc import Sequence

from vllmlint.engine.config import Refusal
from vllmlint.memory.kv_groups import Group, Specs
from vllmlint.memory.kv_spec import WINDOW_KINDS, CacheSpec, cdiv, same_type
from vllmlint.record import record
from vllmlint.serving.release import Release


@record
class Bucket:
    """Layers of one type, by page size; `repeats` is how often the commonest page size occurs."""

    layers: tuple[int, ...]
    specs: tuple[CacheSpec, ...]
    by_page: dict[int, list[int]]

    @property
    def repeats(self) -> int:
        """How many layers share the commonest page size."""
        return max(len(layers) for layers in self.by_page.values())

    @property
    def balanced(self) -> bool:
        """Whether every page size occurs equally often, as in a repeating pattern."""
        return len({len(layers) for layers in self.by_page.values()}) == 1


def packed_groups(specs: Specs, release: Release) -> list[Group] | Refusal:
    """The groups of a block-outermost layout, in vLLM's order."""
    if release.at_least("0.29.0"):
        return _current_groups(specs)
    return _early_groups(specs)


def least_padding(values: Sequence[int], lowest: int) -> int:
    """The size, at least `lowest`, to which rounding all values up wastes least; the larger of equals."""
    best, least = max(1, lowest), None
    for size in range(max(1, lowest), max(values) + 1):
        padding = sum(-value % size for value in values)
        if least is None or padding <= least:
            best, least = size, padding
    return best


def _bucket(layers: Sequence[int], specs: Specs) -> Bucket:
    by_page: dict[int, list[int]] = {}
    for at in layers:
        by_page.setdefault(specs[at].page_bytes, []).append(at)
    return Bucket(tuple(layers), tuple(specs[at] for at in layers), by_page)


def _buckets(specs: Specs) -> list[Bucket]:
    found: list[list[int]] = []
    home: dict[int, list[int]] = {}
    for at, spec in specs.items():
        if id(spec) not in home:
            home[id(spec)] = _layers_like(spec, found, specs)
        home[id(spec)].append(at)
    return [_bucket(layers, specs) for layers in found]


def _layers_like(spec: CacheSpec, found: list[list[int]], specs: Specs) -> list[int]:
    """The layers that one group may hold together with this one; a new list where there are none."""
    for layers in found:
        if same_type([*(specs[at] for at in layers), spec], states_by_page=True):
            return layers
    found.append([])
    return found[-1]


def _current_groups(specs: Specs) -> list[Group]:
    buckets = _buckets(specs)
    mixed = [bucket.repeats for bucket in buckets if bucket.balanced and len(bucket.by_page) > 1]
    repeats = None
    if mixed:
        repeats = least_padding([bucket.repeats for bucket in buckets if bucket.balanced], max(mixed))
    anchor = max(_widest_bytes(bucket, _least_groups(bucket, repeats, every=True)) for bucket in buckets)
    groups: list[Group] = []
    for bucket in buckets:
        count = _least_groups(bucket, repeats, every=False)
        if _holds_states(bucket, repeats):
            fitting = max(anchor // bucket.specs[0].page_bytes, 1)
            count = max(count, cdiv(len(bucket.layers), fitting))
        groups.extend(_split(bucket, count, specs))
    return groups


def _holds_states(bucket: Bucket, repeats: int | None) -> bool:
    """Whether the bucket can go down to one layer a group."""
    kind = bucket.specs[0].kind
    return kind == "Mamba" or (repeats is None and kind in WINDOW_KINDS)


def _least_groups(bucket: Bucket, repeats: int | None, *, every: bool) -> int:
    if every and _holds_states(bucket, repeats):
        return len(bucket.layers)
    if bucket.balanced and repeats is not None:
        return cdiv(bucket.repeats, repeats)
    return 1


def _widest_bytes(bucket: Bucket, count: int) -> int:
    """Bytes of the widest group when the bucket is split into `count`."""
    return sum(cdiv(len(layers), count) * page for page, layers in bucket.by_page.items())


def _split(bucket: Bucket, count: int, specs: Specs) -> list[Group]:
    if count == 1:
        return [Group(bucket.layers, bucket.specs[0], bucket.specs, uniform=True)]
    patterns = list(zip(*bucket.by_page.values(), strict=False))
    groups = []
    for first in range(count):
        chosen = tuple(at for pattern in patterns[first::count] for at in pattern)
        kept = tuple(specs[at] for at in chosen)
        groups.append(Group(chosen, kept[0], kept, uniform=True))
    return groups


def _early_groups(specs: Specs) -> list[Group] | Refusal:
    """0.20.2 to 0.28: the latent caches, then windows by block size and window, padded to their pages."""
    latent = _bucket([at for at, spec in specs.items() if spec.kind == "MLAAttention"], specs)
    windows: dict[tuple[int, int | None], list[int]] = {}
    for at, spec in specs.items():
        if spec.kind == "SlidingWindowMLA":
            windows.setdefault((spec.block_size, spec.window), []).append(at)
    pages = sorted(latent.by_page)
    padded = dict(specs)
    if max(spec.page_bytes for spec in specs.values()) > pages[-1]:
        message = "AssertionError: the page of a window exceeds every page of the latent caches"
        return Refusal("kv-pages-cannot-be-unified", message, "groups", ("block_size",))
    for layers in windows.values():
        for at in layers:
            fitting = min(page for page in pages if page >= specs[at].page_bytes)
            padded[at] = specs[at] if specs[at].page_bytes == fitting else specs[at].with_page(fitting)
    raw = [_bucket(layers, specs).repeats for layers in windows.values()]
    repeats = least_padding([latent.repeats, *raw], latent.repeats)
    groups = [Group(latent.layers, latent.specs[0], latent.specs, uniform=True)]
    for layers in windows.values():
        bucket = _bucket(layers, padded)
        groups.extend(_split(bucket, cdiv(bucket.repeats, repeats), padded))
    return groups


def early_block_bytes(groups: Sequence[Group], release: Release) -> int:
    """What one block id costs before 0.30: a slot for the most layers of each page size."""
    if release.at_least("0.24.0"):
        most: dict[int, int] = {}
        for group in groups:
            counts: dict[int, int] = {}
            for spec in group.specs if group.layers else ():
                counts[spec.page_bytes] = counts.get(spec.page_bytes, 0) + 1
            for page, count in counts.items():
                most[page] = max(most.get(page, 0), count)
        return sum(page * count for page, count in most.items())
    return tuple_bytes(groups)


def tuple_bytes(groups: Sequence[Group]) -> int:
    """The latent group's page sizes, once each, times the longest run of one page size in any group."""
    pages = {spec.page_bytes for spec in groups[0].specs}
    runs = []
    for group in groups:
        counts: dict[int, int] = {}
        for spec in group.specs:
            counts[spec.page_bytes] = counts.get(spec.page_bytes, 0) + 1
        runs.append(max(counts.values()))
    return sum(pages) * max(runs)

"""Groups of layers that share a block table (the hybrid KV cache manager; vllm-memory.md 3.3).

vLLM 0.33.0: `v1/core/kv_cache_planning.py`; 0.26.0 and before: `v1/core/kv_cache_utils.py`.
"""

from __future__ import annotations

from vllmlint.engine.config import Refusal
from vllmlint.memory.kv_spec import FULL_KINDS, WINDOW_KINDS, CacheSpec, distinct, merged, same_type
from vllmlint.record import record
from vllmlint.serving.release import Release

Specs = dict[int, CacheSpec]


@record
class Group:
    """Layers (by their place in the list of caches) with one block table.

    `spec` is the one they share; in a `uniform` group each keeps its own, in `specs`.
    """

    layers: tuple[int, ...]
    spec: CacheSpec
    specs: tuple[CacheSpec, ...]
    uniform: bool = False

    @property
    def page_bytes(self) -> int:
        """One page of the group: of one layer, or of all layers of a uniform group."""
        return sum(spec.page_bytes for spec in self.specs) if self.uniform else self.spec.page_bytes

    @property
    def block_bytes(self) -> int:
        """What one block id costs in this group."""
        return sum(spec.page_bytes for spec in self.specs)

    def on(self, layers: frozenset[int]) -> Group:
        """The group with the layers of one pipeline stage only; a uniform one without any stays whole."""
        kept = [(at, spec) for at, spec in zip(self.layers, self.specs, strict=True) if at in layers]
        specs = tuple(spec for _, spec in kept)
        if self.uniform and not kept:
            specs = self.specs
        return Group(tuple(at for at, _ in kept), self.spec, specs, self.uniform)


def cannot_unify(release: Release) -> Refusal:
    """The hybrid manager is off and the layers have no type in common."""
    if release.at_least("0.27.0"):
        message = "Failed to promote local KV cache specs to one unified type."
    else:
        message = (
            "Hybrid KV cache manager is disabled but failed to convert the KV cache specs to one unified "
            "type."
        )
    return Refusal("hybrid-manager-needed", message, "groups", ("disable_hybrid_kv_cache_manager",))


def promoted(specs: Specs, release: Release) -> Specs | Refusal:
    """Caches with the hybrid manager off: windows and chunks are kept in full."""
    every = list(specs.values())
    if not every or merged(every) or same_type(every):
        return specs
    sizes = {spec.block_size for spec in every if spec.kind in FULL_KINDS}
    result = specs
    if sizes:
        local = WINDOW_KINDS | {"ChunkedLocalAttention"}
        changed = {
            id(spec): _promote(spec, sizes, release) if spec.kind in local else spec
            for spec in distinct(every)
        }
        result = _replaced(specs, changed)
    every = list(result.values())
    return result if merged(every) or same_type(every) else cannot_unify(release)


def _forgets(spec: CacheSpec, release: Release) -> bool:
    """Whether the promoted spec loses its quantisation: windows in 0.20 and 0.21, chunks up to 0.26."""
    until = "0.27.0" if spec.kind == "ChunkedLocalAttention" else "0.22.0"
    return not release.at_least(until)


def _replaced(specs: Specs, changed: dict[int, CacheSpec]) -> Specs:
    """Every spec by what its equal became (`changed` is by the identity of the first of its equals)."""
    firsts = distinct(specs.values())
    known: dict[int, CacheSpec] = dict(changed)
    result: Specs = {}
    for at, spec in specs.items():
        if id(spec) not in known:
            known[id(spec)] = changed[id(next(first for first in firsts if first == spec))]
        result[at] = known[id(spec)]
    return result


def _promote(spec: CacheSpec, full_sizes: set[int], release: Release) -> CacheSpec:
    kind = "MLAAttention" if spec.kind == "SlidingWindowMLA" else "FullAttention"
    adopts = release.at_least("0.27.0") or spec.kind == "SlidingWindowMLA"
    size = next(iter(full_sizes)) if adopts and len(full_sizes) == 1 else spec.block_size
    changed = spec.changed(kind=kind, block_size=size)
    if changed.promoted_entry_bytes is not None and _forgets(spec, release):
        changed = changed.changed(
            entry_bytes=changed.promoted_entry_bytes, layout=f"{changed.layout}, quantisation forgotten"
        )
    changed = changed.changed(promoted_entry_bytes=None)
    if release.at_least("0.24.0") and not release.at_least("0.27.0"):
        # The new spec forgets that its backend strides over padded pages, and so differs from its peers.
        changed = changed.changed(pads_to_any_page=False)
    if changed.padded_page_bytes is not None:
        changed = changed.with_page(max(changed.padded_page_bytes, changed.plain_page_bytes))
    return changed


def group_layers(specs: Specs, release: Release, packed_layout: bool = False) -> list[Group] | Refusal:
    """The groups of a model's caches, in vLLM's order.

    `packed_layout`: the cache is laid out block by block, so that a block may hold pages of several
    sizes (DeepSeek-V4 since 0.20.2).
    """
    from vllmlint.memory.kv_packed import packed_groups

    if not specs:
        return []
    every = list(specs.values())
    one = merged(every)
    if one is not None:
        return [Group(tuple(specs), one, tuple(one for _ in every))]
    # Before 0.11 pages have to be equal.
    if release.at_least("0.11.0") and same_type(every, states_by_page=release.at_least("0.29.0")):
        return [Group(tuple(specs), every[0], tuple(every), uniform=True)]
    if packed_layout:
        return packed_groups(specs, release)
    unified = _equal_pages(specs, release)
    if isinstance(unified, Refusal):
        fallback = _full_allocation(specs, release)
        return unified if fallback is None else [fallback]
    return _equal_groups(unified, release)


def _equal_pages(specs: Specs, release: Release) -> Specs | Refusal:
    """All pages as large as the largest: by larger blocks where it divides, else by padding (0.24+)."""
    largest = max(spec.page_bytes for spec in specs.values())
    changed: dict[int, CacheSpec] = {}
    for spec in distinct(specs.values()):
        if spec.page_bytes == largest:
            changed[id(spec)] = spec
        elif spec.kind == "Mamba" and release.at_least("0.26.0"):
            changed[id(spec)] = spec.with_page(largest)
        elif spec.kind != "Mamba" and largest % spec.page_bytes == 0 and release.at_least("0.12.0"):
            changed[id(spec)] = spec.with_block_size(spec.block_size * (largest // spec.page_bytes))
        elif spec.kind != "Mamba" and release.at_least("0.24.0") and _pads(spec, release):
            changed[id(spec)] = spec.with_page(largest)
        else:
            return Refusal(
                "kv-pages-cannot-be-unified",
                "NotImplementedError: the page size of a layer does not divide the largest page size.",
                "groups",
            )
    return _replaced(specs, changed)


def _pads(spec: CacheSpec, release: Release) -> bool:
    if release.at_least("0.29.0"):
        return spec.kind != "MLAAttention"
    return spec.pads_to_any_page


def _full_allocation(specs: Specs, release: Release) -> Group | None:
    """Latent attention beside a plain window whose pages do not fit: the window is kept in full (0.33)."""
    kinds = {spec.kind for spec in specs.values()}
    if not release.at_least("0.29.0") or not {"MLAAttention", "SlidingWindow"} <= kinds:
        return None
    if kinds & {"SlidingWindowMLA", "ChunkedLocalAttention"}:
        return None
    changed = promoted(specs, release)
    if isinstance(changed, Refusal) or not same_type(list(changed.values())):
        return None
    every = list(changed.values())
    return Group(tuple(changed), every[0], tuple(every), uniform=True)


def _equal_groups(specs: Specs, release: Release) -> list[Group]:
    """Equal layers in buckets, buckets cut into groups of equal length (the last one padded)."""
    buckets: list[tuple[list[int], list[CacheSpec]]] = []
    home: dict[int, tuple[list[int], list[CacheSpec]]] = {}
    for at, spec in specs.items():
        if id(spec) not in home:
            home[id(spec)] = _bucket_of(spec, buckets, release)
        home[id(spec)][0].append(at)
    size = _group_size([len(layers) for layers, _ in buckets], release)
    groups: list[Group] = []
    for layers, kinds in buckets:
        count = -(-len(layers) // size)
        one = merged(kinds) or kinds[0]
        for first in range(count):
            chosen = tuple(layers[first::count])
            groups.append(Group(chosen, one, tuple(one for _ in chosen)))
    return groups


def _bucket_of(
    spec: CacheSpec, buckets: list[tuple[list[int], list[CacheSpec]]], release: Release
) -> tuple[list[int], list[CacheSpec]]:
    """The bucket a spec belongs to: of its equals, or (0.27+) of those it can be merged with."""
    for bucket in buckets:
        if spec in bucket[1] or (release.at_least("0.27.0") and merged([*bucket[1], spec]) is not None):
            bucket[1].append(spec)
            return bucket
    buckets.append(([], [spec]))
    return buckets[-1]


def _group_size(lengths: list[int], release: Release) -> int:
    """The shortest bucket's length, or the longest's where the difference is small (vllm-memory.md 3.3)."""
    shortest, longest = min(lengths), max(lengths)
    if release.at_least("0.18.0"):
        close = longest < shortest * 1.5
    else:
        close = release.at_least("0.12.0") and longest < shortest * 1.25
    return longest if close else shortest

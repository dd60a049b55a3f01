"""The cache of one layer on one rank, in pages, and what one request claims of it.

vLLM 0.33.0: `v1/kv_cache_interface.py`; releases before it as noted (vllm-memory.md 3.1, 3.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from vllmlint.record import record, replace

#: vLLM's spec classes, without the word `Spec`.
SpecKind = Literal[
    "FullAttention", "MLAAttention", "SlidingWindow", "SlidingWindowMLA", "ChunkedLocalAttention", "Mamba"
]
#: Kinds that allocate blocks for every token of a request.
FULL_KINDS = frozenset({"FullAttention", "MLAAttention"})
#: Kinds of which only a window is kept.
WINDOW_KINDS = frozenset({"SlidingWindow", "SlidingWindowMLA"})


def cdiv(amount: int, unit: int) -> int:
    """How many units an amount takes, rounded up."""
    return -(-amount // unit)


def round_up(amount: int, unit: int) -> int:
    """The amount rounded up to a multiple of a unit."""
    return cdiv(amount, unit) * unit


@record
class CacheSpec:
    """The cache of one layer on one rank.

    `block_size` is in tokens, `entry_bytes` what one stored entry takes over all heads of the rank (for
    Mamba the whole state), `tokens_per_entry` how many tokens an entry covers. `padded_page_bytes`
    replaces the page size where pages were made equal. `window` is the sliding window or the chunk in
    tokens (of a full spec: the window that compute still has). `state_blocks` are the blocks one request
    holds of a Mamba spec. `layout` tells specs apart that vLLM would not merge though their pages are
    equal (heads, widths, dtype). `promoted_entry_bytes`: what an entry takes once
    an early release has made the window a full cache and forgotten its quantisation (None: the same).
    `stride_bytes`: blocks of a packed layout are this far apart or a
    multiple of it.
    """

    kind: SpecKind
    block_size: int
    entry_bytes: int
    layout: str = ""
    tokens_per_entry: int = 1
    padded_page_bytes: int | None = None
    window: int | None = None
    state_blocks: int = 0
    pads_to_any_page: bool = True
    promoted_entry_bytes: int | None = None
    stride_bytes: int = 1

    @property
    def plain_page_bytes(self) -> int:
        """One block of one layer, without padding."""
        if self.kind == "Mamba":
            return self.entry_bytes
        return self.block_size // self.tokens_per_entry * self.entry_bytes

    @property
    def page_bytes(self) -> int:
        """One block of one layer."""
        return self.plain_page_bytes if self.padded_page_bytes is None else self.padded_page_bytes

    def with_block_size(self, block_size: int) -> CacheSpec:
        """The same cache in blocks of another size, in tokens."""
        return self.changed(block_size=block_size)

    def with_page(self, page_bytes: int) -> CacheSpec:
        """The same cache with its page padded."""
        return self.changed(padded_page_bytes=page_bytes)

    def changed(self, **changes: object) -> CacheSpec:
        """A copy with some fields replaced."""
        return replace(self, **changes)


@record
class Demand:
    """What one request may claim: its length and what vLLM adds to it.

    `max_model_len` in tokens, `in_flight_tokens` those scheduled but not settled (`F` of
    vllm-memory.md 3.4), `context_parallel` the ranks that share a full cache's tokens.
    `state_grows`: a Mamba request keeps a state every block of `block_size` tokens (cache mode `all`,
    and every Mamba request before 0.16). `retained_tokens` a window keeps besides, for a chain of drafters.
    """

    max_model_len: int
    in_flight_tokens: int
    context_parallel: int = 1
    state_grows: bool = False
    retained_tokens: int = 0

    def at(self, max_model_len: int) -> Demand:
        """The same for another length."""
        return Demand(
            max_model_len,
            self.in_flight_tokens,
            self.context_parallel,
            self.state_grows,
            self.retained_tokens,
        )


def blocks_per_request(spec: CacheSpec, demand: Demand) -> int:
    """The most blocks one request of `max_model_len` tokens claims of one layer's cache (3.4)."""
    if spec.kind in FULL_KINDS:
        return cdiv(cdiv(demand.max_model_len, demand.context_parallel), spec.block_size)
    if spec.kind in WINDOW_KINDS:
        kept = (spec.window or 0) - 1 + demand.retained_tokens + demand.in_flight_tokens
        return cdiv(min(kept, demand.max_model_len), spec.block_size) + 1
    if spec.kind == "ChunkedLocalAttention":
        kept = (spec.window or 0) + demand.in_flight_tokens
        return cdiv(min(kept, demand.max_model_len), spec.block_size)
    if demand.state_grows:
        return cdiv(demand.max_model_len, spec.block_size) + spec.state_blocks
    return spec.state_blocks


def bytes_per_request(spec: CacheSpec, demand: Demand) -> int:
    """The most bytes one request claims of one layer's cache."""
    return blocks_per_request(spec, demand) * spec.page_bytes


def distinct(specs: Iterable[CacheSpec]) -> list[CacheSpec]:
    """The specs without repetition, in order; one object a kind of layer makes this cheap."""
    found: list[CacheSpec] = []
    for spec in {id(spec): spec for spec in specs}.values():
        if spec not in found:
            found.append(spec)
    return found


def same_type(specs: Iterable[CacheSpec], *, states_by_page: bool = False) -> bool:
    """Whether layers need the same number of token slots, so that one group may hold them all.

    `states_by_page`: states of different pages are different types (0.33.0).
    """
    specs = distinct(specs)
    first = specs[0]
    if any(spec.block_size != first.block_size for spec in specs):
        return False
    if first.kind in FULL_KINDS:
        return all(spec.kind in FULL_KINDS for spec in specs)
    if any(spec.kind != first.kind for spec in specs):
        # A window over latents is a window too, but not the other way round.
        return first.kind == "SlidingWindow" and all(
            spec.kind in WINDOW_KINDS and spec.window == first.window for spec in specs
        )
    if first.kind == "Mamba":
        return all(
            spec.state_blocks == first.state_blocks
            and (not states_by_page or spec.page_bytes == first.page_bytes)
            for spec in specs
        )
    return all(spec.window == first.window for spec in specs)


def merged(specs: Iterable[CacheSpec]) -> CacheSpec | None:
    """One spec for layers that differ at most in the window of a full cache; None where vLLM refuses."""
    specs = distinct(specs)
    first = specs[0]
    if len(specs) == 1:
        return first
    if any(spec.kind != "FullAttention" for spec in specs):
        return None
    windows = {spec.window for spec in specs} - {None}
    plain = {spec.changed(window=None) for spec in specs}
    if len(windows) > 1 or len(plain) > 1:
        return None
    return first.changed(window=next(iter(windows), None))

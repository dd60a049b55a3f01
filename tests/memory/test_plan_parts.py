"""How a plan is put together: the sum and its bounds, the verdict, offloading, the start check."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_samples import config_of, figures, term

from vllmlint.engine.config import Refusal
from vllmlint.memory.band import Band, Term, exact
from vllmlint.memory.plan import PARTS, Part, composed, dominant_terms, judge
from vllmlint.memory.start_check import start_check

NONE: dict[Part, tuple[Term, ...]] = dict.fromkeys(PARTS, ())
REFUSED = Refusal("kv-cache-too-small", "too little", "kv")
gib = st.floats(0, 1000)


@st.composite
def bands(draw: st.DrawFn) -> Band:
    low, mid, high = sorted((draw(gib), draw(gib), draw(gib)))
    return Band(low, mid, high)


def test_what_is_left_is_requested_less_every_part() -> None:
    terms: dict[Part, tuple[Term, ...]] = {
        **NONE,
        "weights": (term("layers", 10.0), term("embedding", 1.0)),
        "activation": (term("sampler", 1.0, 2.0, 4.0),),
        "cuda_graph": (term("graphs", 0.5),),
    }
    stage = composed(0, terms, exact(70.0), None)
    assert (stage.available_gib.low, stage.available_gib.mid, stage.available_gib.high) == (54.5, 56.5, 57.5)
    assert stage.part("weights").mid == 11.0
    assert stage.available_gib.reason == "why layers; why embedding; why sampler; why graphs"
    assert dominant_terms(stage) == ("layers", "sampler", "embedding")


def test_a_cache_of_a_given_size_is_that_size() -> None:
    stage = composed(0, {**NONE, "weights": (term("layers", 90.0),)}, exact(70.0), 20.0)
    assert stage.available_gib == Band(20.0, 20.0, 20.0)


@given(st.lists(bands(), min_size=5, max_size=5), bands())
def test_bands_stay_ordered(found: list[Band], requested: Band) -> None:
    terms = {part: (Term(part, band),) for part, band in zip(PARTS, found, strict=True)}
    available = composed(0, terms, requested, None).available_gib
    assert available.low <= available.mid <= available.high


def test_the_verdict() -> None:
    fits = judge((figures(20.0), figures(21.0), figures(22.0)))
    assert fits == (
        "fits",
        "163,840 to 180,224 tokens of KV cache, 40.00 to 44.00 requests of 4,096 tokens at once",
    )
    short = (figures(10.0, refused=REFUSED), figures(11.0, refused=REFUSED), figures(12.0, refused=REFUSED))
    left = "10.00 to 12.00 GiB are left for the KV cache, most likely 11.00"
    assert judge(short) == ("does-not-fit", f"{left}; one request of 4,096 tokens needs 16.00")
    nothing = tuple(figures(-1.0, needed=None, refused=REFUSED) for _ in range(3))
    assert judge(nothing) == ("does-not-fit", "too little")  # type: ignore[arg-type]
    left = "15.00 to 18.00 GiB are left for the KV cache, most likely 17.00"
    assert judge((figures(15.0, refused=REFUSED), figures(17.0), figures(18.0))) == (
        "depends",
        f"{left}; one request of 4,096 tokens needs 16.00",
    )


CONTEXT = Band(0.4, 0.5, 0.7)
BESIDE = Band(0.5, 1.0, 3.0)


@pytest.mark.parametrize(
    ("version", "utilization", "certain", "possible"),
    [
        ("0.33.0", 0.92, "", ""),
        # 0.79 GiB are left: enough for any context, not for the rest as it usually is
        ("0.33.0", 0.99, "", "out-of-memory-beside-budget"),
        ("0.33.0", 0.9925, "", "free-memory-below-utilization"),
        ("0.33.0", 0.9945, "out-of-memory-beside-budget", "free-memory-below-utilization"),
        ("0.33.0", 0.999, "free-memory-below-utilization", "free-memory-below-utilization"),
        ("0.9.0", 0.99, "", "out-of-memory-beside-budget"),
        ("0.9.0", 0.999, "out-of-memory-beside-budget", "out-of-memory-beside-budget"),
    ],
)
def test_what_is_left_beside_the_budget(
    version: str, utilization: float, certain: str, possible: str
) -> None:
    found = start_check(config_of(version, gpu_memory_utilization=utilization), CONTEXT, BESIDE)
    assert (found.certain.rule if found.certain else "", found.possible.rule if found.possible else "") == (
        certain,
        possible,
    )
    for refusal in (found.certain, found.possible):
        if refusal is not None:
            assert f"{utilization:g}" in refusal.message
            assert refusal.settings == ("gpu_memory_utilization",)

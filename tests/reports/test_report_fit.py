"""`fit` as text: verdict first, a bar to scale, terms, suggestions, tables; narrow and coloured too."""

from __future__ import annotations

import re

import pytest
from fit_samples import SERVER, band, document, plan, refused, stage
from report_samples import check_snapshot

from vllmlint.reports.fit_matrix import cell, render_matrices, short
from vllmlint.reports.fit_text import bar, render_plans
from vllmlint.reports.terminal import Palette

SUGGESTIONS = [
    {"change": "--max-num-seqs 256", "effect": "12,000 tokens", "settings": {}, "goal": "fits"},
    {"change": "--max-model-len 65536", "effect": "11,000 tokens", "settings": {}, "goal": "fits"},
]


def test_a_plan_that_fits() -> None:
    check_snapshot("fit.txt", render_plans(document(plan()), color=False, width=100))


def test_a_server_on_two_gpus_with_stages_terms_and_suggestions() -> None:
    terms = [
        {
            "stage": index,
            "part": "weights",
            "name": "decoder layers",
            "gib": band(7.0),
            "formula": "16 * (q + k + v + o) * 2 B",
            "reason": "",
        }
        for index in (0, 1)
    ]
    terms[1] |= {"gib": band(7.0, 7.5, 8.0), "reason": "the head may be tied"}
    first = plan(server=SERVER, pool="a100", assumptions=["the newest release"])
    tight = stage(kv_gib=band(-2.0, -1.0, 4.0))
    second = plan(
        server=SERVER,
        pool="h100",
        gpus=2,
        per_gpu=tight,
        stages=[stage(), tight],
        tightest_stage=1,
        verdict="depends",
        reason="-2.00 to 4.00 GiB are left for the KV cache",
        terms=terms,
        suggestions=SUGGESTIONS,
    )
    text = render_plans(document(first, second), color=False, width=100, explain=True)
    check_snapshot("fit-server.txt", text)
    assert text.count("Deployment/llama") == 1


@pytest.mark.parametrize("width", [30, 60, 100, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    text = render_plans(
        document(plan(server=SERVER), plan(suggestions=SUGGESTIONS), refused("a reason " * 30)),
        color=False,
        width=width,
    )
    # a row of the table keeps its name, number and band together
    limit = max(width, 45)
    assert [line for line in text.splitlines() if len(line) > limit] == []


def test_colour_changes_nothing_but_the_codes() -> None:
    both = [document(plan(suggestions=SUGGESTIONS)), document(refused("no"))]
    for one in both:
        painted = render_plans(one, color=True, width=100)
        assert "\x1b[" in painted
        assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == render_plans(one, color=False, width=100)


def test_the_bar_is_to_scale() -> None:
    parts = stage(
        weights_gib=band(40.0),
        activation_gib=band(0.0),
        buffers_gib=band(0.0),
        non_torch_gib=band(0.0),
        cuda_graph_gib=band(0.001),
        kv_gib=band(19.999),
    )
    drawn = bar(parts, 80.0, 82, Palette(False))
    assert drawn == "[" + "#" * 40 + ":" + "." * 19 + " " * 20 + "]"


def test_a_bar_that_runs_over() -> None:
    drawn = bar(stage(weights_gib=band(200.0), kv_gib=band(-120.0)), 80.0, 42, Palette(False))
    assert drawn == "[" + "#" * 40 + ">"


def test_what_vllm_says_stands_below_the_verdict() -> None:
    refusal = {"rule": "r", "stage": "kv", "message": "No available memory", "settings": []}
    text = render_plans(document(refused("0.10 GiB are left", refusal=refusal)), color=False, width=100)
    assert "does not fit: 0.10 GiB are left\nvLLM says: No available memory\n" in text
    same = refused("No available memory", refusal=refusal)
    assert "vLLM says" not in render_plans(document(same), color=False, width=100)


def test_data_parallel_engines_are_counted_apart() -> None:
    eight = {**plan()["settings"], "data_parallel_size": 8}
    text = render_plans(document(plan(settings=eight, gpus=2)), color=False, width=200)
    assert "8 engines of 2 x nvidia-a100-80gb-sxm" in text.splitlines()[0]


def test_no_server() -> None:
    assert render_plans(document(), color=False, width=80) == "no vLLM server found\n"
    assert render_matrices(document(), color=False, width=80) == "no vLLM server found\n"


def test_hostile_names_do_not_reach_the_terminal() -> None:
    model = {"id": "a\x1b[31mb", "parameters": None, "source": "", "confidence": ""}
    for text in (
        render_plans(document(plan(model=model, pool="p\x07")), color=False, width=100),
        render_matrices(document(plan(model=model)), color=False, width=100),
    ):
        assert "\x1b" not in text
        assert "\x07" not in text


def test_the_matrix() -> None:
    small = {"id": "nvidia-l4", "memory_gib": 22.05}
    two = {"max_model_len": 131072, "gpu_memory_utilization": 0.92, "tensor_parallel_size": 2}
    plans = [
        plan(),
        plan(settings=two, max_concurrency=band(8.0, 8.1, 8.2), verdict="fits"),
        plan(gpu=small, verdict="does-not-fit", reason="needs 16 GiB"),
        refused("heads are not divisible", gpu=small, settings=two),
    ]
    check_snapshot("fit-matrix.txt", render_matrices(document(*plans), color=False, width=100))


def test_a_narrow_matrix_leaves_out_the_concurrency() -> None:
    two = {"max_model_len": 131072, "gpu_memory_utilization": 0.92, "tensor_parallel_size": 2}
    both = document(plan(), plan(settings=two))
    wide = render_matrices(both, color=False, width=60).splitlines()
    assert "459k 3.5x" in wide[-1]
    narrow = render_matrices(both, color=False, width=44).splitlines()
    assert "459k" in narrow[-1]
    assert "3.5x" not in narrow[-1]
    assert max(map(len, narrow)) <= 44


def test_cells() -> None:
    assert cell(plan()) == ("459k 3.5x", "good")
    assert cell(plan(verdict="depends")) == ("? 463k 3.5x", "warning")
    assert cell(plan(verdict="does-not-fit")) == ("-", "error")
    assert cell(refused("x")) == ("-", "error")
    assert cell(plan(verdict="unknown")) == ("cannot tell", "info")
    assert cell(None) == ("", "")


@pytest.mark.parametrize(
    ("tokens", "text"), [(0, "0"), (999, "999"), (1000, "1k"), (999_999, "999k"), (1_960_000, "1.9M")]
)
def test_short_numbers(tokens: float, text: str) -> None:
    assert short(tokens) == text

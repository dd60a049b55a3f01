"""From a memory plan to an answer: doubtful inputs, branches, several GPUs, suggestions, data."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from fit_fakes import fake_plan
from fit_runs import gpu_of, subject_of
from jsonschema import Draft202012Validator
from test_fit_subject import LLAMA, only, pod, pools

from vllmlint.contract.settings import Contract
from vllmlint.hardware.gpu import Gpu
from vllmlint.plans.fit import FitPlan, overall, plan_subject, worst
from vllmlint.plans.fit_data import fit_document, plan_data
from vllmlint.plans.fit_subject import FitSubject
from vllmlint.plans.fit_suggest import meets, suggest
from vllmlint.plans.fit_world import fit_plans
from vllmlint.resources import resource


@pytest.fixture(autouse=True)
def _round_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllmlint.plans.fit.plan_memory", fake_plan)


def gpu(memory_gib: float | None, name: str = "gpu") -> Gpu:
    """A GPU of any size."""
    return Gpu(name, name, "nvidia", memory_gib)


def plan(memory_gib: float | None = 40.0, **settings: Any) -> FitPlan:
    """The plan of the fake model."""
    return plan_subject(subject_of(LLAMA, **settings), gpu(memory_gib))


def test_nothing_fits_a_gpu_without_kernels() -> None:
    volta = dataclasses.replace(gpu(80.0), compute_capability=(7, 0))
    assert plan_subject(subject_of(LLAMA, "0.19.0"), volta).verdict == "fits"
    refused = plan_subject(subject_of(LLAMA, "0.33.0"), volta)
    assert (refused.verdict, "they start at 7.5" in refused.reason) == ("does-not-fit", True)


def test_an_image_of_somebody_else_may_have_the_kernels() -> None:
    volta = dataclasses.replace(gpu(40.0), compute_capability=(7, 0))
    for image, verdict in (("vllm/vllm-openai", "does-not-fit"), ("registry.example.com/vllm", "unknown")):
        server, _ = only(pod().replace("vllm/vllm-openai", image))
        told = dataclasses.replace(subject_of(LLAMA, "0.33.0"), server=server)
        assert plan_subject(told, volta).verdict == verdict


def test_verdicts_by_memory() -> None:
    assert plan(80.0).verdict == "fits"
    # 16 + 1 + 2..4 + 16 of 90 %
    assert plan(41.2).verdict == "fits"
    assert plan(40.0).verdict == "depends"
    assert plan(36.0).verdict == "does-not-fit"


def test_what_cannot_be_told_is_unknown_whatever_the_sum_says() -> None:
    known = subject_of(LLAMA)
    doubtful = dataclasses.replace(known, problems=("--max-model-len cannot be told",))
    found = plan_subject(doubtful, gpu(80.0))
    assert (found.verdict, found.reason) == ("unknown", "--max-model-len cannot be told")
    assert found.memory is not None
    no_model = dataclasses.replace(known, architecture=None, model_problem="who knows")
    assert plan_subject(no_model, gpu(80.0)).verdict == "unknown"
    assert plan_subject(known, None).verdict == "unknown"
    assert plan(None).verdict == "unknown"
    for one in (found, plan_subject(no_model, gpu(80.0)), plan_subject(known, None), plan(None)):
        assert suggest(one, None, ()) == ()


def branches(memory_gib: float) -> FitPlan:
    """A length of 1024 on some paths of a script, 16384 on the others."""
    subject = dataclasses.replace(subject_of(LLAMA, max_model_len=1024), without=frozenset({"max_model_len"}))
    return plan_subject(subject, gpu(memory_gib))


def test_a_setting_of_one_branch_counts_both_ways() -> None:
    assert branches(80.0).verdict == "fits"
    found = branches(36.0)
    assert found.verdict == "depends"
    assert found.reason == "fits with --max-model-len, does-not-fit on the paths without"
    assert branches(16.0).verdict == "does-not-fit"


def test_each_gpu_a_pod_may_land_on_has_its_plan() -> None:
    server, world = only(pod(f"{LLAMA}, --max-model-len=16384"), pools())
    plans = fit_plans(server, world)
    assert [one.pool for one in plans] == ["a100", "h100"]
    assert fit_plans(server, world) is plans
    server, world = only(pod(LLAMA))
    (alone,) = fit_plans(server, world)
    assert (alone.verdict, alone.memory) == ("unknown", None)
    assert "nothing tells which GPU" in alone.reason


def test_shared_gpus_cannot_be_told() -> None:
    contract = Contract(
        node_pools={"a100": dataclasses.replace(pools().node_pools["a100"], sharing=_sharing())}
    )
    (found,) = fit_plans(*only(pod(LLAMA), contract))
    assert found.verdict == "unknown"
    assert "shared between pods" in found.reason
    assert found.memory is not None


def _sharing() -> Any:
    from vllmlint.contract.settings import Sharing

    return Sharing("mps", 2)


def test_the_verdict_over_several_gpus() -> None:
    subject = subject_of(LLAMA)
    small, large = plan_subject(subject, gpu(36.0, "s"), "small"), plan_subject(subject, gpu(80.0, "l"))
    assert overall([large]) == ("fits", large.reason)
    assert overall([small, large]) == ("does-not-fit", "does-not-fit on small; fits on l")
    assert overall([large, large])[0] == "fits"
    assert worst([large, small]) is small
    assert worst([]) is None


def test_suggestions_meet_the_goal_when_worked_out_again() -> None:
    others = [gpu(42.0, "m"), gpu(96.0, "l"), gpu(24.0, "s"), gpu(None, "x")]
    short = plan(36.0)
    found = {one.change: one for one in suggest(short, None, others)}
    assert list(found) == [
        "--max-model-len 11520",
        "--kv-cache-dtype fp8",
        "--tensor-parallel-size 2",
        "GPU m (42.00 GiB)",
    ]
    for one in found.values():
        assert one.goal == "fits"
        if one.settings:
            again = plan_subject(short.subject.changed(**one.settings), short.gpu)
            assert again.verdict == "fits"
            assert again.reason == one.effect
    longer = short.subject.changed(max_model_len=11520 + 256)
    assert plan_subject(longer, short.gpu).verdict != "fits"


def test_a_gpu_is_named_where_nothing_tells_it() -> None:
    nowhere = plan_subject(subject_of(LLAMA), None)
    assert nowhere.verdict == "unknown"
    (one,) = suggest(nowhere, None, [gpu(24.0, "s"), gpu(96.0, "l"), gpu(42.0, "m")])
    assert one.change == "GPU m (42.00 GiB)"
    doubtful = dataclasses.replace(subject_of(LLAMA), problems=("?",))
    assert suggest(plan_subject(doubtful, None), None, [gpu(96.0)]) == ()


def test_a_release_that_nobody_described() -> None:
    found = plan_subject(subject_of(LLAMA, "0.4.1"), gpu(80.0))
    assert (found.verdict, found.memory) == ("unknown", None)
    assert "0.4.1 is older than 0.6.0" in found.reason


def test_cheap_levers_come_first() -> None:
    changes = [one.change for one in suggest(plan(40.0), None, ())]
    assert changes[:3] == ["--max-num-seqs 128", "--max-model-len 15360", "--gpu-memory-utilization 0.93"]


def test_a_goal_of_several_requests() -> None:
    roomy = plan(80.0)
    assert meets(roomy, None)
    assert meets(roomy, 3)
    assert not meets(roomy, 4)
    assert suggest(roomy, 3, ()) == ()
    found = suggest(roomy, 4, ())
    assert {one.goal for one in found} == {"holds 4 requests of full length"}
    for one in found:
        assert meets(plan_subject(roomy.subject.changed(**one.settings), roomy.gpu), 4)


def test_a_refusal_is_told_with_what_vllm_says() -> None:
    found = plan(80.0, tensor_parallel_size=16)
    assert (found.verdict, found.reason) == ("does-not-fit", "32 heads are not divisible by 16")
    changes = [one.change for one in suggest(found, None, ())]
    assert changes == ["--tensor-parallel-size 1"]


def validator() -> Draft202012Validator:
    """The shipped schema."""
    schema = json.loads(resource("schemas", "fit.schema.json").read_text("utf-8"))
    return Draft202012Validator(schema)


def cases() -> list[FitPlan]:
    """Every kind of answer."""
    known: FitSubject = subject_of(LLAMA, max_num_seqs=64)
    return [
        plan(80.0),
        plan(36.0),
        plan(None),
        plan(80.0, tensor_parallel_size=16),
        plan_subject(known, None),
        plan_subject(dataclasses.replace(known, architecture=None, model_problem="?"), gpu(1.0)),
    ]


@pytest.mark.parametrize("number", range(6))
def test_the_data_follow_the_schema(number: int) -> None:
    found = cases()[number]
    data = fit_document([plan_data(found, suggest(found, None, [gpu(96.0)]), explain=True)])
    assert json.loads(json.dumps(data)) == data
    assert list(validator().iter_errors(data)) == []
    assert data["plans"][0]["verdict"] == found.verdict


def test_a_server_in_the_data() -> None:
    (found, _) = fit_plans(*only(pod(LLAMA), pools()))
    data = plan_data(found)
    assert data["server"]["object"]["name"] == "llama"
    assert (data["server"]["file"], data["server"]["container"], data["pool"]) == ("m.yaml", "vllm", "a100")
    assert list(validator().iter_errors(fit_document([data]))) == []


def test_the_numbers_in_the_data() -> None:
    data = plan_data(plan_subject(subject_of(LLAMA), gpu_of("nvidia-a100-80gb-sxm")), explain=True)
    total = 79.25 * 0.9
    assert data["per_gpu"]["weights_gib"] == {"low": 16.0, "mid": 16.0, "high": 16.0}
    assert data["per_gpu"]["kv_gib"]["mid"] == pytest.approx(total - 16 - 1 - 3)
    assert data["needed_gib"]["mid"] == 16.0
    assert data["max_concurrency"]["low"] <= data["max_concurrency"]["mid"]
    assert (data["kv"]["bytes_per_token"], data["kv"]["block_size"]) == (2**20, 16)
    assert data["dominant"] == ["layers", "sampler", "non-torch"]
    assert [term["name"] for term in data["terms"]] == ["layers", "sampler", "non-torch"]
    assert (data["gpus"], data["given"]) == (1, [])

"""What a plan is about: settings, environment, model and GPUs of a server, and what cannot be told."""

from __future__ import annotations

from typing import Any

import pytest
from upgrade_runs import release, world_of

from vllmlint.contract.settings import Contract, Environment, Model, NodePool, Sharing
from vllmlint.plans.fit_candidates import gpus_of_server
from vllmlint.plans.fit_model import known_model
from vllmlint.plans.fit_settings import bears_on_memory
from vllmlint.plans.fit_subject import FitSubject
from vllmlint.plans.fit_world import subject_in
from vllmlint.serving.server import Server
from vllmlint.world import World

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def pod(args: str = "", *, command: str = "", env: str = "", more: str = "", image: str = "v0.33.0") -> str:
    """A Pod with one server."""
    return f"""\
apiVersion: v1
kind: Pod
metadata: {{name: llama}}
spec:
{more}
  containers:
    - name: vllm
      image: vllm/vllm-openai:{image}
      {command}
      args: [{args}]
      env: [{env}]
      resources: {{limits: {{nvidia.com/gpu: 2}}}}
"""


def only(text: str, contract: Contract | None = None) -> tuple[Server, World]:
    """The one server of a file."""
    world = world_of({"m.yaml": text}, contract)
    (server,) = world.files[0].servers
    return server, world


def subject(text: str, contract: Contract | None = None, **options: Any) -> FitSubject:
    """What is planned for the one server of a file."""
    return subject_in(*only(text, contract), **options)


def test_settings_model_release_and_gpus() -> None:
    found = subject(pod(f'--model, {LLAMA}, -tp=2, --max-model-len, "32k", --enforce-eager'))
    assert found.settings == {"tensor_parallel_size": 2, "max_model_len": 32000, "enforce_eager": True}
    assert found.architecture is not None
    assert found.architecture.id == LLAMA
    assert (str(found.release), found.gpu_count) == ("0.33.0", 2)
    assert (found.problems, found.assumptions, found.without) == ((), (), frozenset())


def test_the_environment_as_far_as_it_is_told() -> None:
    known = "{name: VLLM_USE_V1, value: '0'}, {name: A, value: b}"
    found = subject(pod(LLAMA, env=known))
    assert dict(found.env) == {"VLLM_USE_V1": "0", "A": "b"}
    secret = "{name: VLLM_USE_V1, valueFrom: {secretKeyRef: {name: s, key: k}}}"
    found = subject(pod(LLAMA, env=secret))
    assert dict(found.env) == {}
    assert found.problems == ("the value of VLLM_USE_V1 cannot be told",)
    token = "{name: HF_TOKEN, valueFrom: {secretKeyRef: {name: s, key: k}}}"
    assert subject(pod(LLAMA, env=token)).problems == ()


def test_variables_in_front_of_the_command_count() -> None:
    script = f"command: [sh, -c, 'VLLM_USE_V1=0 vllm serve {LLAMA}']"
    assert subject(pod(command=script)).env["VLLM_USE_V1"] == "0"


def test_a_value_that_cannot_be_told() -> None:
    length = "{name: LEN, valueFrom: {configMapKeyRef: {name: c, key: k}}}"
    found = subject(pod(f'{LLAMA}, "--max-model-len=$(LEN)"', env=length))
    assert "max_model_len" not in found.settings
    assert [problem.partition(":")[0] for problem in found.problems] == ["--max-model-len"]
    assert subject(pod(f'{LLAMA}, "--port=$(LEN)"', env=length)).problems == ()


def test_a_setting_of_one_branch_only() -> None:
    script = f"command: [sh, -c, 'if [ -n \"$BIG\" ]; then vllm serve {LLAMA} --max-model-len 4096; fi']"
    found = subject(pod(command=script))
    assert found.settings["max_model_len"] == 4096
    assert found.without == {"max_model_len"}
    assert found.changed(max_model_len=1).without == frozenset()


def test_what_is_asked_wins_over_the_manifest() -> None:
    found = subject(
        pod(f"{LLAMA}, --max-model-len=4096", image="latest"),
        release=release("0.11.2"),
        overrides={"max_model_len": 8192},
    )
    assert (found.settings["max_model_len"], str(found.release)) == (8192, "0.11.2")
    assert found.assumptions == ()


def test_an_image_that_does_not_tell_its_release() -> None:
    (assumption,) = subject(pod(LLAMA, image="latest")).assumptions
    assert "newest release" in assumption


def test_a_command_line_that_vllm_refuses() -> None:
    (problem,) = subject(pod(f"{LLAMA}, --max-model-len=many")).problems[:1]
    assert "refuses" in problem


def test_the_contract_names_models() -> None:
    contract = Contract(
        models=(
            Model("org/tuned", path="/models/tuned/", base_model=LLAMA),
            Model(LLAMA, path="/models/llama"),
        )
    )
    models = contract.models
    found = known_model("/models/llama/", declared=models)
    assert found.architecture is not None
    assert found.architecture.id == LLAMA
    tuned = known_model("/models/tuned", declared=models)
    assert tuned.id == "org/tuned" or tuned.id == LLAMA
    assert "(baseModel)" in tuned.assumptions[0]
    assert tuned.architecture is not None
    assert known_model("org/Tuned", declared=models).architecture is not None
    assert "contract" in known_model("/models/other", declared=models).problem


def test_a_model_that_nobody_knows() -> None:
    near = known_model("meta-llama/Lama-3.1-8B-Instruct")
    assert near.architecture is None
    assert f"did you mean {LLAMA}?" in near.problem
    assert known_model(f"hf://{LLAMA}").architecture is not None


def test_what_is_assumed_lowers_the_confidence() -> None:
    assert subject(pod(LLAMA)).confidence == "high"
    assert subject(pod(LLAMA, image="latest")).confidence == "medium"
    assert subject(pod("/mnt/Llama-3.1-8B-Instruct")).confidence == "low"


def pools(**more: Any) -> Contract:
    """Two pools, told apart by a label, and one without GPUs."""
    return Contract(
        node_pools={
            "a100": NodePool(labels={"gpu": "a100"}, gpu="nvidia-a100-80gb-sxm"),
            "h100": NodePool(labels={"gpu": "h100"}, gpu="nvidia-h100-80gb-sxm", gpu_memory_gib=79.1),
            "cpu": NodePool(gpus_per_node=0),
        },
        **more,
    )


def candidates(text: str, contract: Contract | None = None) -> list[tuple[str | None, str | None]]:
    """Pool and GPU of each candidate."""
    found = gpus_of_server(*only(text, contract))
    return [(one.pool, one.gpu.id if one.gpu is not None else None) for one in found]


AFFINITY = """\
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms:
          - matchExpressions: [{key: gpu, operator: In, values: [h100, b200]}]
"""


def test_the_gpus_a_pod_may_land_on() -> None:
    a100, h100 = ("a100", "nvidia-a100-80gb-sxm"), ("h100", "nvidia-h100-80gb-sxm")
    assert candidates(pod(LLAMA), pools()) == [a100, h100]
    assert candidates(pod(LLAMA, more="  nodeSelector: {gpu: h100}"), pools()) == [h100]
    assert candidates(pod(LLAMA, more=AFFINITY), pools()) == [h100]
    production = {"prod": Environment(("*.yaml",), ("a100",))}
    assert candidates(pod(LLAMA), pools(environments=production)) == [a100]
    (one,) = gpus_of_server(*only(pod(LLAMA, more="  nodeSelector: {gpu: h100}"), pools()))
    assert one.gpu is not None
    assert one.gpu.memory_gib == 79.1


def test_labels_that_name_a_gpu_where_no_pool_does() -> None:
    label = "  nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}"
    assert candidates(pod(LLAMA, more=label)) == [(None, "nvidia-l4")]
    (first, *_) = gpus_of_server(*only(pod(LLAMA, more="  nodeSelector: {acme/gpu: l40s}")))
    assert first.gpu is not None
    assert first.gpu.id == "nvidia-l40s"
    assert first.assumption == "acme/gpu=l40s stands for nvidia-l40s, by its words"


def test_a_pod_that_may_land_anywhere() -> None:
    (one,) = gpus_of_server(*only(pod(LLAMA)))
    assert one.gpu is None
    assert "nothing tells" in one.problem


@pytest.mark.parametrize(
    ("pool", "gpu", "problem"),
    [
        (NodePool(), None, "is not known"),
        (NodePool(gpu="nvidia-z900"), None, "is not known"),
        (NodePool(gpu="nvidia-l4", sharing=Sharing("time-slicing", 2)), "nvidia-l4", "are shared"),
        (
            NodePool(gpu="nvidia-a100-80gb-sxm", mig="3g.40gb", mig_strategy="single"),
            "nvidia-a100-80gb-sxm/3g.40gb",
            "",
        ),
    ],
)
def test_pools_that_leave_something_open(pool: NodePool, gpu: str | None, problem: str) -> None:
    (one,) = gpus_of_server(*only(pod(LLAMA), Contract(node_pools={"p": pool})))
    assert (one.gpu.id if one.gpu is not None else None) == gpu
    assert problem in one.problem if problem else one.problem == ""


@pytest.mark.parametrize(
    ("name", "bears"),
    [
        ("max_model_len", True),
        ("tensor_parallel_size", True),
        ("kv_cache_dtype", True),
        ("max_lora_rank", True),
        ("port", False),
        ("served_model_name", False),
        ("master_addr", False),
        ("no_such_flag", False),
    ],
)
def test_which_settings_bear_on_memory(name: str, bears: bool) -> None:
    assert bears_on_memory(name, release("0.33.0")) is bears

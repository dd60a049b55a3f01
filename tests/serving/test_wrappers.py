"""Every wrapper kind: which servers its fixture holds, and what they were told by whom."""

from __future__ import annotations

import pytest
from wrapper_runs import FIXTURES, fixture, group, server, servers_of

from vllmlint.plans.inspect import inspect_world

QWEN = "Qwen/Qwen3-8B"
#: Fixture: for each server its object, container, group, model and port.
SERVERS = {
    "aibrix-rayclusterfleet.yaml": [("RayClusterFleet/fleet", "ray-head", ("head", 2), QWEN, 8000)],
    "aibrix-stormservice.yaml": [
        ("StormService/split", "engine", ("prefill", 2), QWEN, 8000),
        ("PodSet/pair", "engine", ("", 2), QWEN, 8000),
        ("RoleSet/roles", "engine", ("decode", 1), QWEN, 8000),
    ],
    "boosters.yaml": [
        ("ModelBooster/chat", "leader", ("server", 1), QWEN, None),
        ("Playground/chat", "model-runner", None, "", None),
    ],
    "dynamo-v1alpha1.yaml": [
        ("DynamoGraphDeployment/graph", "main", ("Decode", 2), "/models/qwen", None),
    ],
    "dynamo-v1beta1.yaml": [("DynamoGraphDeployment/graph", "main", ("worker", 1), QWEN, None)],
    "helmrelease.yaml": [("HelmRelease/stack", "vllm", None, QWEN, 8000)],
    "kaito.yaml": [
        ("Workspace/chat", "qwen2.5-coder-32b-instruct", ("", 2), "", 5000),
        ("Workspace/own-template", "engine", None, QWEN, 8000),
        ("InferenceSet/set", "microsoft/phi-4", None, "microsoft/phi-4", 5000),
    ],
    "kserve": [
        ("InferenceService/by-name", "kserve-container", None, QWEN, 8080),
        ("InferenceService/by-format", "kserve-container", None, "pvc://models/llama", 8080),
    ],
    "kserve-custom.yaml": [("InferenceService/custom", "kserve-container", None, QWEN, 8080)],
    "kserve-multi-node-runtime.yaml": [
        ("ClusterServingRuntime/multi-node", "kserve-container", ("head", 2), "/mnt/models", 8080)
    ],
    "kserve-unseen-runtime.yaml": [
        ("InferenceService/built-in", "kserve-container", None, QWEN, None),
        ("InferenceService/elsewhere", "kserve-container", None, QWEN, None),
    ],
    "kubeai.yaml": [("Model/qwen", "server", None, QWEN, 8000)],
    "llmisvc": [
        ("LLMInferenceService/from-config", "main", None, QWEN, 8000),
        ("LLMInferenceService/from-unseen-config", "main", None, QWEN, 8000),
    ],
    "llmisvc-disaggregated.yaml": [
        ("LLMInferenceService/split", "main", ("decode", None), QWEN, None),
        ("LLMInferenceService/split", "main", ("prefill", None), QWEN, 9000),
    ],
    "llmisvc-multi-node.yaml": [
        ("LLMInferenceService/spread", "main", ("leader", 4), "pvc://models/deepseek", 8000),
        ("LLMInferenceService/spread", "main", ("worker", 4), "pvc://models/deepseek", 8000),
    ],
    "llmisvc-simulator.yaml": [("LLMInferenceService/imitation", "main", None, "", None)],
    "modelservice-values.yaml": [
        (f"values/{QWEN}", "vllm", ("decode", 1), QWEN, None),
        (f"values/{QWEN}", "vllm", ("prefill", 1), QWEN, 8000),
    ],
    "nimservice.yaml": [("NIMService/llama", "llama-ctr", None, "", None)],
    "openshift-template.yaml": [
        ("ServingRuntime/from-template", "kserve-container", None, "/mnt/models", 8080)
    ],
    "production-stack-values.yaml": [
        ("values/chat", "vllm", None, QWEN, 8000),
        ("values/plain", "vllm", None, "Qwen/Qwen3-0.6B", 8000),
    ],
    "raycluster.yaml": [("RayCluster/two-nodes", "ray-head", ("head", 2), QWEN, 8000)],
    "rayjob.yaml": [("RayJob/batch", "ray-head", ("job", None), QWEN, 8000)],
    "rayservice.yaml": [("RayService/chat", "ray-worker", ("gpus", None), QWEN, None)],
    "vllmruntime.yaml": [("VLLMRuntime/chat", "vllm", None, QWEN, 8010)],
}
#: Fixture, server, setting: its value, and who gave it.
SETTINGS = [
    ("kserve", 0, "max_model_len", 8192, "args", "--max-model-len"),
    ("kserve", 0, "tensor_parallel_size", 2, "args", "--tensor-parallel-size"),
    ("kserve", 0, "served_model_name", ["by-name"], "args", "--served-model-name"),
    ("kserve", 1, "max_model_len", 4096, "args", "--max-model-len"),
    ("kserve-custom.yaml", 0, "served_model_name", ["custom"], "args", "--served-model-name"),
    ("kserve-multi-node-runtime.yaml", 0, "tensor_parallel_size", 4, "args", "--tensor-parallel-size"),
    ("kserve-multi-node-runtime.yaml", 0, "pipeline_parallel_size", 2, "args", "--pipeline-parallel-size"),
    ("kserve-unseen-runtime.yaml", 0, "revision", "0123abc", "wrapper", "KServe"),
    ("kserve-unseen-runtime.yaml", 0, "served_model_name", ["built-in"], "wrapper", "KServe"),
    ("llmisvc", 0, "tensor_parallel_size", 2, "env", "VLLM_ADDITIONAL_ARGS"),
    ("llmisvc", 1, "max_model_len", 8192, "args", "--max-model-len"),
    ("llmisvc-disaggregated.yaml", 0, "max_model_len", 8192, "env", "VLLM_ADDITIONAL_ARGS"),
    ("llmisvc-disaggregated.yaml", 0, "served_model_name", ["qwen"], "wrapper", "KServe"),
    ("llmisvc-disaggregated.yaml", 1, "port", 9000, "args", "--port"),
    ("llmisvc-multi-node.yaml", 0, "data_parallel_size", 32, "wrapper", "KServe"),
    ("llmisvc-multi-node.yaml", 0, "enable_expert_parallel", True, "wrapper", "KServe"),
    ("llmisvc-multi-node.yaml", 0, "enable_lora", True, "wrapper", "KServe"),
    ("llmisvc-multi-node.yaml", 1, "headless", True, "wrapper", "KServe"),
    ("rayservice.yaml", 0, "tensor_parallel_size", 2, "wrapper", "engine_kwargs"),
    ("rayservice.yaml", 0, "enable_chunked_prefill", False, "wrapper", "engine_kwargs"),
    ("rayservice.yaml", 0, "served_model_name", ["qwen"], "wrapper", "Ray Serve LLM"),
    ("kubeai.yaml", 0, "max_model_len", 8192, "args", "--max-model-len"),
    ("kubeai.yaml", 0, "port", 8000, "wrapper", "KubeAI"),
    ("kaito.yaml", 0, "gpu_memory_utilization", 0.9, "configmap", "chat-config"),
    ("kaito.yaml", 0, "enforce_eager", True, "configmap", "chat-config"),
    ("dynamo-v1alpha1.yaml", 0, "tensor_parallel_size", 8, "args", "--tensor-parallel-size"),
    ("dynamo-v1beta1.yaml", 0, "max_model_len", 8192, "args", "--max-model-len"),
    ("nimservice.yaml", 0, "tensor_parallel_size", 2, "env", "NIM_PASSTHROUGH_ARGS"),
    ("nimservice.yaml", 0, "max_model_len", 8192, "args", "--max-model-len"),
    ("production-stack-values.yaml", 0, "max_model_len", 8192, "wrapper", "production-stack chart"),
    ("production-stack-values.yaml", 0, "gpu_memory_utilization", 0.8, "args", "extraArgs"),
    ("production-stack-values.yaml", 0, "enable_prefix_caching", True, "wrapper", "production-stack chart"),
    ("production-stack-values.yaml", 1, "enable_prefix_caching", False, "wrapper", "production-stack chart"),
    ("modelservice-values.yaml", 0, "tensor_parallel_size", 2, "wrapper", "llm-d modelservice chart"),
    ("vllmruntime.yaml", 0, "enable_lora", True, "wrapper", "production-stack operator"),
    ("boosters.yaml", 0, "enforce_eager", True, "wrapper", "config"),
]


@pytest.mark.parametrize("name", sorted(one.name for one in FIXTURES.iterdir()))
def test_servers(name: str) -> None:
    found = [
        (one.object.title, one.container.name, group(one), one.model.id, one.port)
        for one in servers_of(fixture(name))
    ]
    assert found == SERVERS[name]


@pytest.mark.parametrize(("name", "index", "setting", "value", "origin", "origin_name"), SETTINGS)
def test_settings(name: str, index: int, setting: str, value: object, origin: str, origin_name: str) -> None:
    found = server(name, index).get(setting)
    assert (found.value, found.origin, found.origin_name, found.known) == (value, origin, origin_name, True)


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_inspect_shows_every_fixture(name: str) -> None:
    plan = inspect_world(fixture(name), defaults=True)
    assert len(plan["servers"]) == len(SERVERS[name])


@pytest.mark.parametrize(
    ("name", "index"),
    [("kaito.yaml", 0), ("nimservice.yaml", 0), ("llmisvc", 1), ("kserve-unseen-runtime.yaml", 1)],
)
def test_arguments_that_no_object_shows_are_unknown(name: str, index: int) -> None:
    one = server(name, index)
    assert not one.arguments_known
    assert one.get("max_num_seqs").certainty == "unknown"


def test_absence_is_never_held_against_a_wrapped_server() -> None:
    for name in SERVERS:
        assert {one.workload.carrier for one in servers_of(fixture(name))} == {"other"}


def test_simulator_is_marked() -> None:
    assert server("llmisvc-simulator.yaml").is_simulator


def test_injected_port_behind_a_sidecar_is_not_certain() -> None:
    port = server("llmisvc-disaggregated.yaml").get("port")
    assert (port.value, port.certainty, port.reason) == (
        8001,
        "depends",
        "the routing sidecar answers on 8000",
    )


def test_inspect_names_the_controller() -> None:
    shown = inspect_world(fixture("kubeai.yaml"))["servers"][0]["settings"]
    assert (shown["port"]["origin"], shown["port"]["origin_name"], shown["port"]["line"]) == (
        "wrapper",
        "KubeAI",
        None,
    )
    assert (shown["model"]["origin"], shown["model"]["line"]) == ("wrapper", 7)

"""Where hub downloads end up: the order of flag, variables and home directory, and what stays unknown."""

from __future__ import annotations

import pytest

from vllmlint.kube.objects import KubeObject, objects_of
from vllmlint.kube.pods import workloads_of
from vllmlint.manifest.nodes import Scalar
from vllmlint.manifest.reader import read_manifest
from vllmlint.serving.cache_paths import CachePath, hub_cache
from vllmlint.serving.detect import ImagePolicy, find_server

DEFAULT = "/root/.cache/huggingface/hub"

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: vllm}
spec:
  securityContext: {%s}
  containers:
    - name: vllm
      image: %s
      securityContext: {%s}
      command: %s
      args: %s
      env: [%s]
      envFrom: [%s]
"""


def cache(
    *,
    env: str = "",
    args: str = "[org/model]",
    command: str = "[vllm, serve]",
    image: str = "vllm/vllm-openai:v0.33.0",
    pod: str = "",
    container: str = "",
    env_from: str = "",
    config_map: dict[str, str] | None = None,
) -> CachePath:
    """The hub cache of a pod's server."""
    text = POD % (pod, image, container, command, args, env, env_from)
    (obj,), _ = objects_of(read_manifest("pod.yaml", text.encode()))
    (workload,) = workloads_of(obj)

    def lookup(name: str) -> tuple[KubeObject, dict[str, Scalar]] | None:
        if config_map is None:
            return None
        return obj, {key: _scalar(value) for key, value in config_map.items()}

    server = find_server(workload.containers[0], ImagePolicy(), lookup)
    assert server is not None
    return hub_cache(server)


def _scalar(text: str) -> Scalar:
    node = read_manifest("value.yaml", text.encode()).documents[0].root
    assert isinstance(node, Scalar)
    return node


def variable(name: str, value: str) -> str:
    """One entry of `env`."""
    return f"{{name: {name}, value: '{value}'}}"


@pytest.mark.parametrize(
    ("names", "expected", "origin"),
    [
        ((), DEFAULT, "default"),
        (("HOME",), "/home/.cache/huggingface/hub", "HOME"),
        (("HOME", "XDG_CACHE_HOME"), "/xdg-cache-home/huggingface/hub", "XDG_CACHE_HOME"),
        (("XDG_CACHE_HOME", "HF_HOME"), "/hf-home/hub", "HF_HOME"),
        (("HF_HOME", "HUGGINGFACE_HUB_CACHE"), "/huggingface-hub-cache", "HUGGINGFACE_HUB_CACHE"),
        (("HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"), "/hf-hub-cache", "HF_HUB_CACHE"),
        (("TRANSFORMERS_CACHE",), DEFAULT, "default"),
    ],
)
def test_the_strongest_variable_decides(names: tuple[str, ...], expected: str, origin: str) -> None:
    found = cache(env=", ".join(variable(name, "/" + name.lower().replace("_", "-")) for name in names))
    assert (found.path, found.origin) == (expected, origin)


def test_download_dir_wins_and_is_placed() -> None:
    found = cache(args="[org/model, --download-dir, /models/]", env=variable("HF_HUB_CACHE", "/cache"))
    assert (found.path, found.origin) == ("/models", "--download-dir")
    assert found.place is not None
    assert found.place.text == "/models/"


def test_a_variable_is_placed_at_its_value() -> None:
    place = cache(env=variable("HF_HOME", "/data")).place
    assert place is not None
    assert place.text == "/data"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data/", "/data/hub"),
        ("//data//hf/", "/data/hf/hub"),
        ("~/hf", "/root/hf/hub"),
        ("~", "/root/hub"),
        ("${HOME}/hf", "/root/hf/hub"),
        ("$BASE/hf", "/mnt/hf/hub"),
        ("$(BASE)/hf", "/mnt/hf/hub"),
        ("/a/../b", "/b/hub"),
    ],
)
def test_expansion_and_normal_form(text: str, expected: str) -> None:
    assert cache(env=f"{variable('BASE', '/mnt')}, {variable('HF_HOME', text)}").path == expected


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        (variable("HF_HOME", ""), "HF_HOME is empty"),
        (variable("HF_HOME", "cache"), "relative"),
        (variable("HF_HOME", "${NOT_SET}/x"), "cannot be expanded"),
        (variable("HF_HOME", "/cache/{{path}}"), "placeholder"),
        ("{name: HF_HOME, valueFrom: {configMapKeyRef: {name: settings, key: home}}}", "not known"),
        (variable("VLLM_USE_MODELSCOPE", "true"), "another hub"),
    ],
)
def test_a_value_that_does_not_tell(env: str, reason: str) -> None:
    found = cache(env=env)
    assert found.path is None
    assert reason in found.reason


def test_modelscope_switched_off() -> None:
    assert cache(env=variable("VLLM_USE_MODELSCOPE", "0")).path == DEFAULT


@pytest.mark.parametrize(
    ("pod", "container", "expected"),
    [
        ("runAsUser: 0", "", DEFAULT),
        ("runAsUser: 1000", "", None),
        ("runAsUser: 1000", "runAsUser: 0", DEFAULT),
        ("runAsUser: 0", "runAsUser: 1000", None),
        ("runAsNonRoot: true", "", None),
        ("runAsNonRoot: true", "runAsNonRoot: false", DEFAULT),
        ("fsGroup: 1000", "", DEFAULT),
    ],
)
def test_the_user_decides_the_home_directory(pod: str, container: str, expected: str | None) -> None:
    assert cache(pod=pod, container=container).path == expected


def test_home_in_the_environment_counts_for_any_user() -> None:
    assert cache(pod="runAsUser: 1000", env=variable("HOME", "/home/vllm")).path == (
        "/home/vllm/.cache/huggingface/hub"
    )


@pytest.mark.parametrize(
    ("image", "expected", "assumed"),
    [
        ("vllm/vllm-openai:v0.33.0", DEFAULT, False),
        ("registry.example.com/mirror/vllm-openai:v0.33.0", DEFAULT, True),
        ("vllm/vllm-openai:v0.33.0-nonroot", None, False),
        ("quay.io/rh-aiservices-bu/vllm-openai-ubi9:0.4.2", None, False),
        ("registry.example.com/ai/vllm:7", None, False),
        ("${IMAGE}", None, False),
    ],
)
def test_the_image_decides_the_user(image: str, expected: str | None, assumed: bool) -> None:
    found = cache(image=image)
    assert found.path == expected
    assert bool(found.assumptions) == assumed


def test_variables_of_a_config_map() -> None:
    source = "{configMapRef: {name: settings}}"
    assert cache(env_from=source, config_map={"HF_HOME": "/data"}).path == "/data/hub"
    hidden = cache(env_from=source)
    assert hidden.path is None
    assert "ConfigMap/settings" in hidden.reason
    assert cache(env_from=source, env=variable("HF_HUB_CACHE", "/cache")).path == "/cache"
    assert cache(env_from="{secretRef: {name: token}}").path == DEFAULT


@pytest.mark.parametrize(
    "script",
    [
        "export HF_HOME=/data; exec vllm serve org/model",
        "HF_HOME=/data vllm serve org/model",
        "env HF_HOME=/data vllm serve org/model",
    ],
)
def test_variables_that_the_script_sets(script: str) -> None:
    found = cache(command="[sh, -c]", args=f"['{script}']")
    assert found.path is None
    assert found.reason == "the script sets HF_HOME"


def test_a_script_that_sets_something_else() -> None:
    found = cache(command="[sh, -c]", args="['export A=1; exec vllm serve org/model']")
    assert found.path == DEFAULT


def test_an_unknown_download_dir() -> None:
    secret = "{name: DIR, valueFrom: {secretKeyRef: {name: a, key: b}}}"
    found = cache(env=secret, args="[org/model, --download-dir, $(DIR)]")
    assert found.path is None
    assert found.origin == "--download-dir"

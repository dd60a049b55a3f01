"""Which containers are vLLM servers, and which release is inside."""

from __future__ import annotations

import pytest
from serving_samples import OFFICIAL, pod, servers, texts, words

from vllmlint.serving.detect import ImagePolicy, ImageRule, entrypoint_of
from vllmlint.serving.release import Release, known_releases
from vllmlint.serving.server import Server

PRIVATE = "registry.example.com/ai/serving:7"
NEWEST = str(known_releases()[-1])
GPU = "resources: {limits: {nvidia.com/gpu: 1}}\n"


def release(version: str) -> Release:
    """A release by its version."""
    found = Release.parse(version)
    assert found is not None
    return found


def find(fields: str, image: str | None = OFFICIAL, policy: ImagePolicy | None = None) -> Server | None:
    """The server that a container is."""
    found = servers(pod(fields, image=image), policy)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("image", "command", "args"),
    [
        pytest.param("curlimages/curl:8", ["sh", "-c", "curl http://vllm:8000/v1/models"], [], id="client"),
        pytest.param(
            "python:3.12", ["python", "-c", "import openai  # vllm serve"], [], id="client in Python"
        ),
        pytest.param("python:3.12", ["sh", "-c", "until curl vllm; do sleep 1; done"], [], id="waits"),
        pytest.param(
            "lmcache/vstack-router:v1", [], ["--model", "m", "--max-model-len", "1"], id="router image"
        ),
        pytest.param("r.io/vllm-router:1", ["vllm-router"], ["--worker-urls", "http://vllm"], id="router"),
        pytest.param("r.io/vllm/metrics-sidecar:1", [], ["--port=1"], id="sidecar image"),
        pytest.param(
            "lmsysorg/sglang:v1", ["python", "-m", "sglang.launch_server"], ["--model", "m"], id="sglang"
        ),
        pytest.param("ghcr.io/x/tgi:1", [], ["--model-id", "m"], id="tgi"),
        pytest.param("r.io/llama.cpp:server", [], ["--model", "/m.gguf", "--port", "1"], id="llama.cpp"),
        pytest.param(
            "kserve/huggingfaceserver:v1",
            [],
            ["--model_name=x", "--model_id=m", "--backend=vllm"],
            id="kserve",
        ),
        pytest.param("nginx:1", [], [], id="something else"),
        pytest.param(OFFICIAL, ["sleep", "infinity"], [], id="official image that sleeps"),
        pytest.param(OFFICIAL, [], ["python3", "-c", "print(1)"], id="official image with a program as args"),
        pytest.param(OFFICIAL, ["python3", "/app/batch.py"], ["--model", "m"], id="a program of its own"),
        pytest.param(OFFICIAL, ["vllm", "bench", "serve"], ["--model", "m"], id="benchmark"),
        pytest.param(OFFICIAL, ["huggingface-cli", "download", "m"], [], id="download"),
        pytest.param(OFFICIAL, [], ["bash", "-c", "ray start --head --block"], id="ray head"),
    ],
)
def test_what_is_no_server(image: str, command: list[str], args: list[str]) -> None:
    fields = (words(command=command) if command else "") + (words(args=args) if args else "")
    assert find(fields, image) is None


@pytest.mark.parametrize(
    ("image", "command", "args", "entrypoint", "expected", "implied"),
    [
        pytest.param(OFFICIAL, [], ["--model", "m"], "serve", ["--model", "m"], True, id="official, flags"),
        pytest.param(
            OFFICIAL, [], ["org/m", "--port=1"], "serve", ["org/m", "--port=1"], True, id="official, model"
        ),
        pytest.param(OFFICIAL, [], [], "serve", [], True, id="official, nothing"),
        pytest.param(
            "vllm/vllm-openai:v0.8.5", [], ["--model", "m"], "module", ["--model", "m"], True, id="older"
        ),
        pytest.param("vllm/vllm-openai:v0.11.1", [], ["m"], "serve", ["m"], True, id="first that serves"),
        pytest.param("vllm/vllm-openai:v0.11.0", [], ["m"], "module", ["m"], True, id="last module"),
        pytest.param(
            OFFICIAL, [], ["vllm", "serve", "m"], "serve", ["m"], False, id="official, program as args"
        ),
        pytest.param(OFFICIAL, ["vllm", "serve"], ["m"], "serve", ["m"], False, id="official, command"),
        pytest.param(PRIVATE, ["vllm", "serve", "m"], [], "serve", ["m"], False, id="private, command"),
        pytest.param(
            PRIVATE, ["sh", "-c", "exec vllm serve m"], [], "serve", ["m"], False, id="private, shell"
        ),
        pytest.param(
            PRIVATE,
            [],
            ["--model", "m", "--tensor-parallel-size=2"],
            "serve",
            ["--model", "m", "--tensor-parallel-size=2"],
            True,
            id="private, flags that tell",
        ),
        pytest.param(
            PRIVATE,
            [],
            ["--served_model_name=m", "--max_model_len", "1"],
            "serve",
            ["--served_model_name=m", "--max_model_len", "1"],
            True,
            id="private, underscores",
        ),
        pytest.param(
            "r.io/ai/vllm:1", [], ["--model", "m"], "serve", ["--model", "m"], True, id="named after vLLM"
        ),
        pytest.param(
            "r.io/ai/vllm:1",
            [],
            ["org/m", "-x", "--max-model-len=1"],
            "serve",
            ["org/m", "-x", "--max-model-len=1"],
            True,
            id="named after vLLM, a flag that tells",
        ),
        pytest.param(None, ["vllm", "serve", "m"], [], "serve", ["m"], False, id="no image"),
    ],
)
def test_servers(
    image: str | None,
    command: list[str],
    args: list[str],
    entrypoint: str,
    expected: list[str],
    implied: bool,
) -> None:
    fields = (words(command=command) if command else "") + (words(args=args) if args else "")
    found = find(fields, image)
    assert found is not None
    assert texts(found.invocation) == expected
    assert (found.invocation.entrypoint, found.invocation.implied) == (entrypoint, implied)
    assert not found.is_simulator


@pytest.mark.parametrize("args", [["--model", "m"], ["--port", "1", "--tensor-parallel-size", "2"]])
def test_a_private_image_whose_flags_do_not_tell(args: list[str]) -> None:
    assert find(words(args=args), PRIVATE) is None


@pytest.mark.parametrize(
    "image", ["ghcr.io/llm-d/llm-d-inference-sim:v0.5", "aibrix/vllm-mock:v1", "r.io/vllm-simulator:1"]
)
@pytest.mark.parametrize("args", [["--model", "m", "--port", "1"], []])
def test_simulators(image: str, args: list[str]) -> None:
    found = find(words(args=args) if args else "", image)
    assert found is not None
    assert found.is_simulator


def test_an_init_container_is_none_but_a_native_sidecar_may_be() -> None:
    fields = words(args=["--model", "m"])
    assert servers(pod(fields, field="initContainers")) == []
    (found,) = servers(pod(fields + "restartPolicy: Always\n", field="initContainers"))
    assert found.container.role == "sidecar"


@pytest.mark.parametrize(
    ("image", "fields", "opaque"),
    [
        pytest.param("r.io/ai/vllm:1", GPU, True, id="its own entrypoint, with a gpu"),
        pytest.param("r.io/ai/vllm:1", "ports: [{containerPort: 8000}]\n", True, id="with a port"),
        pytest.param("r.io/ai/vllm:1", GPU + "command: [/app/start.sh]\n", True, id="a script in the image"),
        pytest.param("r.io/ai/vllm:1", "", False, id="nothing says that it serves"),
        pytest.param("r.io/ai/vllm:1", GPU + "command: [sleep, infinity]\n", False, id="sleeps"),
        pytest.param(PRIVATE, GPU, False, id="not named after vLLM"),
    ],
)
def test_an_image_that_starts_the_server_itself(image: str, fields: str, opaque: bool) -> None:
    found = find(fields, image)
    assert (found is not None) is opaque
    if found is not None:
        assert found.invocation.opaque
        assert not found.arguments_known


@pytest.mark.parametrize(
    ("image", "expected", "certainty"),
    [
        ("vllm/vllm-openai:v0.9.2", "0.9.2", "certain"),
        ("docker.io/vllm/vllm-openai:v0.8.5.post1", "0.8.5.post1", "certain"),
        ("vllm/vllm-openai:v0.9.2-x86_64", "0.9.2", "certain"),
        ("vllm/vllm-openai@sha256:" + "0" * 64, NEWEST, "assumed"),
        ("vllm/vllm-openai:v0.9.2@sha256:" + "0" * 64, "0.9.2", "certain"),
        ("vllm/vllm-openai:latest", NEWEST, "assumed"),
        ("vllm/vllm-openai:nightly", NEWEST, "assumed"),
        ("vllm/vllm-openai:${TAG}", NEWEST, "assumed"),
        ("r.io/mirror/vllm-openai:v0.9.2_team1", "0.9.2", "likely"),
        ("r.io/ai/vllm:0.9.2", "0.9.2", "likely"),
        ("r.io/ai/vllm:1.22.0", NEWEST, "assumed"),
        ("r.io/ai/vllm:0.0.19", NEWEST, "assumed"),
        ("lmcache/vllm-openai:v0.3.9", NEWEST, "assumed"),
        ("rocm/vllm:rocm6.4_ubuntu_vllm_0.9.1_x", "0.9.1", "likely"),
        (PRIVATE, NEWEST, "assumed"),
    ],
)
def test_releases(image: str, expected: str, certainty: str) -> None:
    found = find(words(command=["vllm", "serve", "m"]), image)
    assert found is not None
    assert (str(found.release), found.release_certainty) == (expected, certainty)


def test_the_contract_names_the_release_where_the_image_does_not() -> None:
    policy = ImagePolicy(release=release("0.9.0"))
    for image, expected in (
        (PRIVATE, ("0.9.0", "contract")),
        ("vllm/vllm-openai:latest", ("0.9.0", "contract")),
        (OFFICIAL, ("0.33.0", "certain")),
    ):
        found = find(words(command=["vllm", "serve", "m"]), image, policy)
        assert found is not None
        assert (str(found.release), found.release_certainty) == expected


@pytest.mark.parametrize(
    ("match", "found"),
    [
        (PRIVATE, True),
        ("registry.example.com/*", True),
        ("*serving:*", True),
        ("registry.example.com/ai/serving", False),
        ("other/*", False),
    ],
)
def test_a_contract_rule_makes_an_image_a_server(match: str, found: bool) -> None:
    policy = ImagePolicy(rules=(ImageRule(match, release("0.9.0"), None),))
    one = find(words(args=["--model", "m"]), PRIVATE, policy)
    assert (one is not None) is found
    if one is not None:
        assert (str(one.release), one.release_certainty) == ("0.9.0", "contract")
        assert one.invocation.entrypoint == "module"


def test_the_first_contract_rule_counts_and_may_name_the_entrypoint() -> None:
    rules = (
        ImageRule("registry.example.com/*", release("0.9.0"), "serve"),
        ImageRule("*", release("0.10.0"), "module"),
    )
    one = find(words(args=["m"]), PRIVATE, ImagePolicy(rules=rules))
    assert one is not None
    assert (str(one.release), one.invocation.entrypoint) == ("0.9.0", "serve")
    other = find(words(args=["m"]), "r.io/x:1", ImagePolicy(rules=rules))
    assert other is not None
    assert other.invocation.entrypoint == "module"


def test_a_contract_rule_wins_over_what_is_known_of_an_image() -> None:
    policy = ImagePolicy(rules=(ImageRule("lmcache/vstack-router:*", release("0.9.0"), "serve"),))
    assert find(words(args=["m"]), "lmcache/vstack-router:v1", policy) is not None


@pytest.mark.parametrize(
    ("version", "entrypoint"), [("0.11.0", "module"), ("0.11.1", "serve"), ("0.33.0", "serve")]
)
def test_what_the_official_image_starts(version: str, entrypoint: str) -> None:
    assert entrypoint_of(release(version)) == entrypoint


def test_a_script_in_a_config_map_of_the_run() -> None:
    fields = (
        words(command=["/bin/bash", "/scripts/start.sh", "org/m"])
        + "volumeMounts: [{name: scripts, mountPath: /scripts}]\n"
    )
    text = pod(fields) + (
        "  volumes: [{name: scripts, configMap: {name: scripts}}]\n"
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: scripts}\n"
        "data:\n  start.sh: |\n    #!/bin/bash\n    exec vllm serve $1 --port 9000\n"
    )
    (found,) = servers(text)
    assert texts(found.invocation) == ["org/m", "--port", "9000"]
    assert found.invocation.words[1].place.text == "--port"
    assert found.invocation.words[1].place.line == text[: text.index("--port")].count("\n") + 1

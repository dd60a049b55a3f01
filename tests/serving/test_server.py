"""A server's settings with origin and place, and what follows from them."""

from __future__ import annotations

import pytest
from serving_samples import pod, raw, server, servers, words

from vllmlint.serving.ranks import ranks_of, runs_in_one_pod
from vllmlint.serving.server import Server

SECRET = "valueFrom: {secretKeyRef: {name: s, key: k}}"


def serving(*args: str, fields: str = "", image: str = "vllm/vllm-openai:v0.33.0") -> Server:
    """A server with these arguments of `vllm serve`."""
    return server(words(command=["vllm", "serve"], args=args) + fields, image=image)


@pytest.mark.parametrize(
    ("args", "flag", "value", "spelling"),
    [
        (["--tensor-parallel-size=2"], "--tensor-parallel-size", "2", "--tensor-parallel-size"),
        (["--tensor-parallel-size", "2"], "--tensor-parallel-size", "2", "--tensor-parallel-size"),
        (["-tp", "2"], "-tp", "2", "-tp"),
        (["--tensor_parallel_size", "2"], "--tensor_parallel_size", "2", None),
        (["-tp", "4", "-tp", "2"], "-tp", "2", "-tp"),
    ],
)
def test_a_flag_has_origin_and_place(args: list[str], flag: str, value: str, spelling: str | None) -> None:
    found = serving("m", *args).get("tensor_parallel_size")
    assert (found.value, found.origin, found.known, found.explicit) == (2, "args", True, True)
    if spelling is not None:
        assert found.origin_name == spelling
    assert raw(found.flag_place) == flag
    assert raw(found.place) == value


def test_a_switch_stands_at_its_flag() -> None:
    found = serving("m", "--trust-remote-code").get("trust_remote_code")
    assert (found.value, raw(found.place), raw(found.flag_place)) == (True, *["--trust-remote-code"] * 2)


def test_a_default_is_as_visible_as_a_flag() -> None:
    found = serving("m").get("tensor_parallel_size")
    assert (found.value, found.origin, found.origin_name) == (1, "default", "vLLM 0.33.0")
    assert found.known
    assert not found.explicit
    assert (found.place, found.flag_place) == (None, None)


def test_the_default_is_that_of_the_release() -> None:
    found = serving("m", image="vllm/vllm-openai:v0.6.3").get("gpu_memory_utilization")
    assert (found.value, found.origin_name) == (0.9, "vLLM 0.6.3")


def test_a_setting_that_no_release_has() -> None:
    found = serving("m").get("no_such_thing")
    assert (found.value, found.origin) == (None, "default")


def test_a_value_that_a_secret_holds_is_not_known() -> None:
    one = serving("m", "--tensor-parallel-size=$(N)", fields=f"env: [{{name: N, {SECRET}}}]\n")
    found = one.get("tensor_parallel_size")
    assert (found.certainty, found.explicit, found.origin) == ("unknown", True, "args")
    assert found.reason
    assert raw(found.place) == "$(N)"
    assert one.integer("tensor_parallel_size") is None
    assert one.integer("pipeline_parallel_size") == 1


def test_nothing_is_a_default_where_a_word_is_not_known() -> None:
    one = serving("m", "$(FLAGS)", fields=f"env: [{{name: FLAGS, {SECRET}}}]\n")
    assert not one.arguments_known
    found = one.get("tensor_parallel_size")
    assert (found.origin, found.certainty, found.explicit) == ("assumed", "unknown", False)
    assert one.port is None
    assert ranks_of(one) is None
    assert not one.is_set("trust_remote_code")


def test_a_setting_in_one_branch_depends() -> None:
    script = 'if [ "$X" = 1 ]; then exec vllm serve m --port 9000; fi\n'
    found = server(words(command=["sh", "-c", script])).get("port")
    assert (found.value, found.certainty, found.known) == (9000, "depends", False)
    assert found.reason


def test_a_config_file_of_a_config_map() -> None:
    more = (
        "  volumes: [{name: c, configMap: {name: conf}}]\n"
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\n"
        "data:\n  vllm.yaml: |\n    # one\n    model: org/m\n    port: 9000\n    tensor-parallel-size: '2'\n"
    )
    fields = words(
        command=["vllm", "serve"], args=["--config", "/etc/vllm/vllm.yaml", "--max-model-len", "100"]
    )
    one = server(fields + "volumeMounts: [{name: c, mountPath: /etc/vllm}]\n", more=more)
    assert one.arguments_known
    found = one.get("tensor_parallel_size")
    assert (found.value, found.origin) == (2, "config-file")
    assert (raw(found.place), raw(found.flag_place)) == ("2", "tensor-parallel-size")
    assert one.port == 9000
    assert raw(one.get("port").place) == "9000"
    assert one.get("max_model_len").origin == "args"
    assert (one.model.id, one.model.source) == ("org/m", "config")


@pytest.mark.parametrize(
    ("args", "id_", "kind", "source", "under"),
    [
        (["org/m"], "org/m", "hub", "positional", "org/m"),
        (["--model", "org/m"], "org/m", "hub", "option", "org/m"),
        (["--model=/models/m"], "/models/m", "path", "option", "/models/m"),
        (["s3://b/m"], "s3://b/m", "url", "positional", "s3://b/m"),
        (["--model=$(M)"], "", "unknown", "option", "$(M)"),
    ],
)
def test_the_model(args: list[str], id_: str, kind: str, source: str, under: str) -> None:
    found = serving(*args, fields=f"env: [{{name: M, {SECRET}}}]\n").model
    assert (found.id, found.kind, found.source) == (id_, kind, source)
    assert raw(found.place) == under


def test_without_a_model_the_release_has_its_own() -> None:
    found = serving("--port=1").model
    assert (found.source, found.place) == ("default", None)
    assert found.kind == "hub"


@pytest.mark.parametrize(
    ("args", "port"),
    [
        ([], 8000),
        (["--port", "9000"], 9000),
        (["--port=$(PORT)"], 7000),
        (["--port=$(SECRET)"], None),
    ],
)
def test_the_port(args: list[str], port: int | None) -> None:
    env = f"env: [{{name: PORT, value: '7000'}}, {{name: SECRET, {SECRET}}}]\n"
    assert serving("m", *args, fields=env).port == port


@pytest.mark.parametrize(
    ("resources", "count", "rows"),
    [
        ("{}", None, []),
        ("{limits: {cpu: 1, memory: 1Gi}}", None, []),
        ("{limits: {nvidia.com/gpu: 2}}", 2, [("nvidia.com/gpu", 2)]),
        ('{limits: {nvidia.com/gpu: "2"}}', 2, [("nvidia.com/gpu", 2)]),
        ("{requests: {nvidia.com/gpu: 1}}", 1, [("nvidia.com/gpu", 1)]),
        ("{limits: {nvidia.com/gpu: 2}, requests: {nvidia.com/gpu: 1}}", 2, [("nvidia.com/gpu", 2)]),
        ("{limits: {amd.com/gpu: 4}}", 4, [("amd.com/gpu", 4)]),
        ("{limits: {nvidia.com/gpu: 0.5}}", None, [("nvidia.com/gpu", None)]),
        ("{limits: {nvidia.com/gpu: ²}}", None, [("nvidia.com/gpu", None)]),
        ("{limits: {nvidia.com/gpu: '${GPUS}'}}", None, [("nvidia.com/gpu", None)]),
        ("{limits: {nvidia.com/mig-1g.10gb: 1}}", None, [("nvidia.com/mig-1g.10gb", 1)]),
        ("{limits: {nvidia.com/gpu.shared: 1}}", None, [("nvidia.com/gpu.shared", 1)]),
    ],
)
def test_gpus(resources: str, count: int | None, rows: list[tuple[str, int | None]]) -> None:
    one = serving("m", fields=f"resources: {resources}\n")
    assert one.gpu_count == count
    assert [(gpu.resource, gpu.count) for gpu in one.gpus] == rows


def test_limits_give_the_place_of_a_gpu() -> None:
    (gpu,) = serving(
        "m", fields="resources: {requests: {nvidia.com/gpu: 1}, limits: {nvidia.com/gpu: 2}}\n"
    ).gpus
    assert gpu.node.text == "2"


@pytest.mark.parametrize(
    ("args", "size"),
    [
        ([], 1),
        (["-tp", "2"], 2),
        (["-tp", "2", "-pp", "2"], 4),
        (["-tp", "2", "-dp", "4"], 8),
        (["-tp", "2", "-dp", "4", "--data-parallel-size-local", "2"], 4),
        (["-tp", "2", "-dp", "4", "--data-parallel-rank", "1"], 2),
        (["-tp", "2", "-dp", "4", "--data-parallel-external-lb"], 2),
        (["-tp", "$(SECRET)"], None),
        (["-tp", "2", "-dp", "$(SECRET)"], None),
    ],
)
def test_gpus_that_the_ranks_here_use(args: list[str], size: int | None) -> None:
    one = serving("m", *args, fields=f"env: [{{name: SECRET, {SECRET}}}]\n")
    ranks = ranks_of(one)
    assert (None if ranks is None else ranks.total) == size


@pytest.mark.parametrize(
    ("args", "several"),
    [
        ([], False),
        (["--distributed-executor-backend", "mp"], False),
        (["--distributed-executor-backend", "ray"], True),
        (["--nnodes", "2"], True),
        (["--nnodes", "1"], False),
        (["--nnodes", "$(SECRET)"], True),
    ],
)
def test_ranks_over_several_pods(args: list[str], several: bool) -> None:
    one = serving("m", *args, fields=f"env: [{{name: SECRET, {SECRET}}}]\n")
    assert runs_in_one_pod(one) is not several


def test_switches() -> None:
    one = serving("m", "--ssl-certfile", "/tls.crt", "--headless")
    assert (one.uses_tls, one.is_headless, one.speaks_grpc) == (True, True, False)
    other = serving("m")
    assert (other.uses_tls, other.is_headless, other.speaks_grpc) == (False, False, False)
    assert serving("m", "--ssl-certfile=$(S)", fields=f"env: [{{name: S, {SECRET}}}]\n").uses_tls is None


@pytest.mark.parametrize(
    ("args", "env", "under", "certain"),
    [
        (["--api-key", "x"], "[]", "--api-key", True),
        (["--api-key", "$(S)"], f"[{{name: S, {SECRET}}}]", "--api-key", True),
        ([], f"[{{name: VLLM_API_KEY, {SECRET}}}]", "VLLM_API_KEY", True),
        ([], "[{name: VLLM_API_KEY, value: x}]", "VLLM_API_KEY", True),
        (
            [],
            "[{name: VLLM_API_KEY, valueFrom: {secretKeyRef: {name: s, key: k, optional: true}}}]",
            "VLLM_API_KEY",
            False,
        ),
        (["--api-key", ""], "[]", None, None),
        ([], "[{name: VLLM_API_KEY, value: ''}]", None, None),
        ([], "[]", None, None),
    ],
)
def test_the_api_key(args: list[str], env: str, under: str | None, certain: bool | None) -> None:
    found = serving("m", *args, fields=f"env: {env}\n").api_key
    assert (None if found is None else (raw(found[0]), found[1])) == (
        None if under is None else (under, certain)
    )


def test_grpc_servers() -> None:
    command = words(command=["python", "-m", "vllm.entrypoints.grpc_server"], args=["--model", "m"])
    assert server(command).speaks_grpc
    assert serving("m", "--grpc").speaks_grpc


def test_an_unknown_flag_has_its_place() -> None:
    one = server(words(command=["sh", "-c", "vllm serve m --tensor-paralel-size 2"]))
    (flag,) = one.arguments.unknown
    assert raw(one.unknown_flag_place(flag)) == "--tensor-paralel-size"
    assert flag.suggestion == "--tensor-parallel-size"


def test_the_anchor_is_the_name_of_the_container() -> None:
    (found,) = servers(pod(words(command=["vllm", "serve", "m"])))
    assert raw(found.anchor) == "main"
    assert found.word_place(99) == found.anchor

"""Where the settings of wrapper kinds stand, and how their objects are put together."""

from __future__ import annotations

import pytest
from wrapper_runs import FIXTURES, fixture, server, servers_of, world_of

from vllmlint.manifest.nodes import Scalar
from vllmlint.manifest.reader import read_manifest
from vllmlint.serving.words import Word
from vllmlint.serving.wrappers.dynamo_flags import engine_words
from vllmlint.serving.wrappers.nodes import Joined, inner_document, merged
from vllmlint.serving.wrappers.words import dashed, shell_words, substituted, value_word

#: Fixture, server, setting: file and line of its value, the characters of the value and of the flag.
PLACES = [
    ("kserve", 0, "max_model_len", "kserve/services.yaml", 13, "8192", "--max-model-len"),
    ("kserve", 0, "port", "kserve/runtime.yaml", 14, "8080", "--port"),
    ("kserve", 0, "served_model_name", "kserve/runtime.yaml", 16, "{{.Name}}", "--served-model-name"),
    ("llmisvc", 0, "tensor_parallel_size", "llmisvc/config.yaml", 14, "2", "--tensor-parallel-size"),
    ("llmisvc-multi-node.yaml", 0, "data_parallel_size", "llmisvc-multi-node.yaml", 14, "32", "data"),
    ("openshift-template.yaml", 0, "served_model_name", "openshift-template.yaml", 16, "{{.Name}}", None),
    ("rayservice.yaml", 0, "max_model_len", "rayservice.yaml", 17, "8192", "max_model_len"),
    ("rayservice.yaml", 0, "enable_prefix_caching", "rayservice.yaml", 18, "enable_prefix_caching", None),
    ("kaito.yaml", 0, "gpu_memory_utilization", "kaito.yaml", 8, "0.9", "gpu-memory-utilization"),
    ("production-stack-values.yaml", 0, "max_model_len", None, 17, "8192", "maxModelLen"),
    ("modelservice-values.yaml", 0, "tensor_parallel_size", None, 11, "2", "tensor"),
    ("nimservice.yaml", 0, "tensor_parallel_size", None, 12, "2", "--tensor-parallel-size"),
]


@pytest.mark.parametrize(("name", "index", "setting", "file", "line", "value", "flag"), PLACES)
def test_places(
    name: str, index: int, setting: str, file: str | None, line: int, value: str, flag: str | None
) -> None:
    found = server(name, index).get(setting)
    assert found.place is not None
    assert found.flag_place is not None
    assert (found.place.source.path, found.place.line, found.place.text) == (file or name, line, value)
    if flag is not None:
        assert found.flag_place.text == flag


def test_shell_text_inside_a_quoted_variable_keeps_its_characters() -> None:
    found = server("llmisvc-disaggregated.yaml").get("kv_transfer_config")
    assert found.value == {"kv_connector": "NixlConnector", "kv_role": "kv_consumer"}
    assert found.place is not None
    assert found.place.text.startswith('{\\"kv_connector')


def test_runtime_and_service_merge_as_kserve_does() -> None:
    one = server("kserve")
    container = one.container
    assert {name: var.value for name, var in one.env.items()} == {
        "HF_HOME": "/tmp/hf",
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    assert one.gpu_count == 2
    assert container.amount("limits", "memory") == 32 * 1024**3
    assert one.workload.spec.string("nodeSelector", "gpu") == "l40s"
    shm = container.mount_of("/dev/shm")
    assert shm is not None
    assert shm.volume is not None
    assert shm.volume.medium == "Memory"


def test_a_template_that_a_service_merges_is_no_server_of_its_own() -> None:
    alone = world_of({"runtime.yaml": (FIXTURES / "kserve" / "runtime.yaml").read_text("utf-8")})
    assert [one.object.kind for one in servers_of(alone)] == ["ServingRuntime"]
    together = fixture("kserve")
    assert {one.object.kind for one in servers_of(together)} == {"InferenceService"}


def test_a_service_of_another_shard_uses_the_runtime_too() -> None:
    files = {
        path: (FIXTURES / "kserve" / path).read_text("utf-8") for path in ("runtime.yaml", "services.yaml")
    }
    world = world_of({"runtime.yaml": files["runtime.yaml"]})
    assert len(servers_of(world)) == 1
    service = world_of({"services.yaml": files["services.yaml"]}).files[0].objects
    sharded = world_of({})
    sharded.files = world.files
    sharded.add_foreign(service)
    sharded.build_servers()
    assert sharded.files[0].workloads == []


def test_dynamo_service_becomes_a_container() -> None:
    one = server("dynamo-v1alpha1.yaml")
    assert one.gpu_count == 4
    assert set(one.container.resources("limits")) == {"nvidia.com/gpu", "rdma/ib"}
    assert {"DYN_LOG", "VLLM_LOGGING_LEVEL"} <= one.env.keys()
    mount = one.container.mount_of("/models/qwen")
    assert mount is not None
    assert mount.volume is not None
    assert mount.volume.claim_name == "models"
    assert one.workload.spec.string("nodeSelector", "gpu") == "h100"
    assert not one.invocation.serves_http


def test_ray_starts_no_entrypoint_of_an_image() -> None:
    world = fixture("raycluster.yaml")
    assert [one.container.name for one in servers_of(world)] == ["ray-head"]
    assert [one.role for one in world.files[0].workloads] == ["head", "workers"]


def test_engine_of_a_ray_service_runs_in_the_group_with_gpus() -> None:
    one = server("rayservice.yaml")
    assert one.gpu_count == 2
    assert one.env["VLLM_LOGGING_LEVEL"].value == "WARNING"
    assert one.workload.spec.string("nodeSelector", "gpu") == "l40s"


def test_values_files_are_objects_of_kind_values() -> None:
    facts = fixture("production-stack-values.yaml").files[0]
    assert [(obj.kind, obj.api_version) for obj in facts.objects] == [("values", "")]
    assert facts.skipped == []


def test_other_files_with_the_same_keys_are_none() -> None:
    text = (FIXTURES / "production-stack-values.yaml").read_text("utf-8")
    facts = world_of({"benchmarks/model.yaml": text}).files[0]
    assert facts.objects == []
    assert [one.reason for one in facts.skipped] == ["not a Kubernetes object"]


def test_image_of_two_fields_underlines_its_tag() -> None:
    image = server("production-stack-values.yaml").image
    assert image is not None
    assert (image.reference, image.tag, image.tag_place.text, image.tag_place.line) == (
        "vllm/vllm-openai:v0.20.0",
        "v0.20.0",
        "v0.20.0",
        7,
    )


def test_patches_of_wrapper_objects_hold_no_server() -> None:
    kinds = {
        "kubeai.org/v1 Model": "{engine: VLLM, args: [--x]}",
        "serving.kserve.io/v1alpha2 LLMInferenceService": "{template: {containers: [{name: main}]}}",
        "ray.io/v1 RayService": "{serveConfigV2: '{'}",
        "serving.kserve.io/v1beta1 InferenceService": "3",
        "kaito.sh/v1beta1 InferenceSet": "{template: {}}",
        "nvidia.com/v1alpha1 DynamoGraphDeployment": "{services: {a: 1, b: {}}}",
        "apps.nvidia.com/v1alpha1 NIMService": "{args: [--x]}",
    }
    patches = {
        f"{number}.yaml": "apiVersion: {}\nkind: {}\nmetadata: {{name: m}}\nspec: {}\n".format(
            *kind.split(), spec
        )
        for number, (kind, spec) in enumerate(kinds.items())
    }
    assert servers_of(world_of(patches)) == []


def test_dynamos_own_flags_do_not_reach_the_engine() -> None:
    texts = ["--namespace", "x", "--omni", "--model", "m", "--connector", "a", "b", "--no-omni", "--dyn-x=1"]
    words = [_word(text) for text in texts]
    assert [one.text for one in engine_words(words)] == ["--model", "m"]


def test_go_templates_are_filled_in() -> None:
    word = _word("name={{ .Name }}!")
    assert substituted(word, {".Name": "llama"}.get).text == "name=llama!"
    unknown = substituted(word, {}.get)
    assert unknown.text == "name=\0\0!"
    assert unknown.part(5, 7).text == "{{ .Name }}"


def test_shell_words_are_read_once() -> None:
    scalar = _scalar("value: >-\n  --a 1\n  --b '{\"k\": 2}'\n")
    words = shell_words(scalar)
    assert [one.text for one in words] == ["--a", "1", "--b", '{"k": 2}']
    assert [one.place.text for one in words] == ["--a", "1", "--b", "'{\"k\": 2}'"]


def test_inner_documents_keep_their_characters() -> None:
    inner = inner_document(_scalar('value: "a: [1, \\"two\\"]\\nb: {c: 3}"\n'))
    assert inner is not None
    two = inner.scalar("a", 1)
    assert two is not None
    assert (two.text, two.content.text) == ("two", "two")
    three = inner.scalar("b", "c")
    assert three is not None
    assert three.place.text == "3"
    assert inner_document(_scalar("value: '- a'\n")) is None


def test_lists_merge_by_their_keys() -> None:
    base = _mapping("env: [{name: A, value: '1'}, {name: B, value: '2'}]\nargs: [a]\ncommand: [x]\n")
    over = _mapping("env: [{name: B, valueFrom: {}}, {name: C, value: '3'}]\nargs: [b]\ncommand: [y]\n")
    both = merged(base, over, frozenset({"args"}))
    assert both is not None
    assert [one.string("name") for one in both.mappings("env")] == ["A", "B", "C"]
    assert both.at("env", 1, "value") is None
    args = both.sequence("args")
    assert args is not None
    assert [one.text for one in args.items if isinstance(one, Scalar)] == ["a", "b"]
    command = both.sequence("command")
    assert command is not None
    assert len(command.items) == 1


def test_joined_scalars_find_their_pieces() -> None:
    both = _mapping("repository: org/name\ntag: v1\n")
    repository, tag = both.scalar("repository"), both.scalar("tag")
    assert repository is not None
    assert tag is not None
    joined = Joined((repository, ":", tag))
    assert (joined.text, joined.part(9, 11).text, joined.part(0, 3).text) == ("org/name:v1", "v1", "org")
    assert joined.part(8, 9) == joined.place


@pytest.mark.parametrize(
    ("written", "flag"),
    [("maxModelLen", "max-model-len"), ("max_model_len", "max-model-len"), ("dtype", "dtype")],
)
def test_names_become_flags(written: str, flag: str) -> None:
    assert dashed(written) == flag


def _mapping(text: str):  # type: ignore[no-untyped-def]
    return read_manifest("x.yaml", text.encode()).documents[0].root


def _scalar(text: str) -> Scalar:
    found = _mapping(text).scalar("value")
    assert isinstance(found, Scalar)
    return found


def _word(text: str) -> Word:
    return value_word(_scalar(f"value: {text!r}\n"))

"""KServe LLMInferenceService and LLMInferenceServiceConfig.

Without a command of its own, the container `main` runs a preset: `vllm serve /mnt/models` with the model's
name, a port, the parallelism of a multi-node service, then `VLLM_ADDITIONAL_ARGS` and the container's args,
read by a shell once more. Source: kserve config/llmisvcconfig.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Node, Scalar
from vllmlint.serving.wrappers.base import (
    RunObjects,
    count,
    is_other_engine,
    named_container,
    pod_with,
    wrapped,
)
from vllmlint.serving.wrappers.kserve import CONTROLLER, MODEL_PATH
from vllmlint.serving.wrappers.nodes import StandIn, mapping_at, merged, sidecar
from vllmlint.serving.wrappers.words import (
    WordList,
    flag_words,
    hidden_words,
    model_words,
    shell_words,
    text_word,
)
from vllmlint.serving.wrappers.wrapper import ALL_INJECTIONS, UNDECIDED, Engine, StoredModel, Usual, Wrapper

_CONTAINER = "main"
_ARGUMENTS = "VLLM_ADDITIONAL_ARGS"
#: Presets of KServe itself, whose content is known.
_KNOWN_PRESETS = "kserve-config-llm-"
_PORT = 8000
#: Behind the routing sidecar of a disaggregated service.
_DECODE_PORT = 8001
_ROUTING_SIDECAR = "llm-d-routing-sidecar"
_INJECTS = ALL_INJECTIONS - {"gpu"}


def note_uses(obj: KubeObject, run: RunObjects) -> None:
    """Remember the configs that an LLMInferenceService merges."""
    if obj.kind == "LLMInferenceService":
        run.used |= {id(config) for config in _configs(obj, run)[0]}


def workloads(obj: KubeObject, run: RunObjects) -> list[Workload]:
    """The pods of a service; those a config describes, when it shows a server and no service uses it."""
    spec = obj.node.mapping("spec")
    if spec is None or id(obj) in run.used:
        return []
    if obj.kind == "LLMInferenceServiceConfig":
        return [one for one in _pods(obj, spec, hidden=None) if _shows_a_server(one)]
    configs, missing = _configs(obj, run)
    if any(is_other_engine(name.text) for name in missing):
        return []
    for config in configs:
        spec = merged(config.node.mapping("spec"), spec) or spec
    unknown = next((name for name in missing if not name.text.startswith(_KNOWN_PRESETS)), None)
    if spec.scalar("model", "uri") is None and unknown is None:
        # the field is required: this is a patch of another file's object
        return []
    return list(_pods(obj, spec, hidden=unknown))


def _configs(obj: KubeObject, run: RunObjects) -> tuple[list[KubeObject], list[Scalar]]:
    """The configs that `baseRefs` names, the strongest first, and the names that are not in the run."""
    found: list[KubeObject] = []
    missing: list[Scalar] = []
    for reference in obj.node.mappings("spec", "baseRefs"):
        name = reference.scalar("name")
        config = run.named("LLMInferenceServiceConfig", name.text, obj) if name is not None else None
        if config is not None:
            found.insert(0, config)
        elif name is not None:
            missing.append(name)
    return found, missing


def _shows_a_server(workload: Workload) -> bool:
    """Whether a config says what runs: it may as well only add resources to a preset."""
    container = named_container(workload.spec.mappings("containers"), _CONTAINER)
    if container is None:
        return True
    variables = {one.string("name") for one in container.mappings("env")}
    return bool({"command", "args", "image"} & container.entries.keys()) or _ARGUMENTS in variables


def _pods(obj: KubeObject, spec: Mapping, *, hidden: Scalar | None) -> Iterator[Workload]:
    prefill = spec.mapping("prefill")
    yield from _group(obj, spec, spec, "decode" if prefill is not None else "", hidden)
    if prefill is not None:
        yield from _group(obj, spec, prefill, "prefill", hidden)


def _group(
    obj: KubeObject, spec: Mapping, part: Mapping, role: str, hidden: Scalar | None
) -> Iterator[Workload]:
    """The pods of the service or of its prefill half: the leader, and the workers where there are some."""
    worker = part.mapping("worker")
    if (
        worker is None
        and part is spec
        and spec.scalar("model", "uri") is None
        and part.mapping("template") is None
    ):
        return
    leader_role = role if worker is None else f"{role}-leader".strip("-")
    parts = ((part.mapping("template"), leader_role), (worker, f"{role}-worker".strip("-")))
    for pod, name in parts:
        if pod is None and name != leader_role:
            continue
        anchor = (pod if pod is not None else None) or part
        container = named_container(anchor.mappings("containers"), _CONTAINER) if pod is not None else None
        if container is None:
            container = mapping_at(anchor, {"name": StandIn(_CONTAINER, _anchor(obj, spec, part))})
        rest = (
            [one for one in anchor.mappings("containers") if one is not container] if pod is not None else []
        )
        wrapper = _wrapper(
            obj, spec, part, container, role, hidden, is_worker=pod is not None and pod is worker
        )
        template = pod if pod is not None else part
        sidecars = [sidecar(_ROUTING_SIDECAR, _PORT, _anchor(obj, spec, part))] if role == "decode" else []
        body = pod_with(pod or mapping_at(part, {}), [container, *rest], sidecars)
        yield wrapped(obj, template, body, wrapper, name)


def _anchor(obj: KubeObject, spec: Mapping, part: Mapping) -> Node:
    return spec.scalar("model", "uri") or obj.node.scalar("metadata", "name") or part


def _wrapper(
    obj: KubeObject,
    spec: Mapping,
    part: Mapping,
    container: Mapping,
    role: str,
    hidden: Scalar | None,
    *,
    is_worker: bool,
) -> Wrapper:
    uri = spec.scalar("model", "uri")
    multi_node = part.mapping("worker") is not None
    engine = None
    if "command" not in container.entries and not is_other_engine(container.string("image")):
        words = _words(spec, part, container, hidden, multi_node=multi_node)
        engine = Engine(_CONTAINER, tuple(words.words), words.sources, "serve")
    settings: dict[str, Any] = {}
    if engine is not None:
        port = Usual(_DECODE_PORT, f"the routing sidecar answers on {_PORT}") if role == "decode" else _PORT
        settings = {"port": port, "served_model_name": _served_names(obj, spec), "ssl_certfile": UNDECIDED}
        if (
            multi_node
            and not is_worker
            and "data-parallel-size" in _parallel_flags(part.mapping("parallelism")).values()
        ):
            settings["api_server_count"] = UNDECIDED
        if is_worker:
            settings["headless"] = True
        if spec.sequence("model", "lora", "adapters") is not None:
            settings["enable_lora"] = True
    return Wrapper(
        CONTROLLER,
        engine,
        settings,
        _INJECTS,
        _size(part) if multi_node else None,
        StoredModel(MODEL_PATH, uri) if uri is not None else None,
        _resolver(obj, spec),
    )


def _words(
    spec: Mapping, part: Mapping, container: Mapping, hidden: Scalar | None, *, multi_node: bool
) -> WordList:
    words = WordList()
    uri = spec.scalar("model", "uri")
    anchor = uri or container.scalar("name")
    words.add(model_words(uri), "wrapper", CONTROLLER)
    if hidden is not None:
        words.add(hidden_words(hidden), "wrapper", hidden.text)
    elif uri is None and anchor is not None:
        # a config for any model: the preset names the path
        words.add([text_word(MODEL_PATH, anchor)], "wrapper", CONTROLLER)
    if multi_node:
        # the presets of a single node pass none of it on
        parallelism = part.mapping("parallelism")
        for field, flag in _parallel_flags(parallelism).items():
            if parallelism is not None and field in parallelism.entries:
                words.add(
                    flag_words(parallelism.keys[field], parallelism.entries[field], flag),
                    "wrapper",
                    CONTROLLER,
                )
    lora = spec.mapping("model", "lora")
    for field, flag in (("maxRank", "max-lora-rank"), ("maxAdapters", "max-loras")):
        if lora is not None and field in lora.entries:
            words.add(flag_words(lora.keys[field], lora.entries[field], flag), "wrapper", CONTROLLER)
    for variable in container.mappings("env"):
        value = variable.scalar("value")
        if variable.string("name") == _ARGUMENTS and value is not None:
            words.add(shell_words(value), "env", _ARGUMENTS)
    return words


def _parallel_flags(parallelism: Mapping | None) -> dict[str, str]:
    """The flags of the multi-node presets: data parallel when `data` is set, else pipeline parallel."""
    if parallelism is not None and ("data" in parallelism.entries or "dataLocal" in parallelism.entries):
        return {
            "expert": "enable-expert-parallel",
            "tensor": "tensor-parallel-size",
            "data": "data-parallel-size",
            "dataLocal": "data-parallel-size-local",
            "dataRPCPort": "data-parallel-rpc-port",
        }
    return {"tensor": "tensor-parallel-size", "pipeline": "pipeline-parallel-size"}


def _size(part: Mapping) -> int | None:
    """Pods of one group: the ranks over those of one pod, else the pipeline's stages."""
    data, local = count(part, "parallelism", "data"), count(part, "parallelism", "dataLocal")
    if data is not None:
        return -(-data // (local or 1))
    return count(part, "parallelism", "pipeline")


def _served_names(obj: KubeObject, spec: Mapping) -> list[str] | object:
    name = spec.string("model", "name") or (obj.name if obj.kind == "LLMInferenceService" else None)
    return [name] if name else UNDECIDED


def _resolver(obj: KubeObject, spec: Mapping) -> Callable[[str], str | None]:
    """Fields of the service that the presets' Go templates name."""
    service = obj.kind == "LLMInferenceService"
    known = {
        ".Spec.Model.Name": spec.string("model", "name") or (obj.name if service else None),
        ".ObjectMeta.Name": obj.name if service else None,
        ".ObjectMeta.Namespace": (obj.namespace or None) if service else None,
        ".Spec.Parallelism.Tensor": spec.string("parallelism", "tensor"),
        ".Spec.Parallelism.Pipeline": spec.string("parallelism", "pipeline"),
        ".Spec.Parallelism.Data": spec.string("parallelism", "data"),
        ".Spec.Parallelism.DataLocal": spec.string("parallelism", "dataLocal"),
    }
    return known.get

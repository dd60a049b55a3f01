"""KServe InferenceService, ServingRuntime and ClusterServingRuntime.

The pod of an InferenceService in model form is the runtime's, with the predictor's `model` merged into
`kserve-container`: its args are appended, its variables merged by name, everything else replaced.
Source: kserve pkg/controller/v1beta1/inferenceservice/utils (MergeRuntimeContainers, MergePodSpec).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.serving.wrappers.base import (
    RunObjects,
    count,
    is_other_engine,
    named_container,
    pod_with,
    wrapped,
)
from vllmlint.serving.wrappers.nodes import StandIn, added_env, env_entry, merged, with_entries, without
from vllmlint.serving.wrappers.words import WordList, hidden_words, model_words
from vllmlint.serving.wrappers.wrapper import Engine, Injection, StoredModel, Usual, Wrapper

CONTROLLER = "KServe"
CONTAINER = "kserve-container"
#: Where the storage initializer puts the model.
MODEL_PATH = "/mnt/models"
#: The runtime that KServe ships for vLLM, and what it sets (wrapper-kinds.md).
_BUILT_IN_RUNTIME = "kserve-vllmserver"
_BUILT_IN_PORT = 8080
_RUNTIME_KINDS = ("ServingRuntime", "ClusterServingRuntime")
#: Fields of a runtime's or predictor's spec that are no fields of a pod spec.
_NOT_POD = (
    "model",
    "workerSpec",
    "containers",
    "supportedModelFormats",
    "protocolVersions",
    "minReplicas",
    "maxReplicas",
    "annotations",
    "labels",
)
_APPEND = frozenset({"args"})
_RUNTIME_INJECTS: frozenset[Injection] = frozenset({"volumes", "lifecycle", "grace-period"})
_BUILT_IN_INJECTS: frozenset[Injection] = frozenset(_RUNTIME_INJECTS | {"probes", "shm"})


def note_uses(obj: KubeObject, run: RunObjects) -> None:
    """Remember the runtime that an InferenceService merges."""
    if obj.kind == "InferenceService":
        model = obj.node.mapping("spec", "predictor", "model")
        runtime = _runtime_of(obj, model, run) if model is not None else None
        if runtime is not None:
            run.used.add(id(runtime))


def workloads(obj: KubeObject, run: RunObjects) -> list[Workload]:
    """The pods of an InferenceService; those a runtime describes, when no service of the run uses it."""
    if obj.kind == "InferenceService":
        return list(_service(obj, run))
    return [] if id(obj) in run.used else list(_runtime(obj))


def _service(obj: KubeObject, run: RunObjects) -> Iterator[Workload]:
    predictor = obj.node.mapping("spec", "predictor")
    if predictor is not None:
        model = predictor.mapping("model")
        if model is not None:
            yield from _model_form(obj, predictor, model, run)
        elif predictor.sequence("containers") is not None:
            yield wrapped(obj, predictor, predictor, Wrapper(CONTROLLER, resolve=_resolver(obj)))
    for part in ("transformer", "explainer"):
        spec = obj.node.mapping("spec", part)
        if spec is not None and spec.sequence("containers") is not None:
            yield wrapped(obj, spec, spec, Wrapper(CONTROLLER, resolve=_resolver(obj)), part)


def _model_form(obj: KubeObject, predictor: Mapping, model: Mapping, run: RunObjects) -> Iterator[Workload]:
    runtime = _runtime_of(obj, model, run)
    spec = runtime.node.mapping("spec") if runtime is not None else None
    if spec is None:
        yield from _unseen_runtime(obj, predictor, model)
        return
    base = named_container(spec.mappings("containers"), CONTAINER)
    container = merged(base, _container_fields(model), _APPEND) or model
    sidecars = [one for one in spec.mappings("containers") if one is not base]
    worker = merged(spec.mapping("workerSpec"), predictor.mapping("workerSpec"))
    uri = model.scalar("storageUri")
    if worker is not None:
        container = added_env(container, _multi_node_env(worker, uri))
    pod = merged(without(spec, *_NOT_POD), without(predictor, *_NOT_POD)) or predictor
    pod = pod_with(pod, [container, *sidecars, *predictor.mappings("containers")])
    wrapper = Wrapper(
        CONTROLLER,
        _stated_engine(spec, container),
        injects=_RUNTIME_INJECTS,
        size=count(worker, "pipelineParallelSize"),
        model=StoredModel(MODEL_PATH, uri) if uri is not None else None,
        resolve=_resolver(obj),
    )
    yield wrapped(obj, predictor, pod, wrapper, "head" if worker is not None else "")
    if worker is not None:
        yield from _worker(obj, worker, wrapper)


def _worker(obj: KubeObject, worker: Mapping, head: Wrapper) -> Iterator[Workload]:
    if worker.sequence("containers") is not None:
        wrapper = Wrapper(CONTROLLER, injects=head.injects, size=head.size, resolve=head.resolve)
        yield wrapped(obj, worker, worker, wrapper, "worker")


def _multi_node_env(worker: Mapping, uri: Scalar | None) -> list[Mapping]:
    """Variables that KServe gives the head of a multi-node service."""
    env: list[Mapping] = []
    for field, name in (
        ("tensorParallelSize", "TENSOR_PARALLEL_SIZE"),
        ("pipelineParallelSize", "PIPELINE_PARALLEL_SIZE"),
    ):
        value = worker.scalar(field)
        if value is not None:
            env.append(env_entry(name, value))
    if uri is not None:
        env.append(env_entry("MODEL_DIR", StandIn(MODEL_PATH, uri)))
    return env


def _unseen_runtime(obj: KubeObject, predictor: Mapping, model: Mapping) -> Iterator[Workload]:
    """A service whose runtime is not in the run: only its name or the model format can tell the engine."""
    named = model.scalar("runtime")
    model_format = model.scalar("modelFormat", "name")
    telling = named or model_format
    if telling is None or "vllm" not in telling.text.lower() or is_other_engine(model.string("image")):
        return
    uri = model.scalar("storageUri")
    words = WordList()
    words.add(model_words(uri), "wrapper", CONTROLLER)
    built_in = named is None or named.text == _BUILT_IN_RUNTIME
    if not built_in or uri is None:
        words.add(hidden_words(telling), "wrapper", CONTROLLER)
    settings = (
        {"port": Usual(_BUILT_IN_PORT, "older versions use 8000"), "served_model_name": [obj.name]}
        if built_in
        else {}
    )
    container = with_entries(_container_fields(model), {"name": StandIn(CONTAINER, telling)})
    pod = pod_with(without(predictor, *_NOT_POD), [container, *predictor.mappings("containers")])
    wrapper = Wrapper(
        CONTROLLER,
        Engine(CONTAINER, tuple(words.words), words.sources, "serve"),
        settings,
        _BUILT_IN_INJECTS,
        model=StoredModel(MODEL_PATH, uri) if uri is not None else None,
        resolve=_resolver(obj),
    )
    yield wrapped(obj, predictor, pod, wrapper)


def _runtime(obj: KubeObject) -> Iterator[Workload]:
    spec = obj.node.mapping("spec")
    if spec is None:
        return
    container = named_container(spec.mappings("containers"), CONTAINER)
    worker = spec.mapping("workerSpec")
    engine = _stated_engine(spec, container) if container is not None else None
    size = count(worker, "pipelineParallelSize")
    wrapper = Wrapper(CONTROLLER, engine, injects=_RUNTIME_INJECTS, size=size, resolve=lambda _: None)
    pod = without(spec, *(name for name in _NOT_POD if name != "containers"))
    if container is not None and worker is not None:
        filled = added_env(container, _multi_node_env(worker, None))
        pod = pod_with(pod, [filled if one is container else one for one in pod.mappings("containers")])
    yield wrapped(obj, spec, pod, wrapper, "head" if worker is not None else "")
    if worker is not None:
        yield from _worker(obj, worker, wrapper)


def _stated_engine(runtime: Mapping, container: Mapping) -> Engine | None:
    """The engine of a runtime that says it serves the vLLM format and starts its image's entrypoint."""
    formats = {(one.string("name") or "").lower() for one in runtime.mappings("supportedModelFormats")}
    if "vllm" not in formats or "command" in container.entries or is_other_engine(container.string("image")):
        return None
    return Engine(CONTAINER)


def _runtime_of(obj: KubeObject, model: Mapping, run: RunObjects) -> KubeObject | None:
    """The runtime in the run: by name, else the one that the model format selects."""
    name = model.string("runtime")
    if name is not None:
        found = (run.named(kind, name, obj) for kind in _RUNTIME_KINDS)
        return next((one for one in found if one is not None), None)
    wanted = (model.string("modelFormat", "name") or "").lower()
    if not wanted:
        return None
    for kind in _RUNTIME_KINDS:
        fitting = [
            (rank, one) for one in run.nearby(kind, obj) if (rank := _priority(one, wanted)) is not None
        ]
        if fitting:
            return max(fitting, key=lambda pair: pair[0])[1]
    return None


def _priority(runtime: KubeObject, model_format: str) -> int | None:
    """How strongly a runtime offers itself for a model format; None when it does not."""
    if runtime.node.flag("spec", "disabled"):
        return None
    for one in runtime.node.mappings("spec", "supportedModelFormats"):
        if (one.string("name") or "").lower() == model_format and one.flag("autoSelect"):
            return one.integer("priority") or 0
    return None


def _container_fields(model: Mapping) -> Mapping:
    """The fields of `predictor.model` that are those of a container."""
    return without(
        model, "modelFormat", "runtime", "storageUri", "storage", "protocolVersion", "runtimeVersion", "name"
    )


def _resolver(obj: KubeObject) -> Callable[[str], str | None]:
    """KServe fills in fields of the service's metadata: `{{.Name}}`, `{{.Labels.team}}`."""

    def resolve(expression: str) -> str | None:
        field, _, key = expression.removeprefix(".").partition(".")
        if field in {"Name", "Namespace"}:
            return obj.node.string("metadata", field.lower())
        if field in {"Labels", "Annotations"}:
            return obj.node.string("metadata", field.lower(), key)
        return None

    return resolve

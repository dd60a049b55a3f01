"""KubeRay's RayService, RayCluster and RayJob.

KubeRay puts `ray start` in front of whatever a container runs, so the entrypoint of its image never does. The
engines of a RayService stand in `serveConfigV2`: Ray Serve's LLM builder makes vLLM's arguments of
`llm_configs[].engine_kwargs`, and its own proxy answers the clients. An application of one's own Python code
shows nothing of vLLM and is no server here.
"""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.facts.accelerators import accelerator_of
from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.serving.wrappers.base import RunObjects, count, pod_with, wrapped
from vllmlint.serving.wrappers.nodes import (
    StandIn,
    added_env,
    env_list,
    inner_document,
    mapping_at,
    sequence_at,
    with_entries,
    without,
)
from vllmlint.serving.wrappers.words import WordList, model_words, settings_words
from vllmlint.serving.wrappers.wrapper import Engine, Injection, Wrapper

_CONTROLLER = "KubeRay"
_SERVE = "Ray Serve LLM"
_INJECTS: frozenset[Injection] = frozenset({"probes", "shm"})
#: Arguments of Ray Serve's builders that hold one engine each; `llm_configs` holds a list of them.
_SINGLE_CONFIGS = ("prefill_config", "decode_config")


def workloads(obj: KubeObject, _run: RunObjects) -> list[Workload]:
    """The pods of a Ray cluster, one more for each engine that a RayService or RayJob starts in them."""
    if obj.kind == "RayCluster":
        return cluster_workloads(obj, obj.node.mapping("spec"), _CONTROLLER)
    if obj.kind == "RayJob":
        cluster = obj.node.mapping("spec", "rayClusterSpec")
        return [*cluster_workloads(obj, cluster, _CONTROLLER), *_job(obj, cluster)]
    cluster = obj.node.mapping("spec", "rayClusterConfig")
    return [*cluster_workloads(obj, cluster, _CONTROLLER), *_engines(obj, cluster)]


def cluster_workloads(obj: KubeObject, cluster: Mapping | None, controller: str) -> list[Workload]:
    """The pods of a Ray cluster: the head, and each group of workers."""
    if cluster is None:
        return []
    size = _cluster_size(cluster)
    found: list[Workload] = []
    for group, role in _groups(cluster):
        template = group.mapping("template")
        spec = template.mapping("spec") if template is not None else None
        if template is not None and spec is not None:
            wrapper = Wrapper(controller, injects=_INJECTS, size=size, keeps_entrypoint=False)
            found.append(wrapped(obj, template, spec, wrapper, role))
    return found


def _groups(cluster: Mapping) -> Iterator[tuple[Mapping, str]]:
    head = cluster.mapping("headGroupSpec")
    if head is not None:
        yield head, "head"
    for group in cluster.mappings("workerGroupSpecs"):
        yield group, group.string("groupName") or "worker"


def _cluster_size(cluster: Mapping) -> int | None:
    """Pods of the whole cluster; None when it scales."""
    if cluster.flag("enableInTreeAutoscaling"):
        return None
    size = 1
    for group in cluster.mappings("workerGroupSpecs"):
        replicas = group.integer("replicas") if "replicas" in group.entries else 1
        if replicas is None:
            return None
        size += replicas * (count(group, "numOfHosts") or 1)
    return size


def _job(obj: KubeObject, cluster: Mapping | None) -> Iterator[Workload]:
    """A job whose entrypoint starts vLLM: the driver runs beside the head."""
    entrypoint = obj.node.scalar("spec", "entrypoint")
    head = cluster.mapping("headGroupSpec", "template", "spec") if cluster is not None else None
    if entrypoint is None or head is None or "vllm" not in entrypoint.text:
        return
    base = next(iter(head.mappings("containers")), None)
    if base is None:
        return
    command = [StandIn("sh", entrypoint), StandIn("-c", entrypoint), entrypoint]
    container = with_entries(
        base, {"command": sequence_at(entrypoint, command), "args": sequence_at(entrypoint, [])}
    )
    wrapper = Wrapper(_CONTROLLER, injects=_INJECTS, keeps_entrypoint=False)
    yield wrapped(obj, head, pod_with(head, [container]), wrapper, "job")


def _engines(obj: KubeObject, cluster: Mapping | None) -> Iterator[Workload]:
    document = inner_document(obj.node.scalar("spec", "serveConfigV2"))
    if document is None:
        return
    for application in document.mappings("applications"):
        arguments = application.mapping("args")
        if arguments is None:
            continue
        variables = application.mapping("runtime_env", "env_vars")
        for config in _configs(arguments):
            workload = _engine(obj, cluster, config, variables)
            if workload is not None:
                yield workload


def _configs(arguments: Mapping) -> Iterator[Mapping]:
    yield from arguments.mappings("llm_configs")
    for name in _SINGLE_CONFIGS:
        config = arguments.mapping(name)
        if config is not None:
            yield config


def _engine(
    obj: KubeObject, cluster: Mapping | None, config: Mapping, variables: Mapping | None
) -> Workload | None:
    """One engine of Ray Serve's LLM builder, in the pods of the group that has the GPUs."""
    loading = config.mapping("model_loading_config")
    name = loading.scalar("model_id") if loading is not None else None
    if loading is None or name is None or config.string("llm_engine") not in {None, "vLLM", "VLLM", "vllm"}:
        return None
    source = loading.scalar("model_source") or loading.scalar("model_source", "bucket_uri")
    words = WordList()
    words.add(model_words(source or name), "wrapper", _SERVE)
    words.add(settings_words(config.mapping("engine_kwargs")), "wrapper", "engine_kwargs")
    template, spec, role = _engine_pod(cluster, name)
    base = _gpu_container(spec) or mapping_at(name, {"name": StandIn("ray", name)})
    own = [item for one in (variables, config.mapping("runtime_env", "env_vars")) for item in _variables(one)]
    # the engine is started by Ray, not by what the container runs
    container = without(added_env(base, own), "command", "args")
    engine = Engine(
        container.string("name") or "", tuple(words.words), words.sources, "serve", serves_http=False
    )
    wrapper = Wrapper(_SERVE, engine, {"served_model_name": [name.text]}, _INJECTS, keeps_entrypoint=False)
    return wrapped(obj, template, pod_with(spec, [container]), wrapper, role)


def _variables(variables: Mapping | None) -> list[Mapping]:
    listed = env_list(variables)
    items = listed.items if listed is not None else []
    return [item for item in items if isinstance(item, Mapping)]


def _engine_pod(cluster: Mapping | None, name: Scalar) -> tuple[Mapping, Mapping, str]:
    """Template, spec and group of the pods that an engine runs in; empty ones where that is not certain."""
    candidates = [
        (template, spec, role)
        for group, role in (_groups(cluster) if cluster is not None else ())
        if (template := group.mapping("template")) is not None
        and (spec := template.mapping("spec")) is not None
        and _has_gpu(_gpu_container(spec))
    ]
    if len(candidates) == 1:
        return candidates[0]
    empty = mapping_at(name, {})
    return empty, empty, ""


def _gpu_container(spec: Mapping) -> Mapping | None:
    """The container with accelerators, else the first."""
    containers = list(spec.mappings("containers"))
    return next((one for one in containers if _has_gpu(one)), containers[0] if containers else None)


def _has_gpu(container: Mapping | None) -> bool:
    limits = container.mapping("resources", "limits") if container is not None else None
    return limits is not None and any(accelerator_of(name) is not None for name in limits.entries)

"""NVIDIA Dynamo's DynamoGraphDeployment.

Its workers run `python3 -m dynamo.vllm`: a vLLM engine with the flags of vLLM and of Dynamo, whose requests
come from Dynamo's own frontend. v1alpha1 spreads a container over a service's fields, v1beta1 holds a pod
template. Multi-node flags are added by the operator.
"""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Node, Scalar
from vllmlint.serving.wrappers.base import RunObjects, count, pod_with, wrapped
from vllmlint.serving.wrappers.nodes import StandIn, mapping_at, merged, sequence_at, with_entries, without
from vllmlint.serving.wrappers.wrapper import ALL_INJECTIONS, Injection, Wrapper

_CONTROLLER = "Dynamo"
_CONTAINER = "main"
_INJECTS: frozenset[Injection] = ALL_INJECTIONS - {"gpu"}
_GPU = "nvidia.com/gpu"
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def workloads(obj: KubeObject, _run: RunObjects) -> list[Workload]:
    """The pods of every service (v1alpha1) or component (v1beta1)."""
    spec = obj.node.mapping("spec")
    if spec is None:
        return []
    return [*_services(obj, spec), *_components(obj, spec)]


def _components(obj: KubeObject, spec: Mapping) -> Iterator[Workload]:
    for component in spec.mappings("components"):
        template = component.mapping("podTemplate")
        pod = template.mapping("spec") if template is not None else None
        if template is not None and pod is not None:
            shared = mapping_at(spec, {"env": spec.sequence("env") or spec.sequence("envs")})
            containers = [
                merged(shared, one) or one if one.string("name") == _CONTAINER else one
                for one in pod.mappings("containers")
            ]
            yield wrapped(
                obj, template, pod_with(pod, containers), _wrapper(component), component.string("name") or ""
            )


def _services(obj: KubeObject, spec: Mapping) -> Iterator[Workload]:
    services = spec.mapping("services")
    for name, service in services.entries.items() if services is not None else ():
        if services is None or not isinstance(service, Mapping):
            continue
        pod = service.mapping("extraPodSpec") or mapping_at(service, {})
        main = _main_container(spec, service, pod, services.keys[name])
        claims = [_claim(mount) for mount in service.mappings("volumeMounts")]
        volumes = [*pod.mappings("volumes"), *(one for one in claims if one is not None)]
        body = with_entries(
            without(pod, "mainContainer"), {"volumes": sequence_at(service, volumes) if volumes else None}
        )
        metadata = mapping_at(service, {"metadata": service.mapping("extraPodMetadata"), "spec": pod})
        yield wrapped(
            obj, metadata, pod_with(body, [main, *pod.mappings("containers")]), _wrapper(service), name
        )


def _wrapper(part: Mapping) -> Wrapper:
    nodes = count(part, "multinode", "nodeCount")
    return Wrapper(_CONTROLLER, injects=_INJECTS, size=nodes or 1)


def _main_container(spec: Mapping, service: Mapping, pod: Mapping, key: Scalar) -> Mapping:
    """The container `main` of a v1alpha1 service, from the fields that make it up."""
    own = pod.mapping("mainContainer")
    fields: dict[str, Node | None] = {"resources": _resources(service.mapping("resources"))}
    fields |= {name: service.mapping(name) for name in _PROBES}
    fields["env"] = service.sequence("envs")
    secret = service.scalar("envFromSecret")
    if secret is not None:
        reference = mapping_at(secret, {"secretRef": mapping_at(secret, {"name": secret})})
        fields["envFrom"] = sequence_at(secret, [reference])
    mounts = [one for node in service.mappings("volumeMounts") if (one := _mount(node)) is not None]
    fields["volumeMounts"] = sequence_at(service, mounts) if mounts else None
    shared = mapping_at(spec, {"env": spec.sequence("envs")})
    container = merged(merged(shared, mapping_at(service, fields)), own) or service
    return with_entries(
        container, {"name": StandIn(_CONTAINER, own.scalar("name") or key if own is not None else key)}
    )


def _resources(resources: Mapping | None) -> Mapping | None:
    """Dynamo's resources: `gpu` is the NVIDIA device, `custom` holds extended resources by name."""
    if resources is None:
        return None
    sections: dict[str, Node | None] = {
        name: _section(section)
        for name in ("limits", "requests")
        if (section := resources.mapping(name)) is not None
    }
    return with_entries(resources, {**sections, "claims": resources.sequence("claims")})


def _section(section: Mapping) -> Mapping:
    entries: dict[str, Node] = {}
    keys: dict[str, Scalar] = {}
    for name, node in section.entries.items():
        if name == "custom" and isinstance(node, Mapping):
            entries |= node.entries
            keys |= node.keys
        elif name != "gpuType":
            actual = _GPU if name == "gpu" else name
            entries[actual], keys[actual] = node, section.keys[name]
    return Mapping(section.source, section.start, section.end, entries, keys)


def _mount(node: Mapping) -> Mapping | None:
    """`mountPoint` is Dynamo's name of `mountPath`."""
    point = node.scalar("mountPoint")
    if point is None:
        return None
    return mapping_at(node, {"name": node.scalar("name"), "mountPath": point})


def _claim(node: Mapping) -> Mapping | None:
    name = node.scalar("name")
    if name is None:
        return None
    return mapping_at(node, {"name": name, "persistentVolumeClaim": mapping_at(node, {"claimName": name})})

"""Joins across the objects of a run: who sees whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from vllmlint.kube.objects import KubeObject, string_map
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Scalar

#: Kinds that other objects refer to; only these are indexed (and, with `--jobs`, exchanged).
JOINED_KINDS = frozenset(
    {
        "ClusterServingRuntime",
        "ConfigMap",
        "DeviceClass",
        "HorizontalPodAutoscaler",
        "InferenceService",
        "LLMInferenceService",
        "LLMInferenceServiceConfig",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "ResourceClaim",
        "ResourceClaimTemplate",
        "ResourceQuota",
        "RuntimeClass",
        "ScaledObject",
        "Secret",
        "Service",
        "ServingRuntime",
        "StorageClass",
    }
)


class Index:
    """The objects of a run that others refer to, found as a reader of the files would find them.

    An object is looked up in the same file, then the same directory, then upwards to the root of
    the run; only within one namespace (an unstated one matches any) and one environment.
    Objects of one identity in different directories are variants: the nearest one counts.
    """

    def __init__(self, objects: Iterable[KubeObject], environment_of: Callable[[str], str | None]) -> None:
        self._environment_of = environment_of
        self._by_kind: dict[str, list[KubeObject]] = {}
        self._by_name: dict[tuple[str, str], list[KubeObject]] = {}
        # a Service stands under the rarest pair of its selector: pods without it are not selected
        self._services: dict[tuple[str, str], list[KubeObject]] = {}
        for obj in objects:
            if obj.kind in JOINED_KINDS:
                self._by_kind.setdefault(obj.kind, []).append(obj)
                self._by_name.setdefault((obj.kind, obj.name), []).append(obj)
        selectors = {
            id(one): string_map(one.node.at("spec", "selector")) for one in self._by_kind.get("Service", ())
        }
        frequency = Counter(pair for selector in selectors.values() for pair in selector.items())
        for service in self._by_kind.get("Service", ()):
            pairs = selectors[id(service)].items()
            if pairs:
                self._services.setdefault(min(pairs, key=frequency.__getitem__), []).append(service)

    def nearby(self, kind: str, seeker: KubeObject) -> Iterator[KubeObject]:
        """Objects of a kind that `seeker` can see, the nearest first, one of each name."""
        yield from self._visible(self._by_kind.get(kind, ()), seeker)

    def named(self, kind: str, name: str, seeker: KubeObject) -> KubeObject | None:
        """The object of a kind and name that `seeker` refers to; None when it is not in the run."""
        found = self._by_name.get((kind, name))
        return None if found is None else next(iter(self._visible(found, seeker)), None)

    def services_of(self, workload: Workload) -> list[KubeObject]:
        """The Services whose selector matches the pods of a workload."""
        seeker = workload.object
        found = [one for pair in workload.labels.items() for one in self._services.get(pair, ())]
        return [
            service
            for service in self._visible(found, seeker)
            # a nearer Service of that name is the one that is meant
            if selects(service, workload) and self.named("Service", service.name, seeker) is service
        ]

    def _visible(self, candidates: Sequence[KubeObject], seeker: KubeObject) -> list[KubeObject]:
        """Those of the candidates that `seeker` can see, the nearest first, one of each name."""
        if not candidates:
            return []
        distance = _distances(seeker.directory)
        environment = self._environment_of(seeker.file.path)
        near = [
            obj
            for obj in candidates
            if obj.directory in distance
            and _same_namespace(obj, seeker)
            and self._same_environment(obj, environment)
        ]
        # the last keys make the order the same whichever process read which file
        near.sort(
            key=lambda obj: (
                distance[obj.directory],
                obj.file.path != seeker.file.path,
                obj.file.path,
                obj.document,
                obj.node.start,
            )
        )
        nearest: dict[str, KubeObject] = {}
        for obj in near:
            nearest.setdefault(obj.name, obj)
        return list(nearest.values())

    def _same_environment(self, obj: KubeObject, environment: str | None) -> bool:
        theirs = self._environment_of(obj.file.path) if environment is not None else None
        return theirs is None or theirs == environment

    def config_map_data(self, name: str, seeker: KubeObject) -> tuple[KubeObject, dict[str, Scalar]] | None:
        """A ConfigMap and its `data`."""
        obj = self.named("ConfigMap", name, seeker)
        if obj is None:
            return None
        data = obj.node.at("data")
        entries = data.entries if isinstance(data, Mapping) else {}
        return obj, {key: node for key, node in entries.items() if isinstance(node, Scalar)}


def selects(service: KubeObject, workload: Workload) -> bool:
    """Whether a Service's selector matches the pods of a workload (an empty selector matches none)."""
    selector = string_map(service.node.at("spec", "selector"))
    return bool(selector) and all(workload.labels.get(key) == value for key, value in selector.items())


def _same_namespace(one: KubeObject, other: KubeObject) -> bool:
    return not one.namespace or not other.namespace or one.namespace == other.namespace


@lru_cache(maxsize=1024)
def _distances(directory: str) -> dict[str, int]:
    """A directory and those above it, with the number of steps up."""
    path = PurePosixPath(directory)
    outside = path.parts.count("..")
    # above `../..` is no `..`
    parents = (parent for parent in path.parents if len(parent.parts) >= outside)
    return {str(one): steps for steps, one in enumerate((path, *parents))}

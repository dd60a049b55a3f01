"""Joins across the objects of a run: who sees whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath

from vllmlint.kube.objects import KubeObject, string_map
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Scalar

#: Kinds that other objects refer to; only these are indexed (and, with `--jobs`, exchanged).
JOINED_KINDS = frozenset(
    {
        "ClusterServingRuntime",
        "ConfigMap",
        "HorizontalPodAutoscaler",
        "InferenceService",
        "LLMInferenceService",
        "LLMInferenceServiceConfig",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "ScaledObject",
        "Secret",
        "Service",
        "ServingRuntime",
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
        self._by_kind: dict[str, dict[str, list[KubeObject]]] = {}
        for obj in objects:
            if obj.kind in JOINED_KINDS:
                self._by_kind.setdefault(obj.kind, {}).setdefault(obj.directory, []).append(obj)
        for directories in self._by_kind.values():
            for found in directories.values():
                # the same order whichever process read which file
                found.sort(key=lambda obj: (obj.file.path, obj.document, obj.node.start))

    def nearby(self, kind: str, seeker: KubeObject) -> Iterator[KubeObject]:
        """Objects of a kind that `seeker` can see, the nearest first, one of each name."""
        directories = self._by_kind.get(kind)
        if not directories:
            return
        environment = self._environment_of(seeker.file.path)
        seen: set[str] = set()
        for directory in _upwards(seeker.directory):
            found = directories.get(directory, ())
            for obj in sorted(found, key=lambda other: other.file is not seeker.file):
                if obj.name in seen or not _same_namespace(obj, seeker):
                    continue
                theirs = self._environment_of(obj.file.path)
                if environment is not None and theirs is not None and environment != theirs:
                    continue
                seen.add(obj.name)
                yield obj

    def named(self, kind: str, name: str, seeker: KubeObject) -> KubeObject | None:
        """The object of a kind and name that `seeker` refers to; None when it is not in the run."""
        if kind not in self._by_kind:
            return None
        return next((obj for obj in self.nearby(kind, seeker) if obj.name == name), None)

    def services_of(self, workload: Workload) -> list[KubeObject]:
        """The Services whose selector matches the pods of a workload."""
        return [obj for obj in self.nearby("Service", workload.object) if selects(obj, workload)]

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


def _upwards(directory: str) -> Iterator[str]:
    path = PurePosixPath(directory)
    yield str(path)
    outside = path.parts.count("..")
    for parent in path.parents:
        if len(parent.parts) < outside:
            return  # above `../..` is no `..`
        yield str(parent)

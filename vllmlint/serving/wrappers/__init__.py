"""The kinds that other controllers turn into vLLM pods: one adapter a kind.

An adapter turns an object into workloads whose pod spec is put together from the object's own nodes
(`nodes`), so that a check sees a `Server` like any other. What the controller adds is in `wrapper.Wrapper`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Final

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload, workloads_of
from vllmlint.manifest.nodes import Mapping
from vllmlint.manifest.reader import SourceFile

if TYPE_CHECKING:
    from vllmlint.kube.index import Index
    from vllmlint.serving.wrappers.base import RunObjects

#: Kinds with their API group: the module and the function that open them. A function answers None when
#: the object is, after all, not one that it knows.
_ADAPTERS: Final[dict[tuple[str, str], tuple[str, str]]] = {
    ("serving.kserve.io", "InferenceService"): ("kserve", "workloads"),
    ("serving.kserve.io", "ServingRuntime"): ("kserve", "workloads"),
    ("serving.kserve.io", "ClusterServingRuntime"): ("kserve", "workloads"),
    ("serving.kserve.io", "LLMInferenceService"): ("llmisvc", "workloads"),
    ("serving.kserve.io", "LLMInferenceServiceConfig"): ("llmisvc", "workloads"),
    ("ray.io", "RayService"): ("ray", "workloads"),
    ("ray.io", "RayCluster"): ("ray", "workloads"),
    ("ray.io", "RayJob"): ("ray", "workloads"),
    ("kubeai.org", "Model"): ("kubeai", "workloads"),
    ("orchestration.aibrix.ai", "StormService"): ("aibrix", "workloads"),
    ("orchestration.aibrix.ai", "RoleSet"): ("aibrix", "workloads"),
    ("orchestration.aibrix.ai", "PodSet"): ("aibrix", "workloads"),
    ("orchestration.aibrix.ai", "RayClusterFleet"): ("aibrix", "workloads"),
    ("kaito.sh", "Workspace"): ("kaito", "workloads"),
    ("kaito.sh", "InferenceSet"): ("kaito", "workloads"),
    ("nvidia.com", "DynamoGraphDeployment"): ("dynamo", "workloads"),
    ("apps.nvidia.com", "NIMService"): ("nim", "workloads"),
    ("production-stack.vllm.ai", "VLLMRuntime"): ("production_stack", "runtime_workloads"),
    ("workload.serving.volcano.sh", "ModelBooster"): ("boosters", "booster_workloads"),
    ("inference.llmaz.io", "Playground"): ("boosters", "playground_workloads"),
    ("helm.toolkit.fluxcd.io", "HelmRelease"): ("values", "release_workloads"),
    ("", "values"): ("values", "workloads"),
}
#: Kinds that merge another object of the run.
_MERGING: Final = {"InferenceService": "kserve", "LLMInferenceService": "llmisvc"}
#: A values file that an adapter knows has one of these.
_VALUES_KEYS: Final = ("servingEngineSpec", "modelArtifacts")
_TEMPLATE: Final = ("template.openshift.io", "Template")

Adapter = Callable[[KubeObject, "RunObjects"], "list[Workload] | None"]


def is_wrapped(obj: KubeObject) -> bool:
    """Whether an adapter knows the kind; its workloads may need other objects of the run."""
    key = (obj.group, obj.kind)
    return key in _ADAPTERS or key == _TEMPLATE


def values_objects(file: SourceFile) -> list[KubeObject]:
    """Values files of known Helm charts among the documents of a file, in the place of objects."""
    if not any(key in file.source.text for key in _VALUES_KEYS):
        return []
    from vllmlint.serving.wrappers import values

    return [*values.values_objects(file)]


def run_objects(index: Index) -> RunObjects:
    """What adapters see of the other objects of a run."""
    from vllmlint.serving.wrappers.base import RunObjects

    return RunObjects(index)


def note_uses(obj: KubeObject, run: RunObjects) -> None:
    """Remember which templates of the run an object merges; before any `open_wrapped`."""
    module = _MERGING.get(obj.kind)
    if module is not None and is_wrapped(obj):
        import_module(f"{__name__}.{module}").note_uses(obj, run)


def open_wrapped(obj: KubeObject, run: RunObjects) -> list[Workload]:
    """The workloads of an object of a wrapper kind."""
    key = (obj.group, obj.kind)
    if key == _TEMPLATE:
        return _of_template(obj, run)
    module, function = _ADAPTERS[key]
    adapter: Adapter = getattr(import_module(f"{__name__}.{module}"), function)
    found = adapter(obj, run)
    return workloads_of(obj) if found is None else found


def _of_template(obj: KubeObject, run: RunObjects) -> list[Workload]:
    """The workloads of the objects in an OpenShift Template."""
    found: list[Workload] = []
    for node in obj.node.mappings("objects"):
        inner = _inner_object(obj, node)
        if inner is not None:
            found += open_wrapped(inner, run) if is_wrapped(inner) else workloads_of(inner)
    return found


def _inner_object(obj: KubeObject, node: Mapping) -> KubeObject | None:
    if node.scalar("kind") is None or node.scalar("apiVersion") is None:
        return None
    return KubeObject(obj.file, obj.document, node)

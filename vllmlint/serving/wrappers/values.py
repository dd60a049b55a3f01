"""Values files of two Helm charts, recognised by their keys: vLLM production-stack and llm-d modelservice.

A values file is no Kubernetes object; a recognised one is shown as kind `values`, named after the model it
deploys. What the chart makes of the fields is in `production_stack` and `modelservice`. The chart itself is
not read: another version of it may do otherwise, and a rendered manifest is always the better input.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from yaml import YAMLError

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.compose import DocumentError, compose_document
from vllmlint.manifest.nodes import Mapping
from vllmlint.manifest.reader import SourceFile
from vllmlint.serving.wrappers import modelservice, production_stack
from vllmlint.serving.wrappers.base import RunObjects, pod_with
from vllmlint.serving.wrappers.nodes import mapping_at, sequence_at, with_entries

KIND = "values"
_TEMPLATED = "unrendered Helm template"


class ValuesObject(KubeObject):
    """A values file, or the part of it that makes one deployment, in the place of an object."""

    def __init__(self, file: SourceFile, document: int, node: Mapping, name: str = "") -> None:
        """Take the whole mapping of values; it has no metadata."""
        super().__init__(file, document, node)
        self.api_version, self.kind, self.name, self.namespace = "", KIND, name, ""


def values_objects(file: SourceFile) -> list[ValuesObject]:
    """The values files among the documents of a file: no object, but the keys of a known chart."""
    if not _is_named_so(file.path):
        return []
    found = [
        ValuesObject(file, document.index, document.root)
        for document in file.documents
        if isinstance(document.root, Mapping)
        and document.root.scalar("kind") is None
        and is_known(document.root)
    ]
    if not found and not file.documents and [one.reason for one in file.skipped] == [_TEMPLATED]:
        root = _templated_root(file)
        if root is not None and root.scalar("kind") is None and is_known(root):
            found.append(ValuesObject(file, file.skipped[0].index or 0, root))
    return found


def _is_named_so(path: str) -> bool:
    """Whether a file is named as values are, or lies where a chart's files lie.

    Other programs read files with the same keys (a benchmark's settings, say).
    """
    *directories, name = PurePosixPath(path).parts
    return "values" in name.lower() or bool(
        {"helm", "charts", "values"} & {one.lower() for one in directories}
    )


def is_known(values: Mapping) -> bool:
    """Whether these are values of a chart whose fields are known, with a server in them."""
    return production_stack.recognises(values) or modelservice.recognises(values)


def workloads(obj: KubeObject, run: RunObjects) -> list[Workload]:
    """The pods that the chart makes of a values file."""
    return list(_workloads(obj, obj.node))


def release_workloads(obj: KubeObject, _run: RunObjects) -> list[Workload] | None:
    """The pods of a Flux HelmRelease of a known chart; None for any other chart."""
    values = obj.node.mapping("spec", "values")
    if values is None or not is_known(values):
        return None
    found = list(_workloads(obj, values))
    for workload in found:
        containers = [_with_unfilled_env(one) for one in workload.spec.mappings("containers")]
        workload.spec = pod_with(workload.spec, containers)
    return found


def _with_unfilled_env(container: Mapping) -> Mapping:
    """A container whose variables hold no `${NAME}`: Flux may fill those in before it applies the release."""
    env = [
        mapping_at(one, {"name": one.scalar("name"), "valueFrom": mapping_at(one, {})})
        if "${" in (one.string("value") or "")
        else one
        for one in container.mappings("env")
    ]
    return with_entries(container, {"env": sequence_at(container, env)})


def _workloads(obj: KubeObject, values: Mapping) -> Iterator[Workload]:
    def carrier(name: str) -> KubeObject:
        return ValuesObject(obj.file, obj.document, values, name) if obj.kind == KIND else obj

    if production_stack.recognises(values):
        yield from production_stack.workloads(carrier, values)
    if modelservice.recognises(values):
        yield from modelservice.workloads(carrier, values)


def _templated_root(file: SourceFile) -> Mapping | None:
    """A values file may hold expressions for the chart's `tpl`: it is YAML all the same."""
    try:
        roots = compose_document(file.source, 0, len(file.source.text)).roots
    except (YAMLError, ValueError, DocumentError):
        return None
    return roots[0] if len(roots) == 1 and isinstance(roots[0], Mapping) else None

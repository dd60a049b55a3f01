"""Kubernetes objects in the documents of a file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePosixPath

from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence
from vllmlint.manifest.reader import Document, Skipped, SourceFile


class KubeObject:
    """One object: `file` and `document` say where it stands, `node` is its mapping.

    `namespace` is empty where the manifest states none. `group` and `version` come from
    `api_version` (`apps/v1`; the core group is empty).
    """

    def __init__(self, file: SourceFile, document: int, node: Mapping) -> None:
        self.file = file
        self.document = document
        self.node = node
        self.api_version = node.string("apiVersion") or ""
        self.kind = node.string("kind") or ""
        self.name = node.string("metadata", "name") or node.string("metadata", "generateName") or ""
        self.namespace = node.string("metadata", "namespace") or ""

    def __getstate__(self) -> dict[str, object]:
        """For another process: the object alone, without the rest of its file."""
        state = dict(self.__dict__)
        state["file"] = SourceFile(self.file.source)
        return state

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def title(self) -> str:
        """The object as kubectl writes it: `Deployment/vllm`."""
        return f"{self.kind}/{self.name}" if self.name else self.kind

    @cached_property
    def directory(self) -> str:
        """The directory of the object's file, as the user named it."""
        return str(PurePosixPath(self.file.path).parent)

    @cached_property
    def labels(self) -> dict[str, str]:
        """`metadata.labels`."""
        return string_map(self.node.at("metadata", "labels"))

    @property
    def anchor(self) -> Node:
        """What to underline for the object as a whole: its name, else its kind."""
        return self.node.scalar("metadata", "name") or self.node.scalar("kind") or self.node


def string_map(node: Node | None) -> dict[str, str]:
    """A mapping of scalars as text; empty for anything else."""
    if not isinstance(node, Mapping):
        return {}
    return {key: value.text for key, value in node.entries.items() if isinstance(value, Scalar)}


#: The API group of what kustomize reads itself (Kustomization, Component): no object of a cluster.
_KUSTOMIZE = "kustomize.config.k8s.io/"


def objects_of(file: SourceFile) -> tuple[list[KubeObject], list[Skipped]]:
    """The objects of a file (`List` objects opened up), and the documents that are none."""
    found: list[KubeObject] = []
    skipped: list[Skipped] = []
    for document in file.documents:
        objects = list(_objects_in(file, document.index, document.root))
        found += objects
        if not objects:
            skipped.append(
                Skipped(document.index, document.place._replace(end=document.place.start), _reason(document))
            )
    return found, skipped


def _objects_in(file: SourceFile, index: int, root: Node) -> Iterator[KubeObject]:
    if not isinstance(root, Mapping):
        return
    kind, version = root.scalar("kind"), root.scalar("apiVersion")
    if kind is None or version is None:
        return
    items = root.at("items")
    if kind.text.endswith("List") and isinstance(items, Sequence):
        for item in items.items:
            yield from _objects_in(file, index, item)
        return
    if version.text.startswith(_KUSTOMIZE):
        return
    yield KubeObject(file, index, root)


def _reason(document: Document) -> str:
    """Why a document holds no object, as precisely as its shape and file name tell."""
    name = PurePosixPath(document.place.source.path).name
    root = document.root
    version = root.scalar("apiVersion") if isinstance(root, Mapping) else None
    kustomize = version is not None and version.text.startswith(_KUSTOMIZE)
    if kustomize or name in {"kustomization.yaml", "kustomization.yml", "Kustomization"}:
        return "kustomization file"
    if name in {"Chart.yaml", "Chart.yml"}:
        return "Helm chart metadata"
    if (
        isinstance(root, Mapping)
        and root.scalar("apiVersion") is not None
        and root.scalar("kind") is not None
    ):
        return "empty list"
    if name.startswith("values") and isinstance(root, Mapping):
        return "Helm values file"
    return "not a Kubernetes object"

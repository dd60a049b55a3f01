"""Everything one run knows: immutable, facts worked out on first use."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vllmlint.contract.settings import Contract
from vllmlint.kube.index import Index
from vllmlint.kube.objects import KubeObject, objects_of, string_map
from vllmlint.kube.pods import Container, Mount, Workload, workloads_of
from vllmlint.manifest.reader import Skipped, SourceFile
from vllmlint.record import mutable, record
from vllmlint.serving.detect import ImagePolicy, ImageRule, find_server
from vllmlint.serving.release import Release
from vllmlint.serving.server import Server
from vllmlint.serving.wrappers import is_wrapped, note_uses, open_wrapped, run_objects, values_objects

if TYPE_CHECKING:
    from vllmlint.hardware.real_cluster import RealNodes
    from vllmlint.models.lookup import Outside


@mutable
class FileFacts:
    """What one file holds."""

    file: SourceFile
    objects: list[KubeObject]
    workloads: list[Workload]
    skipped: list[Skipped]
    servers: list[Server] = field(default_factory=list)


@record
class ContractView:
    """The contract that rules a file, and the file's path relative to that contract."""

    contract: Contract
    relative_path: str


#: The contract above a file; the default contract where there is none.
ContractLookup = Callable[[str], ContractView]


class World:
    """All objects of a run and how they belong together.

    `today` decides what has expired. `rule_options` are the
    options of each rule before the contract.
    """

    def __init__(
        self,
        files: Sequence[SourceFile],
        contract_of: ContractLookup,
        today: datetime.date,
        rule_options: Mapping[str, Mapping[str, Any]],
        paths: Iterable[str] = (),
    ) -> None:
        self.contract_of = contract_of
        self.today = today
        self._rule_options = rule_options
        #: what lies outside about models, by the path of a manifest; None: nothing is looked at
        self.models_outside: Callable[[str], Outside] | None = None
        self.paths = frozenset((*paths, *(file.path for file in files)))
        self._foreign: tuple[KubeObject, ...] = ()
        self._foreign_workloads: list[Workload] = []
        self._servers_by_workload: dict[int, list[Server]] = {}
        self._services: dict[int, list[KubeObject]] = {}
        #: real nodes that were given to the run; None without any
        self.nodes: RealNodes | None = None
        self._memos: dict[str, dict[Any, Any]] = {}
        self.files = [_read_objects(file) for file in files]

    def memo(self, question: str) -> dict[Any, Any]:
        """Answers to a question that are kept for the run; those about a workload, under its `id`, until its
        file is judged."""
        return self._memos.setdefault(question, {})

    def forget(self, facts: FileFacts) -> None:
        """Drop what was worked out about the servers and workloads of a file that is judged: in a run of
        thousands of files it would fill the memory."""
        for server in facts.servers:
            server.forget()
        for memo in self._memos.values():
            for workload in facts.workloads:
                memo.pop(id(workload), None)

    def add_foreign(self, objects: Iterable[KubeObject]) -> None:
        """Let joins see objects of files that are not linted here: siblings, other shards of a run."""
        self._foreign = tuple(objects)
        for cached in ("index", "_workloads_by_label"):
            self.__dict__.pop(cached, None)
        self._services.clear()
        self._foreign_workloads = [
            workload
            for obj in self._foreign
            if not is_wrapped(obj)
            for workload in workloads_of(obj)
            if not _is_patch(workload)
        ]

    @cached_property
    def index(self) -> Index:
        """Objects that others refer to."""
        own = (obj for facts in self.files for obj in facts.objects)
        return Index((*own, *self._foreign), self.environment_of)

    def build_servers(self) -> None:
        """Find the servers of every file; needs all `foreign` objects to be known."""
        self._open_wrappers()
        for facts in self.files:
            for workload in facts.workloads:
                facts.servers += self._build(workload)
        for workload in self._foreign_workloads:
            self._build(workload)

    def _build(self, workload: Workload) -> list[Server]:
        found = [self._server(container) for container in workload.containers]
        servers = [server for server in found if server is not None]
        self._servers_by_workload[id(workload)] = servers
        return servers

    def _open_wrappers(self) -> None:
        """Add the workloads of wrapper kinds, which may be put together from several objects."""
        wrapped = {id(obj): obj for facts in self.files for obj in facts.objects if is_wrapped(obj)}
        if not wrapped:
            return
        run = run_objects(self.index)
        for obj in (*wrapped.values(), *self._foreign):
            note_uses(obj, run)
        for facts in self.files:
            if any(id(obj) in wrapped for obj in facts.objects):
                plain: dict[int, list[Workload]] = {}
                for workload in facts.workloads:
                    plain.setdefault(id(workload.object), []).append(workload)
                facts.workloads = [
                    workload
                    for obj in facts.objects
                    for workload in (open_wrapped(obj, run) if id(obj) in wrapped else plain.get(id(obj), ()))
                ]

    def _server(self, container: Container) -> Server | None:
        obj = container.workload.object
        policy = image_policy(self.contract_of(obj.file.path).contract)
        return find_server(container, policy, lambda name: self.index.config_map_data(name, obj))

    def contract(self, obj: KubeObject) -> Contract:
        """The contract that rules an object."""
        return self.contract_of(obj.file.path).contract

    def environment_of(self, path: str) -> str | None:
        """The environment whose paths hold a file; None when the contract names none."""
        view = self.contract_of(path)
        if not view.contract.environments:
            return None
        from vllmlint.contract.settings import environment_of

        return environment_of(view.contract, view.relative_path)

    def option(self, rule: str, key: str, obj: KubeObject) -> Any:
        """An option of a rule for an object: the contract's value, else the rule's default."""
        chosen = self.contract(obj).rules.options.get(rule, {})
        return chosen[key] if key in chosen else self._rule_options[rule][key]

    def servers_in(self, workload: Workload) -> list[Server]:
        """The servers in the pods of a workload."""
        return self._servers_by_workload.get(id(workload), [])

    def facts_of(self, obj: KubeObject) -> FileFacts | None:
        """The file of an object; None when that file is not linted here."""
        return self._facts_by_path.get(obj.file.path)

    @cached_property
    def _facts_by_path(self) -> dict[str, FileFacts]:
        return {facts.file.path: facts for facts in self.files}

    @cached_property
    def _workloads_by_label(self) -> dict[tuple[str, str], list[Workload]]:
        """The workloads of the run, those of other shards too, under each of their labels."""
        own = [workload for facts in self.files for workload in facts.workloads]
        found: dict[tuple[str, str], list[Workload]] = {}
        for workload in (*own, *self._foreign_workloads):
            for pair in workload.labels.items():
                found.setdefault(pair, []).append(workload)
        for workloads in found.values():
            # the same order whichever process read which file
            workloads.sort(key=lambda one: (one.object.file.path, one.object.document, one.template.start))
        return found

    def selected_by(self, service: KubeObject) -> list[Workload]:
        """The workloads of the run that see a Service and whose pods it selects."""
        pairs = string_map(service.node.at("spec", "selector")).items()
        found = [self._workloads_by_label.get(pair, ()) for pair in pairs]
        candidates = min(found, key=len, default=())
        return [
            workload for workload in candidates if any(one is service for one in self.services_of(workload))
        ]

    def wanted_by(self, services: Iterable[KubeObject]) -> list[KubeObject]:
        """The objects here whose pods one of these Services selects: what its own shard must know."""
        found = [workload.object for service in services for workload in self.selected_by(service)]
        return list({id(obj): obj for obj in found}.values())

    def services_of(self, workload: Workload) -> list[KubeObject]:
        """The Services in sight whose selector matches the pods of a workload."""
        found = self._services.get(id(workload))
        if found is None:
            found = self._services[id(workload)] = self.index.services_of(workload)
        return found

    def claim_of(self, mount: Mount, workload: Workload) -> KubeObject | None:
        """The PersistentVolumeClaim behind a mount, when it is in the run."""
        name = mount.volume.claim_name if mount.volume is not None else None
        return self.index.named("PersistentVolumeClaim", name, workload.object) if name else None


def _read_objects(file: SourceFile) -> FileFacts:
    objects, skipped = objects_of(file)
    values = values_objects(file) if skipped or file.skipped else []
    if values:
        objects = sorted([*objects, *values], key=lambda obj: obj.document)
    workloads = [workload for obj in objects if not is_wrapped(obj) for workload in workloads_of(obj)]
    partial = {id(workload.object): workload for workload in workloads if _is_patch(workload)}
    if partial:
        skipped += [_patch_skip(workload) for workload in partial.values()]
        workloads = [workload for workload in workloads if id(workload.object) not in partial]
        objects = [obj for obj in objects if id(obj) not in partial]
    known = {obj.document for obj in values}
    skipped = [one for one in (*file.skipped, *skipped) if one.index not in known]
    return FileFacts(file, objects, workloads, sorted(skipped, key=lambda one: one.place.start))


def _is_patch(workload: Workload) -> bool:
    """A built-in kind whose containers name no image cannot be applied: it patches another file's."""
    return workload.carrier == "plain" and any(container.image is None for container in workload.containers)


def _patch_skip(workload: Workload) -> Skipped:
    obj = workload.object
    place = obj.node.place._replace(end=obj.node.start)
    return Skipped(obj.document, place, "patch without an image")


def image_policy(contract: Contract) -> ImagePolicy:
    """What the contract says of images, in the terms of the serving room."""
    rules = tuple(
        ImageRule(row.match, release, row.entrypoint)
        for row in contract.images.releases
        if (release := Release.parse(str(row.vllm))) is not None
    )
    default = contract.vllm.release
    return ImagePolicy(Release.parse(str(default)) if default else None, rules)

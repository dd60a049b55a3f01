"""One `check` run: read, join, judge; in this process or sharded over several."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from vllmlint.kube.index import JOINED_KINDS
from vllmlint.kube.objects import KubeObject, objects_of
from vllmlint.lint.contracts import Contracts
from vllmlint.lint.engine import Hit, run_rules
from vllmlint.lint.inputs import lost_inputs
from vllmlint.lint.outcome import apply_ignores
from vllmlint.lint.result import LostInput, RunResult, SkippedDocument
from vllmlint.lint.selection import Selection
from vllmlint.manifest.reader import SourceFile, read_manifest
from vllmlint.record import record
from vllmlint.rulebook import all_rules
from vllmlint.severity import Confidence
from vllmlint.sources.files import Input, looks_like_manifest
from vllmlint.world import World

if TYPE_CHECKING:
    from vllmlint.models.lookup import Outside

#: Called with the number of files done so far.
Progress = Callable[[int], None]
#: Below this many files a second process costs more than it saves (benchmarks/README.md).
_FILES_PER_PROCESS = 400


@record
class RunOptions:
    """What a run is asked to do.

    `select` None leaves the choice of rules to the contract. `contract_path` names one contract for
    all files instead of the nearest above each. `jobs` 0 means as many processes as pay off.
    """

    inputs: Sequence[Input]
    context: Sequence[Input] = ()
    select: Sequence[str] | None = None
    ignore: Sequence[str] = ()
    min_confidence: Confidence | None = None
    no_ignores: bool = False
    contract_path: str | None = None
    jobs: int = 0
    #: options of rules that the command line sets, by rule; a contract's own are stronger
    rule_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: files of real nodes, on which the pods are placed; `-` is standard input
    node_files: Sequence[str] = ()
    today: datetime.date = field(default_factory=datetime.date.today)


def run_check(options: RunOptions, progress: Progress | None = None) -> RunResult:
    """Lint the inputs of a run as one world.

    Raises `SourceError` for a file that cannot be read and `ContractError` for a contract that is wrong.
    """
    shards = shard_count(options)
    if shards > 1:
        from vllmlint.lint.shards import run_sharded

        return run_sharded(options, shards, progress)
    shard = Shard(options, options.inputs, progress)
    return shard.judge(context_objects(options))


def shard_count(options: RunOptions) -> int:
    """How many processes a run is worth."""
    wanted = options.jobs or os.cpu_count() or 1
    worth = len(options.inputs) // (_FILES_PER_PROCESS if options.jobs == 0 else 1)
    return max(1, min(wanted, worth))


def read_inputs(inputs: Iterable[Input], progress: Progress | None = None) -> list[SourceFile]:
    """Read and parse files, in their order."""
    files: list[SourceFile] = []
    for number, one in enumerate(inputs):
        data = one.read()
        if looks_like_manifest(one, data):
            files.append(read_manifest(one.path, data))
        if progress is not None:
            progress(number + 1)
    return files


def context_objects(options: RunOptions) -> list[KubeObject]:
    """The objects of files that are only read for joins."""
    files = read_inputs(options.context)
    return [obj for file in files for obj in objects_of(file)[0]]


class Shard:
    """Some of the files of a run: read first, judged once the objects of all others are known."""

    def __init__(
        self, options: RunOptions, inputs: Sequence[Input], progress: Progress | None = None
    ) -> None:
        self.options = options
        self.contracts = Contracts(options.contract_path)
        self._models: Callable[[str], Outside] | None = None
        self.files = read_inputs(inputs, progress)
        for file in self.files:
            self.contracts.view(file.path)
        given = options.rule_options
        rule_options = {rule.name: {**rule.options, **given.get(rule.name, {})} for rule in all_rules()}
        paths = (one.path for one in (*options.inputs, *options.context))
        self.world = World(self.files, self.contracts.view, options.today, rule_options, paths)
        self.world.models_outside = self._outside
        if options.node_files:
            from vllmlint.hardware.real_cluster import RealNodes
            from vllmlint.sources.nodes import read_node_files

            self.world.nodes = RealNodes(read_node_files(options.node_files), ", ".join(options.node_files))

    def _outside(self, path: str) -> Outside:
        """What lies outside about models, read where a plan asks for it."""
        if self._models is None:
            from vllmlint.lint.outside import outside_of

            # a verdict must not depend on what this machine has downloaded
            self._models = outside_of(self.contracts, use_cache=False)
        return self._models(path)

    def exported(self) -> list[KubeObject]:
        """The objects that other shards may refer to."""
        return [obj for facts in self.world.files for obj in facts.objects if obj.kind in JOINED_KINDS]

    def selected(self, foreign: Iterable[KubeObject]) -> list[KubeObject]:
        """The objects of this shard whose pods a Service of another shard selects."""
        self.world.add_foreign(foreign)
        return self.world.wanted_by(obj for obj in foreign if obj.kind == "Service")

    def judge(self, foreign: Iterable[KubeObject]) -> RunResult:
        """Run the rules, with the objects of the other files in sight."""
        options, world = self.options, self.world
        world.add_foreign(foreign)
        world.build_servers()
        selection = Selection(options.select, options.ignore, options.today)
        hits: list[Hit] = []
        lost: list[LostInput] = []
        errors: list[str] = []
        for facts in world.files:
            hits += run_rules(facts, world, selection, errors)
            lost += lost_inputs(facts, world)
            world.forget(facts)
        shown, silenced = apply_ignores(
            hits, world, selection, no_ignores=options.no_ignores, minimum=options.min_confidence
        )
        return RunResult(
            findings=shown,
            suppressed=silenced,
            lost_inputs=lost,
            skipped=_skipped(world),
            files=len(world.files),
            objects=sum(len(facts.objects) for facts in world.files),
            servers=sum(len(facts.servers) for facts in world.files),
            internal_errors=errors,
        )


def _skipped(world: World) -> list[SkippedDocument]:
    return [
        SkippedDocument(facts.file.path, one.index, one.place.line, one.reason)
        for facts in world.files
        for one in facts.skipped
    ]

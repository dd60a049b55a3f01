"""Metric names in the manifests of a run that another release does not export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from vllmlint.facts.metrics import Metric, find_metric
from vllmlint.kube.objects import KubeObject
from vllmlint.manifest.nodes import Mapping, Node, Scalar
from vllmlint.manifest.nodes import Sequence as SequenceNode
from vllmlint.manifest.text import Place
from vllmlint.plans.upgrade_change import Change, Sides, reached
from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.serving.release import Release
from vllmlint.serving.server import Server
from vllmlint.world import World

#: A series of vLLM; adapters that cannot keep the colon write an underscore.
_SERIES = regex(r"(?<![A-Za-z0-9_:])(?P<prefix>vllm[:_])(?P<name>[a-z][a-z0-9_]*)")
#: Kinds whose `scaleTargetRef` names what they scale.
_SCALERS = frozenset({"HorizontalPodAutoscaler", "ScaledObject"})


@record
class MetricUse:
    """A metric that some releases lack, where an object names it: `series` as it is written."""

    obj: KubeObject
    metric: Metric
    series: str
    prefix: str
    suffix: str
    place: Place


def metric_uses(world: World) -> list[MetricUse]:
    """Every name of a metric that some releases lack, once for each object and name."""
    found: list[MetricUse] = []
    for facts in world.files:
        if _SERIES.search(facts.file.source.text) is None:
            continue
        for obj in facts.objects:
            seen: set[str] = set()
            for use in _uses_in(obj):
                if use.series not in seen:
                    seen.add(use.series)
                    found.append(use)
    return found


def _uses_in(obj: KubeObject) -> Iterator[MetricUse]:
    for scalar in _scalars(obj.node):
        for match in _SERIES.finditer(scalar.text):
            known = find_metric(match["name"])
            if known is not None:
                place = scalar.part(match.start(), match.end())
                yield MetricUse(obj, known[0], match.group(), match["prefix"], known[1], place)


def _scalars(root: Node) -> Iterator[Scalar]:
    """The scalars under a node in the order of the file, anchors' contents once."""
    stack, visited = [root], set[int]()
    while stack:
        node = stack.pop()
        if id(node) in visited:
            continue
        visited.add(id(node))
        if isinstance(node, Scalar):
            yield node
        elif isinstance(node, Mapping):
            stack += reversed(list(node.entries.values()))
        elif isinstance(node, SequenceNode):
            stack += reversed(node.items)


def uses_by_server(world: World, servers: Sequence[Server]) -> dict[int, list[MetricUse]]:
    """The uses that speak of each server (by its index in `servers`).

    An autoscaler speaks of what it scales; any other object of the servers nearest to it in the
    folders of the run, in its own environment. Where only the top of the run connects them, the servers
    have to lie in one folder: a rule in one of many unrelated projects speaks of none of the others.
    """
    top = len(_common_parts([facts.file.path for facts in world.files]))
    found: dict[int, list[MetricUse]] = {index: [] for index in range(len(servers))}
    for use in metric_uses(world):
        for index in _spoken_of(use.obj, world, servers, top):
            found[index].append(use)
    return found


def _spoken_of(obj: KubeObject, world: World, servers: Sequence[Server], top: int) -> list[int]:
    own = [index for index, server in enumerate(servers) if server.object is obj]
    if own:
        return own
    environment = world.environment_of(obj.file.path)
    candidates = [
        index
        for index, server in enumerate(servers)
        if environment is None or world.environment_of(server.object.file.path) in (None, environment)
    ]
    target = obj.node.string("spec", "scaleTargetRef", "name") if obj.kind in _SCALERS else None
    if target is not None:
        candidates = [index for index in candidates if servers[index].object.name == target] or candidates
    depths = {index: _shared_depth(obj.directory, servers[index].object.directory) for index in candidates}
    nearest = max(depths.values(), default=0)
    found = [index for index, depth in depths.items() if depth == nearest]
    if nearest <= top < len(PurePosixPath(obj.directory).parts):
        folders = {PurePosixPath(servers[index].object.directory).parts[: top + 1] for index in found}
        return found if len(folders) == 1 else []
    return found


def _common_parts(paths: Sequence[str]) -> tuple[str, ...]:
    """The folder that holds all files of the run, as its parts."""
    folders = [PurePosixPath(path).parent.parts for path in paths]
    first, last = min(folders, default=()), max(folders, default=())
    depth = 0
    while depth < min(len(first), len(last)) and first[depth] == last[depth]:
        depth += 1
    return first[:depth]


def _shared_depth(one: str, other: str) -> int:
    """How many folders two paths have in common from the top."""
    depth = 0
    for left, right in zip(PurePosixPath(one).parts, PurePosixPath(other).parts, strict=False):
        if left != right:
            break
        depth += 1
    return depth


def metric_changes(sides: Sides, uses: Sequence[MetricUse]) -> Iterator[Change]:
    """What becomes of the metrics that speak of a server."""
    for use in uses:
        after = _state(use.metric, sides.after, sides.target)
        before = "exported"
        if sides.before is not None and sides.source is not None:
            before = _state(use.metric, sides.before, sides.source)
        if after == before:
            continue
        exported = before == "exported" or before.startswith("deprecated")
        breaks = exported and not (after == "exported" or after.startswith("deprecated"))
        name = f"{use.series} ({use.obj.title})"
        replacement = _replacement(use, sides) if after != "exported" else None
        yield Change("metric", name, before, after, breaks, replacement, use.place)


def _state(metric: Metric, server: Server, release: Release) -> str:
    """What a release does with a metric, in words; `exported` where nothing is special."""
    if not reached(release, metric.since):
        return f"not exported: new in {metric.since}"
    if metric.removed_in is not None and release.at_least(metric.removed_in):
        engine = server.env.get("VLLM_USE_V1")
        on_v0 = metric.v0_until is not None and engine is not None and engine.value == "0"
        if on_v0 and metric.v0_until is not None and release <= _release(metric.v0_until):
            return "exported"
        return f"not exported: removed in {metric.removed_in}"
    if metric.hidden_since is not None and release.at_least(metric.hidden_since):
        previous = f"{release.key[0]}.{release.key[1] - 1}"
        if server.get("show_hidden_metrics_for_version").value == previous:
            return "exported"
        return f"hidden: needs --show-hidden-metrics-for-version={previous}"
    if metric.deprecated_in is not None and release.at_least(metric.deprecated_in):
        return f"deprecated in {metric.deprecated_in}, still exported"
    return "exported"


def _release(version: str) -> Release:
    found = Release.parse(version)
    assert found is not None, version
    return found


def _replacement(use: MetricUse, sides: Sides) -> str | None:
    metric = use.metric
    if metric.replacement is None:
        return metric.write
    other = find_metric(metric.replacement)
    if other is not None and _state(other[0], sides.after, sides.target) != "exported":
        return None
    return use.prefix + metric.replacement + use.suffix

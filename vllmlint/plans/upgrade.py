"""What a run's servers become at another vLLM release, as plain data in the shape of the design page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from vllmlint.plans.upgrade_change import Change, ChangeKind, Sides, sides_of
from vllmlint.plans.upgrade_defaults import default_changes
from vllmlint.plans.upgrade_env import env_changes
from vllmlint.plans.upgrade_flags import flag_changes
from vllmlint.plans.upgrade_metrics import MetricUse, metric_changes, uses_by_server
from vllmlint.plans.upgrade_probes import probe_changes
from vllmlint.serving.release import Release, known_releases, nearest_table
from vllmlint.world import World

SCHEMA_VERSION = "1"
#: The order in which changes of one weight are told.
_ORDER: tuple[ChangeKind, ...] = ("flag", "env", "probe", "metric", "default")


def upgrade_world(
    world: World, target: Release, *, source: Release | None = None, all_defaults: bool = False
) -> dict[str, Any]:
    """What each server of a run becomes at `target`; `source` overrides the releases its images tell.

    A server whose image tells no release is only held against the target (its `from` is None).
    `all_defaults` adds the differences of parser defaults that are not known to matter. Each change is
    `{kind, name, before, after, breaks, replacement, note, message, file, line}`: `before` and `after`
    are words for a reader, `message` is the text of vLLM's own error; `breaks` is set when vLLM then
    does not start (or serves another model), a probe can no longer pass, or a metric that is read is no
    longer exported.
    """
    servers = [server for facts in world.files for server in facts.servers if not server.is_simulator]
    uses = uses_by_server(world, servers)
    rows = []
    for index, server in enumerate(servers):
        sides = sides_of(server, world, source, target)
        found = changes(sides, world, uses[index], all_defaults=all_defaults)
        obj = server.object
        rows.append(
            {
                "file": obj.file.path,
                "document": obj.document,
                "object": {
                    "apiVersion": obj.api_version,
                    "kind": obj.kind,
                    "namespace": obj.namespace,
                    "name": obj.name,
                },
                "container": server.container.name,
                "from": str(sides.source) if sides.source is not None else None,
                "to": str(target),
                "changes": [change.row() for change in found],
                "notes": list(_notes(sides)),
            }
        )
    return {"schema_version": SCHEMA_VERSION, "servers": rows}


def changes(
    sides: Sides, world: World, uses: Sequence[MetricUse] = (), *, all_defaults: bool = False
) -> list[Change]:
    """All changes of one server: what breaks first, then by kind, then in the order of the file."""
    if sides.source == sides.target:
        return []
    found = [
        *flag_changes(sides),
        *env_changes(sides),
        *probe_changes(sides),
        *metric_changes(sides, uses),
        *default_changes(sides, world, all_defaults=all_defaults),
    ]
    return sorted(found, key=lambda one: (not one.breaks, _ORDER.index(one.kind), _offset(one)))


def _offset(change: Change) -> tuple[str, int]:
    return (change.place.source.path, change.place.start) if change.place is not None else ("", 0)


def _notes(sides: Sides) -> Iterator[str]:
    """What the reader has to know about how far the plan can be trusted."""
    if sides.source is None:
        yield (
            "the image does not tell its release: only what the target refuses or lacks is shown"
            " (--from RELEASE compares)"
        )
    for release in (sides.source, sides.target):
        if release is None:
            continue
        table, exact = nearest_table(release)
        if not exact:
            newest = " (the newest that was read)" if table == known_releases()[-1] else ""
            yield f"no table of {release} was read: judged as {table}{newest}"
    if sides.after.invocation.opaque:
        yield "a program that the manifest does not show starts vLLM: its flags are not judged"
    elif not sides.after.arguments_known:
        yield "part of the command line is not known: flags in it are not judged, and no defaults"

"""`vllmlint place` as plain data, in the shape of the design page."""

from __future__ import annotations

from typing import Any

from vllmlint.kube.scheduling.records import Pod
from vllmlint.kube.scheduling.words import headline, message
from vllmlint.manifest.text import Place
from vllmlint.plans.place import PlacedReason, Placement, PoolVerdict, named_cards, placement_of
from vllmlint.plans.place_capacity import Room, room_for
from vllmlint.serving.server import Server
from vllmlint.world import World

SCHEMA_VERSION = "1"


def place_world(world: World) -> dict[str, Any]:
    """Where each server of a run can be placed."""
    servers = [server for facts in world.files for server in facts.servers]
    return {"schema_version": SCHEMA_VERSION, "servers": [_server(one, world) for one in servers]}


def _server(server: Server, world: World) -> dict[str, Any]:
    placement = placement_of(server.workload, world)
    rooms = room_for(placement, world)
    obj = server.object
    return {
        "file": obj.file.path,
        "document": obj.document,
        "object": {
            "apiVersion": obj.api_version,
            "kind": obj.kind,
            "namespace": obj.namespace,
            "name": obj.name,
        },
        "container": server.container.name,
        "role": server.workload.role or None,
        "nodes_from": placement.origin,
        "fits": overall(placement, rooms),
        "refused": [_reason(one) for one in placement.refused],
        "pools": _pools(placement),
        "capacity": [_room(one) for one in rooms],
    }


def overall(placement: Placement, rooms: tuple[Room, ...]) -> str:
    """The verdict for a server: a pool that takes the pod, with room for all replicas and for a group."""
    if placement.answer == "yes" and any(
        room.answer == "no" and room.kind in {"replicas", "group"} for room in rooms
    ):
        return "no"
    return placement.answer


def _pools(placement: Placement) -> list[dict[str, Any]]:
    """The pools of a server; those with the same reasons share the lists."""
    shared: dict[int, tuple[list[str], list[dict[str, Any]]]] = {}
    found = []
    for pool in placement.pools:
        lists = shared.get(id(pool.reasons))
        if lists is None:
            lists = ([text_of(one) for one in pool.reasons], [_reason(one) for one in pool.reasons])
            shared[id(pool.reasons)] = lists
        found.append(_pool(pool, placement.pod, *lists))
    return found


def _pool(pool: PoolVerdict, pod: Pod, reasons: list[str], details: list[dict[str, Any]]) -> dict[str, Any]:
    profile = pool.profile
    cards = profile.gpu.candidates if profile.gpu is not None else ()
    if pool.answer != "no":
        cards = named_cards(cards, pod)
    return {
        "pool": profile.name,
        "fits": pool.answer,
        "reasons": reasons,
        "details": details,
        "assumptions": list(pool.assumptions),
        "nodes": profile.node.count,
        "gpus": [gpu.id for gpu in cards],
        "source": profile.source,
    }


def text_of(one: PlacedReason) -> str:
    """A reason in one line: the scheduler's words, then the comparison."""
    reason = one.reason
    head = headline(reason)
    return (
        head
        if reason.answer == "unknown" or not reason.detail or reason.detail == head
        else f"{head}: {reason.detail}"
    )


def _reason(one: PlacedReason) -> dict[str, Any]:
    reason = one.reason
    return {
        "plugin": reason.plugin,
        "answer": reason.answer,
        "message": message(reason),
        "detail": reason.detail,
        "node_fact": reason.node_fact or None,
        **_position(one.place),
        "near_miss": {"flaw": reason.near.flaw, **_position(one.near)} if reason.near is not None else None,
    }


def _room(one: Room) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "pods": one.pods,
        "room": one.room,
        "fits": one.answer,
        "source": one.source or None,
        **_position(one.place),
    }


def _position(place: Place | None) -> dict[str, Any]:
    position = place.source.position(place.start) if place is not None else None
    return {
        "file": place.source.path if place is not None else None,
        "line": position.line if position is not None else None,
        "column": position.column if position is not None else None,
    }

"""Runs over the fixtures of wrapper kinds; shared by their tests."""

from __future__ import annotations

import datetime
from pathlib import Path

from vllmlint.contract.settings import Contract
from vllmlint.manifest.reader import read_manifest
from vllmlint.serving.server import Server
from vllmlint.world import ContractView, World

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "wrappers"


def world_of(files: dict[str, str]) -> World:
    """A run over files given as text."""
    sources = [read_manifest(path, text.encode()) for path, text in files.items()]
    contract = Contract()
    world = World(sources, lambda path: ContractView(contract, path), datetime.date(2026, 11, 23), {})
    world.build_servers()
    return world


def fixture(name: str) -> World:
    """A run over a fixture: a file, or all files of a directory."""
    path = FIXTURES / name
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return world_of(
        {f"{name}/{one.name}" if path.is_dir() else name: one.read_text("utf-8") for one in files}
    )


def servers_of(world: World) -> list[Server]:
    """All servers of a run."""
    return [server for facts in world.files for server in facts.servers]


def server(name: str, index: int = 0) -> Server:
    """One server of a fixture."""
    return servers_of(fixture(name))[index]


def group(one: Server) -> tuple[str, int | None] | None:
    """Role and size of a server's group."""
    return None if one.group is None else (one.group.role, one.group.size)

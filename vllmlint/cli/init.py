"""`vllmlint init`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from vllmlint.cli.check import EXIT_USAGE
from vllmlint.contract.settings import Contract
from vllmlint.hardware.profile import NodeProfile
from vllmlint.lint.run import read_inputs
from vllmlint.plans.first_contract import first_contract
from vllmlint.sources.files import SourceError, find_inputs
from vllmlint.world import ContractView, World


def run(paths: Sequence[str], output: str, *, force: bool, nodes: Sequence[str] = ()) -> int:
    """Write a first contract from the manifests under `paths` and from files of real nodes; returns the exit
    code."""
    import datetime

    try:
        profiles = _profiles(nodes) if nodes else ()
        files = read_inputs([one for one in find_inputs(paths) if one.path not in _displayed(nodes)])
    except SourceError as error:
        print(f"vllmlint: {error}", file=sys.stderr)
        return EXIT_USAGE
    default = Contract()
    # what is there already must not colour what is written anew
    world = World(files, lambda path: ContractView(default, path), datetime.date.today(), {})
    world.build_servers()
    text = first_contract(world, profiles)
    if output == "-":
        print(text, end="")
        return 0
    if os.path.exists(output) and not force:
        print(f"vllmlint: {output} is there already: --force replaces it, -o - prints", file=sys.stderr)
        return EXIT_USAGE
    try:
        with open(output, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        print(f"vllmlint: cannot write {output}: {error.strerror or error}", file=sys.stderr)
        return EXIT_USAGE
    servers = _count(sum(len(facts.servers) for facts in world.files), "vLLM server")
    print(f"wrote {output} from {_count(len(files), 'file')} with {servers}{_seen(profiles)}")
    return 0


def _profiles(nodes: Sequence[str]) -> tuple[NodeProfile, ...]:
    from vllmlint.hardware.real_nodes import node_profiles
    from vllmlint.sources.nodes import read_node_files

    return node_profiles(read_node_files(nodes).nodes, ", ".join(nodes))


def _displayed(nodes: Sequence[str]) -> set[str]:
    """The files of nodes as a search for manifests would name them."""
    return {one.path for name in nodes if name != "-" for one in find_inputs([name])}


def _seen(profiles: Sequence[NodeProfile]) -> str:
    """What came of the nodes, for the last line."""
    if not profiles:
        return ""
    having = sum(profile.node.count or 1 for profile in profiles if profile.gpu is not None)
    total = sum(profile.node.count or 1 for profile in profiles)
    return f" and {_count(total, 'node')}, {having} of them with GPUs"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

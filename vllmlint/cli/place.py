"""`vllmlint place`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

from vllmlint.cli.check import EXIT_FINDINGS, EXIT_USAGE, print_contract_error, read_stdin
from vllmlint.lint.contracts import ContractError
from vllmlint.lint.run import RunOptions, Shard
from vllmlint.plans.place_data import place_world
from vllmlint.reports.options import terminal_width
from vllmlint.sources.files import SourceError

#: Where the kinds of nodes are from, for people.
_ORIGINS = {
    "nodes-file": "the given nodes",
    "contract": "the contract's node pools",
    "platform": "what the platform has for the pod's selectors",
    "nothing": "nothing is known of the nodes: describe them under nodePools, or give --nodes",
}
_ANSWERS = {"yes": "fits", "no": "does not fit", "unknown": "cannot tell"}
_ROOMS = {
    "replicas": "all replicas",
    "surge": "replicas and the surplus of a rollout",
    "autoscaler": "the autoscaler's maximum",
    "group": "one group as a whole",
}


def run(
    paths: Sequence[str], nodes: Sequence[str], fmt: str, *, stdin_filename: str, contract: str | None
) -> int:
    """Print where each server can be placed.

    Returns the exit code: 1 for a server with no place, 2 for a wrong usage, contract or file of nodes.
    """
    if fmt not in {"text", "json"}:
        return _usage(f"--format {fmt!r}: choose one of text, json")
    try:
        inputs = read_stdin(paths, stdin_filename)
        shard = Shard(RunOptions(inputs, contract_path=contract, node_files=nodes), inputs)
    except SourceError as error:
        return _usage(str(error))
    except ContractError as error:
        print_contract_error(error)
        return EXIT_USAGE
    shard.world.build_servers()
    plan = place_world(shard.world)
    if fmt == "json":
        json.dump(plan, sys.stdout, indent=2)
        print()
    else:
        print(render(plan, terminal_width()), end="")
        for file in shard.world.files:
            for problem in file.file.problems:
                print(f"{file.file.path}:{problem.place.line}: {problem.message}", file=sys.stderr)
    return EXIT_FINDINGS if any(server["fits"] == "no" for server in plan["servers"]) else 0


def _usage(message: str) -> int:
    print(f"vllmlint: {message}", file=sys.stderr)
    return EXIT_USAGE


def render(plan: dict[str, Any], width: int) -> str:
    """The plan as text: for each server a verdict, and a table of pools with every reason."""
    if not plan["servers"]:
        return "no vLLM server found\n"
    return "\n".join("\n".join(_server(server, width)) + "\n" for server in plan["servers"])


def _server(server: dict[str, Any], width: int) -> Iterator[str]:
    obj = server["object"]
    role = f" {server['role']}" if server["role"] else ""
    yield f"{obj['kind']}/{obj['name']}{role} container {server['container']} ({server['file']})"
    origin = _ORIGINS[server["nodes_from"]]
    yield f"  {_ANSWERS[server['fits']]}; nodes from: {origin}" if server["pools"] else f"  {origin}"
    for one in server["refused"]:
        yield from _folded(f"{one['detail']}{_line(one, server)}", width, "  ")
    names = [
        pool["pool"] + (f" ({pool['nodes']})" if pool["nodes"] is not None else "")
        for pool in server["pools"]
    ]
    space = max((len(name) for name in names), default=0)
    for name, pool in zip(names, server["pools"], strict=True):
        yield from _folded(f"{name.ljust(space)}  {_ANSWERS[pool['fits']]}{_gpus(pool)}", width, "    ")
        for text in pool["assumptions"]:
            yield from _folded(f"if {text}", width, " " * (space + 8))
        for text, one in zip(pool["reasons"], pool["details"], strict=True):
            yield from _folded(f"{text}{_line(one, server)}", width, " " * (space + 8))
    for one in server["capacity"]:
        if one["fits"] == "no" or (one["fits"] == "unknown" and server["nodes_from"] == "contract"):
            yield from _folded(_room(one) + _line(one, server), width, "  ")


def _gpus(pool: dict[str, Any]) -> str:
    """The GPUs that a verdict is for; where there may be several, it holds for each."""
    if pool["fits"] == "no" or not pool["gpus"]:
        return ""
    return f" ({' or '.join(pool['gpus'])})"


def _room(one: dict[str, Any]) -> str:
    source = f" ({one['source']})" if one["source"] else ""
    what = f"{_ROOMS[one['kind']]}{source}: {one['pods']} pod{'s' if one['pods'] != 1 else ''}"
    if one["room"] is None:
        return f"room for {what}: cannot tell how many nodes the pools have, or how much is in one"
    return f"no room for {what}, the pools that fit hold {one['room']}"


def _line(one: dict[str, Any], server: dict[str, Any]) -> str:
    if one["line"] is None:
        return ""
    return f" [line {one['line']}]" if one["file"] == server["file"] else f" [{one['file']}:{one['line']}]"


def _folded(text: str, width: int, indent: str) -> list[str]:
    """A text within the terminal; what cannot be folded sticks out rather than be cut."""
    return wrap(
        text,
        max(width, len(indent) + 40),
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )

"""`vllmlint inspect`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from vllmlint.cli.check import EXIT_USAGE, print_contract_error, read_stdin
from vllmlint.lint.contracts import ContractError
from vllmlint.lint.run import RunOptions, Shard
from vllmlint.plans.inspect import inspect_world
from vllmlint.sources.files import SourceError

#: Kinds of nodes that are listed for a server; `place` lists them all.
_MOST_NODES = 8


def run(
    paths: Sequence[str],
    nodes: Sequence[str],
    fmt: str,
    *,
    defaults: bool,
    stdin_filename: str,
    contract: str | None,
) -> int:
    """Print what is believed about each server; returns the exit code."""
    if fmt not in {"text", "json"}:
        print(f"vllmlint: --format {fmt!r}: choose one of text, json", file=sys.stderr)
        return EXIT_USAGE
    try:
        inputs = read_stdin(paths, stdin_filename)
        shard = Shard(RunOptions(inputs, contract_path=contract, node_files=nodes), inputs)
    except SourceError as error:
        print(f"vllmlint: {error}", file=sys.stderr)
        return EXIT_USAGE
    except ContractError as error:
        print_contract_error(error)
        return EXIT_USAGE
    shard.world.build_servers()
    plan = inspect_world(shard.world, defaults=defaults)
    if fmt == "json":
        json.dump(plan, sys.stdout, indent=2, default=str)
        print()
    else:
        print("\n".join(_text(server) for server in plan["servers"]) or "no vLLM server found")
        for file in shard.world.files:
            for problem in file.file.problems:
                line = problem.place.line
                print(f"{file.file.path}:{line}: {problem.message}", file=sys.stderr)
    return 0


def _text(server: dict[str, Any]) -> str:
    """One server as aligned lines."""
    obj, image, model = server["object"], server["image"], server["model"]
    title = f"{obj['kind']}/{obj['name']} container {server['container']} ({server['file']})"
    gpu, parallelism, group = server["gpu"], server["parallelism"], server["group"]
    rows = [
        ("image", f"{image['reference']}"),
        ("release", f"{image['release']} ({image['release_certainty']}), entrypoint {server['entrypoint']}"),
        (
            "model",
            f"{model['id'] or 'not known'} ({model['source']})"
            + (f" at {model['revision']}" if model["revision"] else ""),
        ),
        ("gpu", f"{gpu['resource']}: {gpu['count']}" if gpu else "none requested"),
        (
            "parallelism",
            f"tensor {_known(parallelism['tensor'])}, pipeline {_known(parallelism['pipeline'])},"
            f" data {_known(parallelism['data'])}: {_known(parallelism['world_size'])} GPU processes",
        ),
        ("port", _known(server["port"])),
        ("replicas", _known(server["replicas"])),
    ]
    if server["memory"]:
        memory = server["memory"]
        rows.append(("memory", f"{memory['gpu']['id']}: {memory['verdict']}, {memory['reason']}"))
    if server["node"]["candidates"]:
        rows.insert(5, ("may run on", _nodes(server["node"]["candidates"])))
    if group:
        rows.append(("group", f"{group['name']} {group['role']}, size {_known(group['size'])}"))
    if server["simulator"]:
        rows.append(("simulator", "imitates vLLM's API: rules are not applied"))
    for name, probe in server["probes"].items():
        if probe:
            where = f"{probe['path']} " if probe["path"] else ""
            budget = f"fails for good after {probe['budget_seconds']} s"
            rows.append((f"{name} probe", f"{probe['type']} {where}on {probe['port']}, {budget}"))
    lines = [title, *(f"  {label:<16} {value}" for label, value in rows)]
    if server["settings"]:
        lines.append("  settings")
        lines += [f"    {name} = {_value(one)}" for name, one in server["settings"].items()]
    lines += [
        f"    unknown flag {flag['flag']} on line {flag['line']}"
        + (f": did you mean {flag['suggestion']}?" if flag["suggestion"] else "")
        for flag in server["unknown_flags"]
    ]
    return "\n".join(lines) + "\n"


def _nodes(candidates: list[dict[str, str | None]]) -> str:
    """The kinds of nodes that take the pod or may, each with the GPUs that it may have."""
    pools: dict[str, list[str]] = {}
    for one in candidates:
        pools.setdefault(str(one["pool"]), []).extend([one["gpu"]] if one["gpu"] else [])
    named = [f"{pool} ({' or '.join(gpus)})" if gpus else pool for pool, gpus in pools.items()]
    more = [f"and {len(named) - _MOST_NODES} more"] if len(named) > _MOST_NODES else []
    return ", ".join([*named[:_MOST_NODES], *more])


def _known(value: Any) -> str:
    return "not known" if value is None else str(value)


def _value(setting: dict[str, Any]) -> str:
    shown = "not known" if setting["certainty"] == "unknown" else json.dumps(setting["value"], default=str)
    origin = setting["origin_name"] or setting["origin"]
    place = f", line {setting['line']}" if setting["line"] else ""
    kind = "default of " if setting["origin"] == "default" else ""
    reason = f"; {setting['reason']}" if setting["reason"] else ""
    return f"{shown} ({kind}{origin}{place}{reason})"

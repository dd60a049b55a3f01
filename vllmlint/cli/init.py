"""`vllmlint init`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from vllmlint.cli.check import EXIT_USAGE
from vllmlint.contract.settings import Contract
from vllmlint.lint.run import read_inputs
from vllmlint.plans.first_contract import first_contract
from vllmlint.sources.files import SourceError, find_inputs
from vllmlint.world import ContractView, World


def run(paths: Sequence[str], output: str, *, force: bool) -> int:
    """Write a first contract from the manifests under `paths`; returns the exit code."""
    import datetime

    try:
        files = read_inputs(find_inputs(paths))
    except SourceError as error:
        print(f"vllmlint: {error}", file=sys.stderr)
        return EXIT_USAGE
    default = Contract()
    # what is there already must not colour what is written anew
    world = World(files, lambda path: ContractView(default, path), datetime.date.today(), {})
    world.build_servers()
    text = first_contract(world)
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
    servers = sum(len(facts.servers) for facts in world.files)
    print(f"wrote {output} from {_count(len(files), 'file')} with {_count(servers, 'vLLM server')}")
    return 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

"""Build the compact vLLM tables of `schemas/vllm/` from one file a release.

    python scripts/build_vllm_tables.py ../shared/data/vllm/args [OUTPUT_FOLDER]

Input: `<version>.json` for each release and `changes.json` (the format is described in the folder
above the input). Output: `releases.json` (their order), `flags.json` (flags and parser behaviour),
`history.json` (when each flag came and went) and `env.json` (environment variables with their
history). Equal entries are stored once; what holds for several releases is a run
`[first index, last index, entry]` over the ordered releases. The same input gives the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Keys of a flag whose value is a long list of strings, kept in a pool of its own.
_POOLED = ("choices", "known")
#: What `changes.json` says that the tables themselves do not say.
_HISTORY = (
    "first",
    "last",
    "removed_in",
    "absent_in",
    "deprecated_in",
    "removal",
    "replacement",
    "replacement_field",
)


class Pool:
    """Numbers distinct JSON values in order of first use."""

    def __init__(self) -> None:
        """An empty pool."""
        self.values: list[Any] = []
        self._index: dict[str, int] = {}

    def add(self, value: Any) -> int:
        """The number of `value`, new or known."""
        key = json.dumps(value, sort_keys=True)
        if key not in self._index:
            self._index[key] = len(self.values)
            self.values.append(value)
        return self._index[key]


def runs(entries: list[int | None]) -> list[list[int]]:
    """`[first, last, entry]` for each stretch of equal entries; None is a gap."""
    found: list[list[int]] = []
    for index, entry in enumerate(entries):
        if entry is None:
            continue
        if found and found[-1][2] == entry and found[-1][1] == index - 1:
            found[-1][1] = index
        else:
            found.append([index, index, entry])
    return found


def _pooled(spec: Mapping[str, Any], lists: Pool) -> dict[str, Any]:
    """The flag with its long lists replaced by their numbers."""
    return {key: lists.add(value) if key in _POOLED else value for key, value in spec.items()}


def _by_name(tables: list[dict[str, Any]], section: str, pool: Pool, lists: Pool) -> dict[str, Any]:
    """Name -> runs, for the flags or the variables of all releases."""
    names = sorted({name for table in tables for name in table[section]})
    result = {}
    for name in names:
        entries = [
            pool.add(_pooled(table[section][name], lists)) if name in table[section] else None
            for table in tables
        ]
        result[name] = runs(entries)
    return result


def build_flags(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """The content of `flags.json`."""
    specs, lists, parsers = Pool(), Pool(), Pool()
    parser_runs = runs([parsers.add(table["parser"]) for table in tables])
    flags = _by_name(tables, "flags", specs, lists)
    return {
        "parser_runs": parser_runs,
        "parsers": parsers.values,
        "lists": lists.values,
        "specs": specs.values,
        "flags": flags,
    }


def _history(changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Name -> what is known of its life, without what the tables repeat."""
    return {
        name: {key: entry[key] for key in _HISTORY if key in entry} for name, entry in sorted(changes.items())
    }


def build_env(tables: list[dict[str, Any]], changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The content of `env.json`."""
    specs, lists = Pool(), Pool()
    env = _by_name(tables, "env", specs, lists)
    mentioned = sorted({name for table in tables for name in table["env_other"]})
    other = {
        name: runs([0 if name in table["env_other"] else None for table in tables]) for name in mentioned
    }
    return {
        "lists": lists.values,
        "specs": specs.values,
        "env": env,
        "other": {name: [[first, last] for first, last, _ in stretches] for name, stretches in other.items()},
        "history": _history(changes),
    }


def render(document: Mapping[str, Any]) -> str:
    """Compact JSON with one entry a line, so that a change shows as a few lines."""
    parts = []
    for key, value in document.items():
        if isinstance(value, list):
            body = ",\n".join(json.dumps(item, separators=(",", ":"), ensure_ascii=False) for item in value)
            parts.append(f"{json.dumps(key)}:[\n{body}\n]")
        else:
            body = ",\n".join(
                f"{json.dumps(name)}:{json.dumps(item, separators=(',', ':'), ensure_ascii=False)}"
                for name, item in value.items()
            )
            parts.append(f"{json.dumps(key)}:{{\n{body}\n}}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def build(source: Path) -> dict[str, str]:
    """File name -> content, for every table."""
    changes = json.loads((source / "changes.json").read_text("utf-8"))
    releases: list[str] = changes["versions"]
    tables = [json.loads((source / f"{release}.json").read_text("utf-8")) for release in releases]
    return {
        "releases.json": render({"releases": releases}),
        "flags.json": render(build_flags(tables)),
        "history.json": render({"flags": _history(changes["flags"])}),
        "env.json": render(build_env(tables, changes["env"])),
    }


def main(arguments: list[str]) -> int:
    """Write the tables; the exit status is 2 when the input folder is missing."""
    if not arguments or not Path(arguments[0], "changes.json").is_file():
        print("usage: build_vllm_tables.py FOLDER_WITH_CHANGES_JSON [OUTPUT_FOLDER]", file=sys.stderr)
        return 2
    default = Path(__file__).resolve().parent.parent / "schemas" / "vllm"
    target = Path(arguments[1]) if len(arguments) > 1 else default
    target.mkdir(parents=True, exist_ok=True)
    for name, content in build(Path(arguments[0])).items():
        (target / name).write_text(content, "utf-8")
        print(f"{name}: {len(content)} characters")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

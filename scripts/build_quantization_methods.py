"""Writes `vllmlint/facts/quantization_methods.json`: the quantization methods of each vLLM release.

    python scripts/build_quantization_methods.py FOLDER

FOLDER holds unpacked vLLM source distributions, one folder a release; they are only parsed. A method's row
is a list of [index into releases, row]: from that release on; null where the release does not know it.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

from build_architectures import Sources, _name

from vllmlint.serving.release import Release

TARGET = Path(__file__).resolve().parent.parent / "vllmlint" / "facts" / "quantization_methods.json"
HOME = "model_executor.layers.quantization"
ABOUT = (
    "vLLM's quantization methods by release: the smallest compute capability (major*10+minor; null: not for "
    "CUDA or not stated as a number), the dtypes it computes in (b bfloat16, h float16, f float32), the "
    "files a checkpoint states it in where config.json does not, and how much its class must be told by the "
    "checkpoint ('needs'). Rows are [index into releases, row]: from that release on; null where it does not "
    "know the method. Written by scripts/build_quantization_methods.py from vLLM's source distributions."
)
_DTYPES = {"bfloat16": "b", "float16": "h", "half": "h", "float32": "f", "float": "f"}


def _mapping(package: Path) -> dict[str, str]:
    """Method -> name of its configuration class, as `get_quantization_config` has it."""
    tree = ast.parse((package / "model_executor/layers/quantization/__init__.py").read_text("utf-8"))
    found: dict[str, str] = {}
    listed: list[str] = []
    for node in ast.walk(tree):
        target = getattr(node, "target", None) or (node.targets[0] if isinstance(node, ast.Assign) else None)
        if target is None:
            continue
        value = getattr(node, "value", None)
        if isinstance(value, ast.Dict):
            for key, entry in zip(value.keys, value.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(entry, ast.Name):
                    found[str(key.value)] = entry.id
        elif _name(target) in ("QuantizationMethods", "QUANTIZATION_METHODS"):
            constants = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            listed += [value for value in constants if isinstance(value, str)]
    names = listed or list(found)
    return {name: found.get(name, "OnlineQuantizationConfig") for name in names}


def _method(sources: Sources, dotted: str, name: str, method: str, depth: int = 0) -> ast.FunctionDef | None:
    found = sources.find(dotted, name)
    if found is None or depth > 6:
        return None
    home, node = found
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == method:
            return item
    for base in node.bases:
        inherited = _method(sources, home, _name(base), method, depth + 1)
        if inherited is not None:
            return inherited
    return None


def _returned(function: ast.FunctionDef | None) -> ast.expr | None:
    returns = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)] if function else []
    return returns[-1] if returns else None


def _row(sources: Sources, name: str) -> dict[str, Any]:
    capability = _returned(_method(sources, HOME, name, "get_min_capability"))
    dtypes = _returned(_method(sources, HOME, name, "get_supported_act_dtypes"))
    files = _returned(_method(sources, HOME, name, "get_config_filenames"))
    letters = {
        _DTYPES[node.attr]
        for node in ast.walk(dtypes or ast.List([]))
        if isinstance(node, ast.Attribute)
        if node.attr in _DTYPES
    }
    made = _method(sources, HOME, name, "__init__")
    needed = len(made.args.args) - 1 - len(made.args.defaults) if made else 0
    number = capability.value if isinstance(capability, ast.Constant) else None
    return {
        "capability": number if isinstance(number, int) and number >= 0 else None,
        "dtypes": "".join(sorted(letters)) or "bh",
        "files": [node.value for node in ast.walk(files or ast.List([])) if isinstance(node, ast.Constant)],
        "class": name,
        "needs": needed,
    }


def main() -> None:
    folder = Path(sys.argv[1])
    versions = {Release.parse(child.name): child for child in folder.iterdir() if child.is_dir()}
    releases = sorted(release for release in versions if release is not None)
    methods: dict[str, list[list[Any]]] = {}
    for index, release in enumerate(releases):
        package = versions[release] / "vllm"
        sources = Sources(package)
        known = {name: _row(sources, entry) for name, entry in _mapping(package).items()}
        for name in sorted({*known, *methods}):
            row, past = known.get(name), methods.setdefault(name, [])
            if (past[-1][1] if past else None) != row:
                past.append([index, row])
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(rows)}" for name, rows in sorted(methods.items()))
    head = f'{{\n"_about": {json.dumps(ABOUT)},\n"releases": {json.dumps([str(r) for r in releases])},\n'
    TARGET.write_text(f'{head}"methods": {{\n{lines}\n}}\n}}\n', "utf-8")


if __name__ == "__main__":
    main()

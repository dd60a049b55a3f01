"""Writes `vllmlint/facts/architectures.json`: which architectures each vLLM release serves, and how.

    python scripts/build_architectures.py FOLDER

FOLDER holds unpacked vLLM source distributions, one folder a release, named by its version. They are only
parsed (`ast`), never imported. For each release the model registry names architectures and the classes
behind them; what a class supports is what its bases, class attributes and decorators say, as vLLM's own
`_ModelInfo.from_model_cls` asks (`model_executor/models/registry.py`).
"""

from __future__ import annotations

import ast
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vllmlint.serving.release import Release

TARGET = Path(__file__).resolve().parent.parent / "vllmlint" / "facts" / "architectures.json"
#: Interface classes and class attributes -> the letter they are written as.
BASES = {
    "IsHybrid": "h",
    "IsAttentionFree": "f",
    "SupportsPP": "P",
    "SupportsMambaPrefixCaching": "M",
    "SupportsMultiModal": "m",
    "SupportsV0Only": "0",
    "VllmModelForPooling": "p",
}
ATTRIBUTES = {
    "is_hybrid": "h",
    "is_attention_free": "f",
    "supports_pp": "P",
    "supports_mamba_prefix_caching": "M",
    "supports_multimodal": "m",
    "supports_v0_only": "0",
    "is_pooling_model": "p",
}
ABOUT = (
    "Which architectures vLLM's registry names, release by release, and what their classes support. A row is "
    "a list of [index into releases, letters]: from that release on; '-' where the registry has it not. "
    "g generates text, p pools, m multimodal, h hybrid, f attention-free, P pipeline parallel, M prefix "
    "caching of Mamba state in mode 'all', 0 V0 engine only, e encoder-only attention; C/A default sequence "
    "pooling CLS/MEAN, S token pooling STEP. Written by scripts/build_architectures.py from vLLM's source "
    "distributions. 'removed' is the last release that served an architecture, in vLLM's own words."
)


class Sources:
    """The model modules of one release, by dotted name."""

    def __init__(self, package: Path) -> None:
        self.package = package

    @cache  # noqa: B019  (a handful of instances, for the life of the script)
    def module(self, dotted: str) -> dict[str, Any]:
        """Classes and imported names of a module."""
        path = self.package.joinpath(*dotted.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if not file.exists():
            return {"classes": {}, "imports": {}}
        classes: dict[str, ast.ClassDef] = {}
        imports: dict[str, tuple[str, str]] = {}
        package = dotted if path.is_dir() else dotted.rpartition(".")[0]
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, node)
            elif isinstance(node, ast.ImportFrom):
                origin = _absolute(package, node)
                for alias in node.names:
                    imports[alias.asname or alias.name] = (origin, alias.name)
        return {"classes": classes, "imports": imports}

    def find(self, dotted: str, name: str, depth: int = 0) -> tuple[str, ast.ClassDef] | None:
        """The class a name stands for in a module, imports followed."""
        module = self.module(dotted)
        if name in module["classes"]:
            return dotted, module["classes"][name]
        if name in module["imports"] and depth < 8:
            origin, original = module["imports"][name]
            return self.find(origin, original, depth + 1)
        return None

    def letters(self, dotted: str, name: str, seen: frozenset[str] = frozenset()) -> set[str]:
        """What a class supports, by itself and through its bases."""
        found = self.find(dotted, name)
        if name in BASES:
            return {BASES[name]}
        if found is None or f"{found[0]}.{name}" in seen:
            return set()
        home, node = found
        own = _own_letters(node)
        for base in node.bases:
            inherited = self.letters(home, _name(base), seen | {f"{home}.{name}"})
            if own & set("CAL"):
                inherited -= set("CAL")
            own |= inherited
        return own


def _absolute(package: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return (node.module or "").removeprefix("vllm.")
    parts = package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _own_letters(node: ast.ClassDef) -> set[str]:
    letters: set[str] = set()
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "compute_logits":
            letters.add("g")
        targets: list[Any] = []
        if isinstance(item, ast.Assign):
            targets = item.targets
        elif isinstance(item, ast.AnnAssign):
            targets = [item.target]
        for target in targets:
            letter = ATTRIBUTES.get(_name(target))
            value = getattr(item, "value", None)
            if letter and isinstance(value, ast.Constant) and value.value is True:
                letters.add(letter)
    for decorator in node.decorator_list:
        letters |= _decorated(decorator)
    return letters


def _decorated(decorator: ast.expr) -> set[str]:
    if not isinstance(decorator, ast.Call):
        return set()
    values = {word.arg: word.value for word in decorator.keywords}
    plain = decorator.args[0] if decorator.args else None
    if _name(decorator.func) == "attn_type" and isinstance(plain, ast.Constant):
        return {"e"} if plain.value == "encoder_only" else set()
    if _name(decorator.func) != "default_pooling_type":
        return set()
    sequence, token = values.get("seq_pooling_type", plain), values.get("tok_pooling_type", plain)
    letters = {"L"}
    if isinstance(sequence, ast.Constant):
        letters = {{"CLS": "C", "MEAN": "A"}.get(str(sequence.value), "L")}
    if isinstance(token, ast.Constant) and token.value == "STEP":
        letters.add("S")
    return letters


def registry(package: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Architecture -> letters, and architecture -> last release that served it."""
    tree = ast.parse((package / "model_executor/models/registry.py").read_text("utf-8"))
    sources = Sources(package)
    served: dict[str, str] = {}
    removed: dict[str, str] = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if not isinstance(value, ast.Dict) or target is None:
            continue
        for key, entry in zip(value.keys, value.values, strict=True):
            if not isinstance(key, ast.Constant):
                continue
            if _name(target) == "_PREVIOUSLY_SUPPORTED_MODELS" and isinstance(entry, ast.Constant):
                removed[str(key.value)] = str(entry.value)
            elif _name(target).endswith("_MODELS") and isinstance(entry, ast.Tuple):
                module, name = (str(part.value) for part in entry.elts if isinstance(part, ast.Constant))
                dotted = module.removeprefix("vllm.") if "." in module else f"model_executor.models.{module}"
                letters = sources.letters(dotted, name) - {"L"}
                served[str(key.value)] = "".join(sorted(letters))
    return served, removed


def main() -> None:
    folder = Path(sys.argv[1])
    versions = {Release.parse(child.name): child for child in folder.iterdir() if child.is_dir()}
    releases = sorted(release for release in versions if release is not None)
    rows: dict[str, list[list[Any]]] = {}
    removed: dict[str, str] = {}
    for index, release in enumerate(releases):
        served, removed = registry(versions[release] / "vllm")
        for name in sorted({*served, *rows}):
            letters = served.get(name, "-")
            row = rows.setdefault(name, [])
            if (not row and letters != "-") or (row and row[-1][1] != letters):
                row.append([index, letters])
    lines = [
        "{",
        f'"_about": {json.dumps(ABOUT)},',
        f'"releases": {json.dumps([str(release) for release in releases])},',
        f'"removed": {json.dumps(removed, sort_keys=True)},',
        '"architectures": {',
        ",\n".join(f"{json.dumps(name)}: {json.dumps(rows[name])}" for name in sorted(rows)),
        "}",
        "}",
    ]
    TARGET.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""Build `schemas/vllm/config.json`: the fields of the config classes that JSON flags are read into.

    python scripts/build_vllm_config_tables.py SOURCES [OUTPUT_FILE]

SOURCES holds one folder a release, named by the version, with the release's own `vllm/config` package
(or `vllm/config.py`) in it. The sources are only parsed, nothing of them is run. Not every release
has to be there: a reader takes the neighbours of one that is not (see `arg_config_objects`).

A field is a list of what it takes: "int", "float", "bool", "str", "none", {"choices": [...]} for
literals, {"enum": [...]} for the names of an enum, {"class": name} for a nested class, or "any" when
the annotation says more than can be checked here. The same input gives the same bytes.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

#: The classes of `schema` in the flag tables; classes they nest are added.
ROOTS = (
    "AttentionConfig",
    "AuxOutputConfig",
    "CompilationConfig",
    "ECTransferConfig",
    "EPLBConfig",
    "EncoderCacheManagerConfig",
    "EngramConfig",
    "FaultToleranceConfig",
    "IrOpPriorityConfig",
    "KVEventsConfig",
    "KVTransferConfig",
    "KernelConfig",
    "LoggingConfig",
    "PoolerConfig",
    "ProfilerConfig",
    "QuantizationConfigArgs",
    "ReasoningConfig",
    "StructuredOutputsConfig",
    "WatchdogConfig",
    "WeightTransferConfig",
)
_SCALARS = {"int", "float", "bool", "str"}


class Sources:
    """The classes and type aliases of one release's config package."""

    def __init__(self, folder: Path) -> None:
        """Parse every module below `vllm/config`."""
        self.classes: dict[str, ast.ClassDef] = {}
        self.aliases: dict[str, ast.expr] = {}
        package = folder / "vllm"
        for path in [*sorted(package.glob("config/*.py")), *package.glob("config.py")]:
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    self.classes[node.name] = node
                elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    self.aliases[node.targets[0].id] = node.value

    def is_enum(self, name: str) -> bool:
        """Whether `name` is an enum of the package."""
        node = self.classes.get(name)
        return node is not None and any("Enum" in ast.unparse(base) for base in node.bases)

    def members(self, name: str) -> list[str]:
        """The member names of an enum."""
        body = self.classes[name].body
        targets = [node.targets[0] for node in body if isinstance(node, ast.Assign)]
        return [target.id for target in targets if isinstance(target, ast.Name)]

    def kinds(self, annotation: ast.expr) -> list[Any]:
        """What a field of this annotation takes."""
        if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
            return self.kinds(annotation.left) + self.kinds(annotation.right)
        if isinstance(annotation, ast.Constant):
            return self._constant(annotation.value)
        if isinstance(annotation, ast.Name):
            return self._name(annotation.id)
        if isinstance(annotation, ast.Subscript):
            return self._subscript(annotation)
        return ["any"]

    def _constant(self, value: Any) -> list[Any]:
        if value is None:
            return ["none"]
        return self.kinds(ast.parse(value, mode="eval").body) if isinstance(value, str) else ["any"]

    def _name(self, name: str) -> list[Any]:
        if name in _SCALARS:
            return [name]
        if self.is_enum(name):
            return [{"enum": self.members(name)}]
        if name in self.classes:
            return [{"class": name}]
        return self.kinds(self.aliases[name]) if name in self.aliases else ["any"]

    def _subscript(self, annotation: ast.Subscript) -> list[Any]:
        head = ast.unparse(annotation.value)
        inner = annotation.slice
        parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if head == "Literal":
            return [{"choices": self._choices(parts)}]
        if head == "Optional":
            return [*self.kinds(inner), "none"]
        if head == "Union":
            return [kind for part in parts for kind in self.kinds(part)]
        return ["any"]

    def _choices(self, parts: list[ast.expr]) -> list[Any]:
        """The values of a literal; one may name other literals."""
        values: list[Any] = []
        for part in parts:
            if isinstance(part, ast.Constant):
                values.append(part.value)
            elif isinstance(part, ast.Name) and part.id in self.aliases:
                for kind in self.kinds(self.aliases[part.id]):
                    values += kind["choices"] if isinstance(kind, dict) else []
        return list(dict.fromkeys(values))


def _loosened(node: ast.ClassDef) -> dict[str, str]:
    """Field -> "before" or "wrap" for validators that see a value before its type is checked."""
    found: dict[str, str] = {}
    for function in node.body:
        if not isinstance(function, ast.FunctionDef):
            continue
        for decorator in function.decorator_list:
            text = ast.unparse(decorator)
            match = re.search(r"mode='(before|wrap|plain)'", text)
            if text.startswith("field_validator(") and match and isinstance(decorator, ast.Call):
                for argument in decorator.args:
                    if isinstance(argument, ast.Constant):
                        found[str(argument.value)] = match[1]
    return found


def fields(sources: Sources, name: str) -> dict[str, Any]:
    """The fields of a class with what each takes."""
    node = sources.classes[name]
    loosened = _loosened(node)
    result: dict[str, Any] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in sources.classes and not sources.is_enum(base.id):
            result |= fields(sources, base.id)
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        if "ClassVar" in ast.unparse(item.annotation):
            continue
        key = item.target.id
        kinds = sources.kinds(item.annotation)
        mode = loosened.get(key) or loosened.get("*")
        if mode == "wrap" or (item.value is not None and ast.unparse(item.value) == "None"):
            kinds = [*kinds, "none"]
        checkable = all(
            (isinstance(kind, dict) and "choices" not in kind) or kind == "none" for kind in kinds
        )
        if "any" in kinds or (mode in ("before", "plain") and not checkable):
            kinds = ["any"]
        result[key] = list({json.dumps(kind): kind for kind in kinds}.values())
    return result


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Class -> field -> kinds, for the roots and what they nest."""
    sources = Sources(folder)
    found: dict[str, dict[str, Any]] = {}
    pending = [name for name in ROOTS if name in sources.classes]
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found[name] = fields(sources, name)
        for kinds in found[name].values():
            pending += [kind["class"] for kind in kinds if isinstance(kind, dict) and "class" in kind]
    return found


def build(folders: list[Path]) -> str:
    """The content of `config.json`; `folders` in the order of their releases."""
    versions = [folder.name for folder in folders]
    tables = [read(folder) for folder in folders]
    lines = []
    for name in sorted({name for table in tables for name in table}):
        stretches: list[list[Any]] = []
        for index, table in enumerate(tables):
            if name not in table:
                continue
            if stretches and stretches[-1][1] == index - 1 and stretches[-1][2] == table[name]:
                stretches[-1][1] = index
            else:
                stretches.append([index, index, table[name]])
        lines.append(f"{json.dumps(name)}:{json.dumps(stretches, separators=(',', ':'), sort_keys=True)}")
    body = ",\n".join(lines)
    return f'{{\n"releases":{json.dumps(versions)},\n"classes":{{\n{body}\n}}\n}}\n'


def _order(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder.name))


def main(arguments: list[str]) -> int:
    """Write the table; the exit status is 2 when there are no sources."""
    folders = [each for each in Path(arguments[0]).iterdir() if (each / "vllm").is_dir()] if arguments else []
    if not folders:
        print("usage: build_vllm_config_tables.py SOURCES [OUTPUT_FILE]", file=sys.stderr)
        return 2
    default = Path(__file__).resolve().parent.parent / "schemas" / "vllm" / "config.json"
    target = Path(arguments[1]) if len(arguments) > 1 else default
    content = build(sorted(folders, key=_order))
    target.write_text(content, "utf-8")
    print(f"{target.name}: {len(content)} characters")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

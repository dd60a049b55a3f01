#!/usr/bin/env python
"""Build vllmlint/facts/model_aliases.json: other hub ids under which a model of the catalogue is published.

Usage: python scripts/build_model_aliases.py UNPACKED_UNSLOTH_WHEEL    (the folder that holds `unsloth/`)

Unsloth's own table (unsloth/models/mapper.py, only parsed) says which of its repositories hold which model,
unchanged or in 4 bit. Organisations and their evidence are written down below.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "vllmlint" / "facts" / "model_aliases.json"
sys.path.insert(0, str(ROOT))

from vllmlint.models.architecture import ModelArchitecture  # noqa: E402
from vllmlint.models.catalogue import find_architecture  # noqa: E402

#: Organisations that the hub renamed (it redirects the old ids), and those that publish copies under the
#: model's own name.
ORGANISATIONS = [
    {"from": "neuralmagic", "to": ["RedHatAI"], "kind": "renamed",
     "source": "Red Hat AI, formerly Neural Magic; the hub redirects"},
    {"from": "THUDM", "to": ["zai-org"], "kind": "renamed",
     "source": "Z.ai's former organisation; the hub redirects"},
    {"from": "CohereForAI", "to": ["CohereLabs"], "kind": "renamed",
     "source": "Cohere Labs' former organisation; the hub redirects"},
    {"from": "NousResearch", "to": ["meta-llama"], "kind": "copy",
     "source": "several public repositories name it an ungated copy of the same weights"},
]  # fmt: skip


def mapper_rows(package: Path) -> Iterator[tuple[str, list[str]]]:
    """The rows of the table: a 4-bit repository and the repositories of the same model in 16 bit."""
    text = (package / "models" / "mapper.py").read_text("utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__INT_TO_FLOAT_MAPPER":
            for key, value in ast.literal_eval(node.value).items():
                names = value["16"] if isinstance(value, dict) else value
                yield key, [name for name in names if name]


def kept_as_it_is(model: ModelArchitecture) -> bool:
    """Whether a copy in 16 bit is the model as its maker published it: the copy of a quantised one is
    not, but for gpt-oss, which is copied in its own MXFP4."""
    method = model.part("quantization_config").get("quant_method")
    return method in (None, "mxfp4")


def aliases(package: Path) -> dict[str, dict[str, str]]:
    """Unsloth's repositories whose model the catalogue has: unchanged (`same`) and in 4 bit (`nf4`)."""
    found: dict[str, dict[str, str]] = {"same": {}, "nf4": {}}
    for key, names in mapper_rows(package):
        known = [find_architecture(name) for name in names if not name.startswith("unsloth/")]
        found_model = next((each for each in known if each is not None), None)
        if found_model is None or not kept_as_it_is(found_model):
            continue
        model = found_model.id
        for name in (key, *names):
            if name.startswith("unsloth/") and find_architecture(name) is None:
                found["nf4" if name.endswith("-bnb-4bit") else "same"][name] = model
    return {kind: dict(sorted(rows.items())) for kind, rows in found.items()}


def main() -> None:
    """Write the table."""
    folder = Path(sys.argv[1])
    info = next(folder.glob("unsloth-*.dist-info"))
    version = re.sub(r"^unsloth-|\.dist-info$", "", info.name)
    table: dict[str, Any] = {
        "unsloth": {"source": f"unsloth {version}, unsloth/models/mapper.py", **aliases(folder / "unsloth")},
        "organisations": ORGANISATIONS,
    }
    TARGET.write_text(json.dumps(table, separators=(",", ":"), ensure_ascii=False) + "\n", "utf-8")
    counts = {kind: len(table["unsloth"][kind]) for kind in ("same", "nf4")}
    print(f"{TARGET.relative_to(ROOT)}: {counts}, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()

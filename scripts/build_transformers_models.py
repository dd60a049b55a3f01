"""Writes `vllmlint/facts/transformers_models.json` from an unpacked `transformers` wheel.

    python scripts/build_transformers_models.py FOLDER/transformers

The files are read as text, never imported. Classes: those that vLLM's Transformers backend accepts, that is
`is_backend_compatible()` (`_supports_attention_backend` of the pretrained base) or
`_can_set_attn_implementation()` (transformers/modeling_utils.py: the module's attention goes through
`ALL_ATTENTION_FUNCTIONS.get_interface`, or it has no attention module of its own).
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "vllmlint" / "facts" / "transformers_models.json"
_CLASS = re.compile(r"^class (\w+)\(", re.MULTILINE)
_ATTENTION = re.compile(r"^class \w*Attention\w*\(nn\.Module\):", re.MULTILINE)
_TYPE = re.compile(r'model_type\s*(?::[^=\n]+)?=\s*"([^"]+)"')
_LENGTH = re.compile(r"^\s+max_position_embeddings\s*(?::[^=\n]+)?=\s*([0-9_]+)", re.MULTILINE)
_SERVED = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "ForMaskedLM")


def compatible_classes(root: Path) -> list[str]:
    """Names of the language model classes that vLLM's Transformers backend can run."""
    names: set[str] = set()
    for file in root.glob("models/*/modeling_*.py"):
        text = file.read_text("utf-8")
        settable = not _ATTENTION.search(text) or "ALL_ATTENTION_FUNCTIONS.get_interface(" in text
        if settable or "_supports_attention_backend = True" in text:
            names.update(name for name in _CLASS.findall(text) if name.endswith(_SERVED))
    return sorted(names)


def default_lengths(root: Path) -> dict[str, int]:
    """`max_position_embeddings` of each configuration class, by `model_type`."""
    lengths: dict[str, int] = {}
    for file in root.glob("models/*/configuration_*.py"):
        for body in re.split(r"^class ", file.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            model_type, length = _TYPE.search(body), _LENGTH.search(body)
            if model_type and length:
                lengths[model_type[1]] = int(length[1].replace("_", ""))
    return lengths


def main() -> None:
    root = Path(sys.argv[1])
    version = "5.20.0"
    rows = {
        "_about": f"From transformers {version}, by scripts/build_transformers_models.py.",
        "classes": compatible_classes(root),
        "max_position_embeddings": dict(sorted(default_lengths(root).items())),
    }
    TARGET.write_text(json.dumps(rows, separators=(",", ":")).replace('],"', '],\n"') + "\n", "utf-8")


if __name__ == "__main__":
    main()

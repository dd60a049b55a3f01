"""Write the JSON Schemas in `schemas/` from the classes that define them.

Run it after a change to those classes; a test fails while a schema is not up to date.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vllmlint.contract.schema import contract_json_schema

_SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"


def rendered(schema: dict[str, Any]) -> str:
    """The text of a schema file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every schema."""
    (_SCHEMAS / "contract.schema.json").write_text(rendered(contract_json_schema()), encoding="utf-8")


if __name__ == "__main__":
    main()

"""The placement cases of the tests as JSON lines, for a recorder of a real scheduler's verdicts to answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "kube" / "scheduling"))

from scheduling_table import table


def main() -> None:
    """Print every row that a scheduler can be asked about."""
    for case in table():
        if case["recorded"]:
            row = {key: case[key] for key in ("name", "section", "pod", "cluster")}
            print(json.dumps(row, separators=(",", ":")))


if __name__ == "__main__":
    main()

"""Run the examples of one rule (or a section) and print what came out: for writing rules.

python scripts/try_rule.py image-tag-floating
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests" / "rules")]

from compile_rules import load_rules  # noqa: E402
from compile_rules import main as compile_all  # noqa: E402
from example_runs import found_in, run_example, unmatched  # noqa: E402

from vllmlint.reports import RenderOptions, render  # noqa: E402


def main(wanted: list[str]) -> int:
    """Print the report of every example, and what differs from its `expect`."""
    compile_all()
    bad = 0
    for rule in load_rules():
        if wanted and not {rule["name"], rule["section"], rule["id"]} & set(wanted):
            continue
        for example in rule["examples"]:
            with tempfile.TemporaryDirectory() as directory:
                result = run_example(example, Path(directory))
            missing, extra = unmatched(example["expect"], found_in(result))
            verdict = "DIFFERS" if missing or extra else "ok"
            print(f"=== {rule['name']}: {example['title']}: {verdict}")
            for row in missing:
                print("  missing:", row)
            for one in extra:
                print("  extra:", one)
            bad += bool(missing or extra or result.internal_errors)
            for text in result.internal_errors:
                print(text)
            if len(wanted) == 1 and wanted[0] == rule["name"]:
                print(render(result, "text", options=RenderOptions()))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What findings say, where an example's span does not tell it."""

from __future__ import annotations

from pathlib import Path

from example_runs import run_example


def test_no_less_than_nothing_is_left_for_the_cache(tmp_path: Path) -> None:
    change = [
        {"old": "meta-llama/Llama-3.1-8B-Instruct", "new": "openai/gpt-oss-120b"},
        {"old": "--max-model-len=8192", "new": "--max-model-len=131072"},
    ]
    pools = "nodePools: {h100: {gpu: nvidia-h100-80gb-sxm, gpusPerNode: 8, nodes: 1}}\n"
    example = {"title": "tight", "base": "deployment", "change": change, "contract": pools}
    result = run_example(example, tmp_path)
    found = [one for one in result.findings if one.name == "kv-cache-cannot-hold-max-len"]
    assert len(found) == 1
    assert ", and 0.00 to " in found[0].finding.message

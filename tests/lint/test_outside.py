"""Which files about models a run reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lint_samples import inside

from vllmlint.lint.contracts import Contracts
from vllmlint.lint.outside import outside_of
from vllmlint.lint.run import RunOptions, Shard
from vllmlint.sources.files import find_inputs

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: tiny}
spec:
  containers:
    - {name: vllm, image: "vllm/vllm-openai:v0.33.0", args: [acme/tiny]}
"""
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 1000,
}


def test_a_verdict_does_not_depend_on_what_the_machine_has_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "home" / "hub" / "models--acme--tiny" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps(CONFIG), "utf-8")
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40, "utf-8")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    project = tmp_path / "project"
    project.mkdir()
    (project / "pod.yaml").write_text(POD, "utf-8")
    with inside(project):
        inputs = find_inputs(["pod.yaml"])
        ours = Shard(RunOptions(inputs), inputs).world.models_outside
        assert ours is not None
        assert ours("pod.yaml").cached("acme/tiny", None) is None
        # fit answers for this machine
        there = outside_of(Contracts(None))("pod.yaml").cached("acme/tiny", None)
    assert there is not None

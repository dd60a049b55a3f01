"""`fit` on the command line, over round numbers: what it prints, its exit codes, colour and width."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from cli_runs import FOUNDING, call

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plans"))
from fit_fakes import fake_plan

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
CONTRACT = """\
nodePools:
  a100: {labels: {gpu: big}, gpu: nvidia-a100-80gb-sxm}
  l4: {labels: {gpu: small}, gpu: nvidia-l4}
"""
POD = f"""\
apiVersion: v1
kind: Pod
metadata: {{name: llama}}
spec:
  containers:
    - name: vllm
      image: vllm/vllm-openai:v0.33.0
      args: [{LLAMA}]
      resources: {{limits: {{nvidia.com/gpu: 1}}}}
"""
SELECTED = POD.replace("spec:\n", "spec:\n  nodeSelector: {gpu: big}\n")


@pytest.fixture(autouse=True)
def _round_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllmlint.plans.fit.plan_memory", fake_plan)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two pools; one server that may land on either, one on the larger alone."""
    (tmp_path / "vllmlint.yaml").write_text(CONTRACT)
    (tmp_path / "any.yaml").write_text(POD)
    (tmp_path / "big.yaml").write_text(SELECTED)
    return tmp_path


def test_a_server_that_fits(project: Path) -> None:
    done = call(project, "fit", "big.yaml")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "Pod/llama container vllm (big.yaml)"
    assert lines[1] == f"{LLAMA}, vLLM 0.33.0, 1 x nvidia-a100-80gb-sxm (79.25 GiB each), pool a100"
    assert lines[2].startswith("fits: ")
    assert any(line.startswith("  [#") for line in lines)


def test_a_server_that_may_land_where_it_does_not_fit(project: Path) -> None:
    done = call(project, "fit", "any.yaml")
    assert done.code == 1
    assert "pool a100" in done.out
    assert "pool l4" in done.out
    assert done.out.count("Pod/llama") == 1
    assert "GPU nvidia-" in done.out  # a larger one is suggested
    done = call(project, "fit", "any.yaml", "--format", "json")
    plans = json.loads(done.out)["plans"]
    assert {plan["pool"]: plan["verdict"] for plan in plans} == {"a100": "fits", "l4": "does-not-fit"}
    assert done.code == 1


def test_options_win_over_the_manifest(project: Path) -> None:
    arguments = (
        "any.yaml",
        "--gpu",
        "nvidia-h100-80gb-sxm",
        "--set",
        "max-model-len=8k",
        "--release",
        "0.11.2",
    )
    (plan,) = json.loads(call(project, "fit", *arguments, "--format", "json").out)["plans"]
    assert (plan["gpu"]["id"], plan["pool"], plan["release"]) == ("nvidia-h100-80gb-sxm", None, "0.11.2")
    assert plan["settings"]["max_model_len"] == 8000
    other = call(project, "fit", "any.yaml", "--model", "Qwen/Qwen3-32B-FP8", "--format", "json")
    assert {one["model"]["id"] for one in json.loads(other.out)["plans"]} == {"Qwen/Qwen3-32B-FP8"}


def test_a_command_line(tmp_path: Path) -> None:
    for words in (["vllm", "serve", LLAMA], [LLAMA], ["serve", LLAMA]):
        done = call(tmp_path, "fit", "--gpu", "nvidia-l4", "--format", "json", "--", *words, "-tp", "2")
        (plan,) = json.loads(done.out)["plans"]
        assert (plan["server"], plan["settings"]["tensor_parallel_size"], plan["gpus"]) == (None, 2, 2)
        assert plan["given"] == ["tensor_parallel_size"]


def test_a_config_file_of_a_command_line(tmp_path: Path) -> None:
    (tmp_path / "serve.yaml").write_text("max-model-len: 2048\n")
    done = call(
        tmp_path, "fit", "--gpu", "nvidia-l4", "--format", "json", "--", LLAMA, "--config", "serve.yaml"
    )
    (plan,) = json.loads(done.out)["plans"]
    assert plan["settings"]["max_model_len"] == 2048
    done = call(
        tmp_path, "fit", "--gpu", "nvidia-l4", "--format", "json", "--", LLAMA, "--config", "gone.yaml"
    )
    (plan,) = json.loads(done.out)["plans"]
    assert plan["verdict"] == "unknown"
    assert "gone.yaml" in plan["reason"]


def test_a_gpu_name_that_stands_for_several(tmp_path: Path) -> None:
    done = call(tmp_path, "fit", "--gpu", "A100", "--model", LLAMA, "--format", "json")
    memory = [plan["gpu"]["memory_gib"] for plan in json.loads(done.out)["plans"]]
    assert len(memory) > 1
    assert min(memory) < 41 < max(memory)


def test_memory_of_ones_own(tmp_path: Path) -> None:
    arguments = ("--gpu", "nvidia-l4", "--gpu-memory-gib", "21.5", "--model", LLAMA, "--format", "json")
    (plan,) = json.loads(call(tmp_path, "fit", *arguments).out)["plans"]
    assert plan["gpu"] == {"id": "nvidia-l4", "memory_gib": 21.5}


def test_real_nodes(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(POD.replace("spec:\n", "spec:\n  tolerations: [{operator: Exists}]\n"))
    nodes = str(FOUNDING.parent / "nodes" / "gke.yaml")
    plans = json.loads(call(tmp_path, "fit", "pod.yaml", "--nodes", nodes, "--format", "json").out)["plans"]
    assert {plan["gpu"]["id"] for plan in plans} == {"nvidia-l4"}
    done = call(tmp_path, "fit", "pod.yaml", "--nodes", "gone.yaml")
    assert done.code == 2
    assert "gone.yaml" in done.err


def test_no_node_takes_the_pods(project: Path) -> None:
    (project / "any.yaml").write_text(POD.replace("gpu: 1", "gpu: 16"))
    (project / "vllmlint.yaml").write_text("nodePools: {l4: {gpu: nvidia-l4, gpusPerNode: 1}}\n")
    done = call(project, "fit", "any.yaml")
    assert done.code == 0
    assert "cannot tell: no node that is known takes its pods" in done.out


def test_memory_of_ones_own_for_a_manifest(project: Path) -> None:
    done = call(project, "fit", "big.yaml", "--gpu-memory-gib", "21.5", "--format", "json")
    (plan,) = json.loads(done.out)["plans"]
    assert (plan["gpu"]["memory_gib"], plan["pool"], done.code) == (21.5, "a100", 1)


def test_several_requests(tmp_path: Path) -> None:
    arguments = ("fit", "--gpu", "nvidia-a100-80gb-sxm", "--model", LLAMA)
    assert "worked out again" not in call(tmp_path, *arguments, "--concurrency", "3").out
    done = call(tmp_path, *arguments, "--concurrency", "100")
    assert done.code == 1
    assert (
        "does not fit: holds 3.14 to 3.27 requests of 16,384 tokens at once, 100 are asked for"
        in " ".join(done.out.split())
    )
    assert "holds 100 requests of full length" in done.out


def test_all_gpus(tmp_path: Path) -> None:
    done = call(tmp_path, "fit", "--gpu", "all", "--model", LLAMA)
    assert (done.code, done.err) == (0, "")
    rows = {line.split()[0]: line for line in done.out.splitlines() if line.startswith("nvidia-")}
    assert len(rows) > 20
    assert rows["nvidia-a100-80gb-sxm"].split()[2] == "51k"
    assert rows["nvidia-t4"].split()[2] == "-"
    data = json.loads(call(tmp_path, "fit", "--gpu", "all", "--model", LLAMA, "--format", "json").out)
    assert {plan["settings"]["tensor_parallel_size"] for plan in data["plans"]} == {1, 2, 4, 8}


def test_it_fits_nowhere(tmp_path: Path) -> None:
    done = call(tmp_path, "fit", "--gpu", "all", "--model", LLAMA, "--set", "max-model-len=100000000")
    assert done.code == 1


def test_explain(tmp_path: Path) -> None:
    arguments = ("fit", "--gpu", "nvidia-l4", "--model", LLAMA)
    assert "how it adds up" not in call(tmp_path, *arguments).out
    out = call(tmp_path, *arguments, "--explain").out
    assert "how it adds up" in out
    assert "weights: layers = 16.000 GiB\n        16 GiB / 1" in out
    assert "activation: sampler = 3.000 GiB (2.000 to 4.000)" in out


def test_colour_only_where_it_is_wanted(tmp_path: Path) -> None:
    arguments = ("fit", "--gpu", "nvidia-l4", "--model", LLAMA)
    assert "\x1b[" not in call(tmp_path, *arguments).out
    assert "\x1b[1;31mdoes not fit\x1b[0m" in call(tmp_path, *arguments, env={"FORCE_COLOR": "1"}).out
    both = {"FORCE_COLOR": "1", "NO_COLOR": "1"}
    assert "\x1b[" not in call(tmp_path, *arguments, env=both).out


def test_a_narrow_terminal(tmp_path: Path) -> None:
    out = call(tmp_path, "fit", "--gpu", "nvidia-l4", "--model", LLAMA, env={"COLUMNS": "50"}).out
    assert max(map(len, out.splitlines())) <= 50


def test_a_model_that_nobody_knows_in_a_manifest(project: Path) -> None:
    (project / "big.yaml").write_text(SELECTED.replace(LLAMA, "org/private"))
    done = call(project, "fit", "big.yaml")
    assert done.code == 0
    assert "cannot tell: org/private is not among" in done.out


CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}


def test_a_config_given_for_the_run(project: Path) -> None:
    (project / "own.json").write_text(json.dumps(CONFIG))
    (project / "big.yaml").write_text(SELECTED.replace(LLAMA, "org/private"))
    for arguments in (
        ("--gpu", "nvidia-l4", "--model-config", "own.json"),
        ("--gpu", "nvidia-l4", "--model-config", "own.json", "--model", "org/private"),
        ("big.yaml", "--model-config", "own.json"),
    ):
        (plan,) = json.loads(call(project, "fit", *arguments, "--format", "json").out)["plans"]
        assert plan["verdict"] != "unknown"
        # embeddings twice, 16 layers
        assert (
            plan["model"]["parameters"]
            == 2 * 128256 * 2048 + 16 * (2048 * (2 * 2048 + 1024) + 3 * 2048 * 8192) + 33 * 2048
        )
        assert plan["model"]["source"] == "own.json"
    done = call(project, "fit", "--gpu", "nvidia-l4", "--model-config", "gone.json")
    assert done.code == 2
    assert "gone.json" in done.err
    (project / "own.json").write_text("{}")
    done = call(project, "fit", "--gpu", "nvidia-l4", "--model-config", "own.json")
    assert done.code == 2
    assert "hidden_size" in done.err


def test_a_config_that_the_contract_names(project: Path) -> None:
    (project / "configs").mkdir()
    (project / "configs" / "own.json").write_text(json.dumps(CONFIG))
    models = "models: [{id: org/private, path: /models/private, config: configs/own.json}]\n"
    (project / "vllmlint.yaml").write_text(CONTRACT + models)
    (project / "deploy").mkdir()
    (project / "deploy" / "big.yaml").write_text(SELECTED.replace(LLAMA, "/models/private"))
    (plan,) = json.loads(call(project, "fit", "deploy/big.yaml", "--format", "json").out)["plans"]
    assert (plan["model"]["id"], plan["verdict"]) == ("org/private", "fits")
    (server,) = json.loads(call(project, "inspect", "deploy/big.yaml", "--format", "json").out)["servers"]
    assert server["memory"]["model"]["id"] == "org/private"
    (project / "configs" / "own.json").unlink()
    done = call(project, "fit", "deploy/big.yaml")
    assert "was not read" in done.out


def test_a_hub_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vllmlint.sources.hub import HubUnreachableError

    def silent(*_: object) -> None:
        raise HubUnreachableError("no answer")

    monkeypatch.setattr("vllmlint.sources.models.hub_files", silent)
    arguments = ("fit", "--gpu", "nvidia-l4", "--model", "org/private")
    assert call(tmp_path, *arguments).code == 2
    done = call(tmp_path, *arguments, "--online")
    assert (done.code, done.err) == (4, "vllmlint: no answer\n")


def test_the_founding_manifest(tmp_path: Path) -> None:
    """`nvidia-a100` in the cluster's own words may be a card of 40 or of 80 GB: each has its plan."""
    done = call(tmp_path, "fit", str(FOUNDING / "deployment.yaml"))
    assert "nvidia-a100-40gb-sxm (39.50 GiB each)" in done.out
    assert "nvidia-a100-80gb-sxm (79.25 GiB each)" in done.out
    assert "by its words" in " ".join(done.out.split())
    assert done.code == 0

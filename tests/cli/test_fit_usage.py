"""`fit`: options that make no sense end with code 2, what is wanted and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runs import MOVING, call

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to plan"),
        (["--format", "xml", "--model", LLAMA, "--gpu", "h100"], "choose one of text, json"),
        (["--model", LLAMA], "--gpu is missing"),
        (["--gpu", "h100", "--"], "no model"),
        (["--gpu", "nvidia-h10o-80gb-sxm", "--model", LLAMA], "did you mean nvidia-h100-80gb-sxm?"),
        (["--gpu", "zzz", "--model", LLAMA], "no GPU 'zzz' is known"),
        (["--gpu", "h100", "--model", "meta-llama/Lama-3.1-8B-Instruct"], f"did you mean {LLAMA}?"),
        (["--gpu", "h100", "--", LLAMA, "--max-model-ln", "1"], "did you mean --max-model-len?"),
        (["--gpu", "h100", "--", LLAMA, "--max-model-len", "many"], "refuses the command line"),
        (["--gpu", "h100", "--model", LLAMA, "--set", "max-model-ln=1"], "did you mean --max-model-len?"),
        (["--gpu", "h100", "--model", LLAMA, "--set", "max-model-len"], "write flag=value"),
        (["--gpu", "h100", "--model", LLAMA, "--set", "enforce-eager=maybe"], "write true or false"),
        (["--gpu", "h100", "--model", LLAMA, "--release", "next"], "write a vLLM release"),
        (["--gpu", "h100", "--model", LLAMA, "--concurrency", "0"], "at least 1"),
        (["--gpu", "h100", "--model", LLAMA, "--gpu-memory-gib", "0"], "more than 0"),
        (["--gpu", "all", "--model", LLAMA, "--gpu-memory-gib", "80"], "about one GPU"),
        (["moving.yaml", "--", LLAMA], "not both"),
        (["gone.yaml"], "gone.yaml"),
        (["moving.yaml", "--set", "max-model-ln=1"], "did you mean --max-model-len?"),
    ],
)
def test_usage(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "moving.yaml").write_text(MOVING)
    done = call(tmp_path, "fit", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("vllmlint: ")
    assert says in done.err


def test_a_contract_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "moving.yaml").write_text(MOVING)
    (tmp_path / "vllmlint.yaml").write_text("nodePool: {}\n")
    done = call(tmp_path, "fit", "moving.yaml")
    assert done.code == 2
    assert "nodePool" in done.err


def test_no_server(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    done = call(tmp_path, "fit", "a.yaml")
    assert (done.code, done.out) == (0, "no vLLM server found\n")


def test_a_gpu_whose_memory_is_not_known(tmp_path: Path) -> None:
    done = call(tmp_path, "fit", "--gpu", "tpu-v5e", "--", LLAMA)
    assert (done.code, done.err) == (0, "")
    assert "google-tpu-v5e (memory not known)" in done.out
    assert "cannot tell: " in done.out


def test_a_release_after_those_that_are_known(tmp_path: Path) -> None:
    newer = call(tmp_path, "fit", "--gpu", "h100-80gb-sxm", "--release", "9.9", "--", LLAMA)
    assert "assumes vLLM 9.9 does as " in newer.out
    known = call(tmp_path, "fit", "--gpu", "h100-80gb-sxm", "--release", "0.33.0", "--", LLAMA)
    assert "assumes" not in known.out

"""The accuracy report: how rows are read, what is compared, what counts; and the collector."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks" / "accuracy"
sys.path.insert(0, str(FOLDER))

import collect  # noqa: E402
from planners import PLANNERS, planned  # noqa: E402
from report import Compared, as_consumed, missed_targets, outcome, percentile, truth_of  # noqa: E402
from rows import case_of, gpu_of, implied_utilization, settings_of, speculation_of  # noqa: E402

from vllmlint.hardware.gpus import gpu_by_id  # noqa: E402
from vllmlint.memory.band import Band  # noqa: E402
from vllmlint.plans.startup_log_rows import ROW_KEYS  # noqa: E402
from vllmlint.serving.release import Release  # noqa: E402


def row(**changes: Any) -> dict[str, Any]:
    """Llama-3.1-8B on one H100 with 0.19.0, as its log says (utilization 0.95)."""
    values: dict[str, Any] = dict.fromkeys(ROW_KEYS)
    values.update(
        id="t1",
        model="meta-llama/Llama-3.1-8B-Instruct",
        vllm_version="0.19.0",
        engine="v1",
        gpu="H100 80GB HBM3",
        gpu_mem_gib=79.19,
        gpus_total=1,
        tp=1,
        pp=1,
        dp=1,
        ep=False,
        max_model_len=8192,
        gpu_memory_utilization=0.95,
        dtype="bfloat16",
        kv_cache_dtype="auto",
        weights_gib=14.99,
        activation_gib=1.89,
        non_torch_gib=0.25,
        kv_gib=58.11,
        kv_tokens=476000,
        failed=False,
        inferred=[],
    )
    return {**values, **changes}


def test_a_logged_start_is_met() -> None:
    found = outcome(row())
    assert found.prediction.verdict == "fits"
    assert {title for title, one in found.compared.items() if not one.inside} == set()
    assert abs(found.compared["weights"].error) < 0.1
    assert abs(found.compared["KV GiB"].error) < 0.5
    assert abs(found.compared["KV tokens"].error) < 0.5


def test_a_logged_refusal_is_met() -> None:
    """Llama-3.3-70B in fp8 on one H100, 0.11.0: 71.27 - 67.72 - 4.84 - 0.14 = -1.44 GiB."""
    failed = row(
        model="RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic",
        vllm_version="0.11.0",
        gpu_memory_utilization=0.9,
        max_model_len=16000,
        weights_gib=67.72,
        activation_gib=4.84,
        kv_gib=-1.44,
        kv_tokens=None,
        failed=True,
    )
    found = outcome(failed)
    assert found.prediction.verdict == "does-not-fit"
    assert "KV GiB" not in found.compared  # nothing to say in percent of a negative pool


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("--enable-lora --max-loras 64 --specialize-active-lora", {"enable_lora": True, "max_loras": 64}),
        ("attention_backend='FLASH_ATTN'; moe_backend='b12x'", {"attention_backend": "FLASH_ATTN"}),
        ("decode_context_parallel_size=8 (log: size multiplied)", {"decode_context_parallel_size": 8}),
        ("enable_prefix_caching=False", {"enable_prefix_caching": False}),
        ("--enable-prefix-caching --block-size=128", {"enable_prefix_caching": True, "block_size": 128}),
        ("limit_mm_per_prompt={'image': 0", {"limit_mm_per_prompt": {"image": 0, "video": 0}}),
        ("warm compile cache; free 22.64 at startup", {}),
    ],
)
def test_flags_in_free_text(text: str, settings: dict[str, Any]) -> None:
    read = settings_of(row(other_flags=text))
    assert {name: read.get(name) for name in settings} == settings
    if not settings:
        assert set(read) == {"max_model_len", "gpu_memory_utilization", "dtype"}


def test_the_dtype_of_a_row() -> None:
    assert settings_of(row(dtype="float16"))["dtype"] == "float16"
    assert "dtype" not in settings_of(row(dtype="float16", inferred=["dtype"]))
    assert "dtype" not in settings_of(row(dtype=None))


def test_environment_and_release_of_a_row() -> None:
    case = case_of(row(other_flags="VLLM_PP_LAYER_PARTITION=16,32; 16303 MiB", vllm_version="0.7.3 (approx)"))
    assert case.request is not None
    assert case.request.env["VLLM_PP_LAYER_PARTITION"] == "16,32"
    assert str(case.request.release) == "0.7.3"
    assert "release inferred" in case.notes


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model": "org/nobody-knows"}, "model"),
        ({"gpu": "not in the quoted part (8 GPUs)"}, "GPU"),
        ({"gpu": "RTX 5070 Ti 16GB + RTX 5090 D 32GB"}, "GPU"),
        ({"vllm_version": "latest"}, "release"),
        ({"vllm_version": "0.2x-0.3x (log form)"}, "release"),
    ],
)
def test_what_cannot_be_told_is_not_predicted(changes: dict[str, Any], why: str) -> None:
    case = case_of(row(**changes))
    assert case.request is None
    assert why in case.why_not
    assert outcome(row(**changes)).prediction.verdict == "unknown"


@pytest.mark.parametrize(
    ("name", "stated", "gpu"),
    [
        ("2x RTX 3090", None, "nvidia-rtx-3090"),
        ("A100", None, None),  # 40 or 80 GB
        ("A100", 79.25, "nvidia-a100-80gb-pcie"),
        ("A800 80GB", None, "nvidia-a100-80gb-sxm"),
        ("DGX Spark GB10 (unified memory)", None, "nvidia-gb10"),
        ("RTX 3050 Laptop 6GB", 6.0, None),
    ],
)
def test_cards_by_name(name: str, stated: float | None, gpu: str | None) -> None:
    found = gpu_of(row(gpu=name, gpu_mem_gib=stated))
    assert (found.id if found else None) == gpu


def test_a_row_that_contradicts_itself_takes_its_own_sum() -> None:
    """The terms of a table row add up to 0.95 of the card though it states 0.9."""
    stated = row(gpu_memory_utilization=0.9)
    assert implied_utilization(stated) == pytest.approx(0.95, abs=0.001)
    case = case_of(stated)
    assert case.request is not None
    assert case.request.settings["gpu_memory_utilization"] == 0.95
    assert any("add up" in note for note in case.notes)
    assert implied_utilization(row(kv_gib=None)) is None


def test_v0_prints_blocks() -> None:
    blocks = row(kv_tokens=None, gpu_blocks=28053, block_size=16)
    assert truth_of(blocks, "kv_tokens") == 28053 * 16


def test_consumed_memory_holds_the_experts_workspace() -> None:
    moe = row(
        model="Qwen/Qwen3-Coder-30B-A3B-Instruct",
        vllm_version="0.26.1rc1",
        inferred=["non_torch = consumed 57.26 - weights 56.93"],
    )
    found = outcome(moe).prediction
    assert found.activation is not None
    assert found.workspace is not None
    assert found.workspace.mid > 0.3
    less = as_consumed(moe, found, found.activation)
    assert less.mid == pytest.approx(found.activation.mid - found.workspace.mid)
    assert as_consumed({**moe, "inferred": []}, found, found.activation) is found.activation


def test_speculation_in_words() -> None:
    assert speculation_of("mtp, 3 tokens") == {"method": "mtp", "num_speculative_tokens": 3}
    drafted = speculation_of("dflash z-lab/X-DFlash, 5 tokens")
    assert drafted == {"method": "dflash", "num_speculative_tokens": 5, "model": "z-lab/X-DFlash"}
    assert speculation_of(None) is None


def test_errors_and_coverage() -> None:
    exact, off = Compared(10.0, Band(9.0, 10.0, 11.0)), Compared(10.0, Band(10.5, 11.0, 12.0))
    assert (exact.error, exact.inside, exact.width) == (0.0, True, 20.0)
    assert (off.error, off.inside) == (pytest.approx(10.0), False)
    assert Compared(10.0, Band(10.01, 10.1, 10.2)).inside  # the log rounds
    assert percentile(list(range(1, 11)), 0.9) == 9
    assert percentile([5.0], 0.9) == 5.0


def test_targets_that_are_missed_are_named() -> None:
    assert missed_targets([outcome(row())]) == []
    off = [outcome(row(weights_gib=13.0, kv_gib=50.0, kv_tokens=400000))]
    missed = missed_targets(off)
    assert any(text.startswith("weights: median error 15") for text in missed)
    assert any("KV GiB" in text for text in missed)
    assert any("lie in their band" in text for text in missed)
    unknown = missed_targets([outcome(row(model="org/nobody-knows"))])
    assert unknown == ["0.0 % of the verdicts are decided, not 85 %"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The report as a program."""
    return subprocess.run(
        [sys.executable, str(FOLDER / "report.py"), *arguments],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_report_counts_clear_rows_and_fails_on_a_contradiction(tmp_path: Path) -> None:
    wrong = row(id="t2", failed=True)  # a start that works, said to have failed
    (tmp_path / "startups.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (row(), wrong)))
    (tmp_path / "clear.txt").write_text("t1\n")
    done = run("-v", "--planners", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "rows that count: 1" in done.stdout
    assert "the others: 1" in done.stdout
    assert "LLM-GPU-Calc" in done.stdout
    (tmp_path / "clear.txt").write_text("t1\nt2\n")
    assert run(str(tmp_path)).returncode == 1


def test_report_without_rows_says_so(tmp_path: Path) -> None:
    done = run(str(tmp_path / "nowhere"))
    assert done.returncode == 0
    assert "nothing compared" in done.stdout


def test_planners_by_their_formulas() -> None:
    """80 GiB x 0.95 less weights, 5.5 GiB and 0.15 GiB; and with 18 H + 4 I bytes a token and 1 GiB."""
    config = outcome(row()).prediction.config
    assert config is not None
    explorer = planned("llm-d configuration explorer", config)
    assert explorer["KV GiB"] == pytest.approx(76 - explorer["weights"] - 5.5 - 0.15)
    calculator = planned("LLM-GPU-Calc", config)
    assert calculator["activation"] == pytest.approx(8192 * (18 * 4096 + 4 * 14336) / 2**30)
    assert set(PLANNERS) == {
        "llm-d configuration explorer",
        "llm-d planner, 0.19.0 constants",
        "LLM-GPU-Calc",
    }


def test_collector_gives_the_servers_limits() -> None:
    release, gpu = Release.parse("0.19.0"), gpu_by_id("nvidia-h100-80gb-sxm")
    assert release is not None
    assert gpu is not None
    settings = collect.server_settings("Qwen/Qwen3-0.6B", release, gpu, {"max_num_seqs": 64})
    assert settings == {"max_num_batched_tokens": 8192, "max_num_seqs": 64}
    assert isinstance(collect.server_settings("org/nobody", release, gpu, {}), str)
    assert collect.parsed_setting("max-model-len=4096") == ("max_model_len", 4096)
    assert collect.parsed_setting("kv_cache_dtype=fp8") == ("kv_cache_dtype", "fp8")


def test_collector_without_a_gpu_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(collect, "installed_vllm", lambda: None)
    assert collect.main(["--out", str(tmp_path / "rows.jsonl")]) == collect.NOT_HERE
    assert "vLLM is not installed" in capsys.readouterr().err
    assert not (tmp_path / "rows.jsonl").exists()


def test_collector_writes_what_a_start_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the program prints a log; the row that comes out can be predicted."""
    log = (
        "Initializing a V1 LLM engine (v0.19.0) with config: model='/tmp/x', max_seq_len=40960\n"
        "Model loading took 1.12 GiB memory and 1.0 seconds\n"
        "Available KV cache memory: 66.20 GiB\nGPU KV cache size: 619,700 tokens\n"
    )
    program = f"import json, sys; assert json.loads(sys.argv[1])['load_format'] == 'dummy'; print({log!r})"
    monkeypatch.setattr(collect, "_PROGRAM", program)
    monkeypatch.setattr(collect, "installed_vllm", lambda: Release.parse("0.19.0"))
    gpu = gpu_by_id("nvidia-h100-80gb-sxm")
    monkeypatch.setattr(collect, "local_gpu", lambda: ("NVIDIA H100 80GB HBM3", gpu))
    target = tmp_path / "rows.jsonl"
    assert collect.main(["--out", str(target), "--model", "Qwen/Qwen3-0.6B"]) == 0
    written = json.loads(target.read_text("utf-8"))
    assert (written["model"], written["kv_gib"], written["max_num_seqs"]) == ("Qwen/Qwen3-0.6B", 66.2, 1024)
    assert outcome(written).compared["weights"].inside

"""Start a local vLLM with dummy weights on config-only models, and collect what it logs as calibration rows.

    python benchmarks/accuracy/collect.py --out rows.jsonl [--model ID]... [--set NAME=VALUE]... [--timeout S]

Needs a GPU and an installed vLLM; where one is missing it says so and ends with status 3. Each model is a
folder with nothing but the config.json of vllmlint's catalogue; weights are not loaded (`load_format=dummy`)
and no tokenizer is needed, so no network is used. The limits that the API server would resolve on this GPU
are given explicitly, since the offline class has other defaults. One model at a time, each in a process of
its own, which is ended when it takes longer than the timeout.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vllmlint.engine.config import EngineRequest, Refusal
from vllmlint.engine.resolve import resolve
from vllmlint.hardware.gpu import Gpu
from vllmlint.hardware.gpus import find_gpu
from vllmlint.models.catalogue import find_architecture
from vllmlint.plans.startup_log import read_startup_log
from vllmlint.plans.startup_log_rows import calibration_row, row_text
from vllmlint.serving.release import Release

#: Small models of different kinds: dense, tied, expert, multimodal, hybrid.
DEFAULT_MODELS = (
    "Qwen/Qwen3-0.6B",
    "meta-llama/Llama-3.2-1B-Instruct",
    "meta-llama/Llama-3.1-8B-Instruct",
    "openai/gpt-oss-20b",
    "Qwen/Qwen3-30B-A3B-Instruct-2507",
    "google/gemma-3-4b-it",
)
#: What cannot run here: neither a success nor a failure of a start.
NOT_HERE = 3
#: Seconds that a start may take; compilation and graph capture of a large model are inside.
DEFAULT_TIMEOUT_SECONDS = 900
_PROGRAM = """
import json, sys
from vllm import LLM
settings = json.loads(sys.argv[1])
LLM(**settings)
"""
_QUERY = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")


def installed_vllm() -> Release | None:
    """The release of the installed vLLM; None where there is none."""
    try:
        return Release.parse(version("vllm").split("+")[0])
    except PackageNotFoundError:
        return None


def local_gpu() -> tuple[str, Gpu] | None:
    """The first GPU as the driver names it, and what is known of it; None where there is none."""
    try:
        done = subprocess.run(_QUERY, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    name = done.stdout.splitlines()[0].split(",")[0].strip() if done.stdout.strip() else ""
    found = find_gpu(name)
    return (name, found[0]) if found else None


def missing() -> str:
    """Why nothing can be collected here; empty where it can."""
    if installed_vllm() is None:
        return "vLLM is not installed"
    if local_gpu() is None:
        return "no GPU that is known was found (nvidia-smi)"
    return ""


def write_config(model_id: str, folder: Path) -> bool:
    """A config.json of the catalogue's fields in a folder; False where the model is not known."""
    model = find_architecture(model_id)
    if model is None:
        return False
    (folder / "config.json").write_text(json.dumps(dict(model.fields)), "utf-8")
    return True


def server_settings(
    model_id: str, release: Release, gpu: Gpu, given: Mapping[str, Any]
) -> dict[str, Any] | str:
    """The arguments that make the offline class start as the server would; a text says why it would not."""
    model = find_architecture(model_id)
    if model is None:
        return "not in the catalogue"
    resolved = resolve(EngineRequest(release, model, gpu, given, {}))
    if isinstance(resolved, Refusal):
        return resolved.message
    return {
        "max_num_batched_tokens": resolved.max_num_batched_tokens,
        "max_num_seqs": resolved.max_num_seqs,
        **given,
    }


def start(settings: Mapping[str, Any], timeout: int) -> str:
    """The log of one start in a process of its own, which has ended when this returns."""
    command = [sys.executable, "-c", _PROGRAM, json.dumps(settings)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "VLLM_LOGGING_LEVEL": "DEBUG", "HF_HUB_OFFLINE": "1"},
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    return output


def collect_one(
    model_id: str, release: Release, named: tuple[str, Gpu], given: Mapping[str, Any], timeout: int
) -> dict[str, Any] | str:
    """One start as a row; a text says why there is none."""
    settings = server_settings(model_id, release, named[1], given)
    if isinstance(settings, str):
        return settings
    with tempfile.TemporaryDirectory() as name:
        if not write_config(model_id, Path(name)):
            return "not in the catalogue"
        asked = {"model": name, "load_format": "dummy", "skip_tokenizer_init": True, **settings}
        log = read_startup_log(start(asked, timeout))
    if not log.recognised:
        return "the log shows no start"
    today = datetime.now(UTC).date().isoformat()
    row = calibration_row(
        log, gpu=named[0], row_id=f"local-{model_id}-{release}", source="collected locally", source_date=today
    )
    row["model"] = model_id
    row["other_flags"] = "--load-format dummy, offline class with the server's batch limits"
    return {**row, **{key: value for key, value in settings.items() if key in row}}


def parsed_setting(text: str) -> tuple[str, Any]:
    """`name=value` with the value as JSON where it is that, else as text."""
    name, _, value = text.partition("=")
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:
        return name.replace("-", "_"), value


def main(arguments: list[str] | None = None) -> int:
    """Collect rows; 0 where at least one was written."""
    parser = argparse.ArgumentParser(description="Collect start-ups of a local vLLM with dummy weights.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="NAME=VALUE")
    parser.add_argument("--timeout", type=int, default=DEFAULT_TIMEOUT_SECONDS)
    options = parser.parse_args(arguments)
    reason = missing()
    release, named = installed_vllm(), local_gpu()
    if reason or release is None or named is None:
        print(f"nothing collected: {reason}", file=sys.stderr)
        return NOT_HERE
    given = dict(parsed_setting(text) for text in options.settings)
    written = 0
    with options.out.open("a", encoding="utf-8") as target:
        for model_id in options.model or DEFAULT_MODELS:
            row = collect_one(model_id, release, named, given, options.timeout)
            if isinstance(row, str):
                print(f"{model_id}: {row}")
                continue
            target.write(row_text(row))
            target.flush()
            written += 1
            state = "failed" if row["failed"] else "started"
            print(f"{model_id}: {state}, weights {row['weights_gib']} GiB, KV {row['kv_gib']} GiB")
    return 0 if written else 1


if __name__ == "__main__":
    raise SystemExit(main())

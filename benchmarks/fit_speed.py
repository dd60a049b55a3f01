"""Time `vllmlint fit`: one plan in a running process, whole processes, and the table of all GPUs.

    python benchmarks/fit_speed.py [--repeat 5] [--slack 1.0]

Prints one row a measurement with its target and exits 1 when one is missed. The fastest run counts,
for a plan that of the slowest of several models, for a process with its output.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
#: Model, GPU and tensor parallel size: dense, MoE with MLA, sliding windows, mxfp4, block fp8, hybrid.
PLANS = (
    (LLAMA, "nvidia-a100-80gb-sxm", 1),
    ("deepseek-ai/DeepSeek-V3", "nvidia-h200-141gb-sxm", 8),
    ("google/gemma-3-27b-it", "nvidia-a100-80gb-sxm", 1),
    ("openai/gpt-oss-120b", "nvidia-h100-80gb-sxm", 1),
    ("Qwen/Qwen3-32B-FP8", "nvidia-h100-80gb-sxm", 1),
    ("Qwen/Qwen3-Next-80B-A3B-Instruct", "nvidia-h200-141gb-sxm", 4),
)
CACHE = tempfile.mkdtemp(prefix="fit-speed-")
#: Plans of each model.
ROUNDS = 20
FITS = ("--gpu", "nvidia-h100-80gb-sxm", "--model", LLAMA)
#: It does not fit, so that suggestions are worked out too.
SHORT = ("--gpu", "nvidia-l4", "--model", "Qwen/Qwen3-32B-FP8")


#: Measured from the import of the catalogue on; what every command has loaded by then is loaded before.
FACTS = (
    "import time, json, dataclasses, functools, pathlib, vllmlint.record\n"
    "start = time.process_time()\n"
    "from vllmlint.models.catalogue import find_architecture\n"
    "assert find_architecture('deepseek-ai/DeepSeek-V3').num_experts == 256\n"
    "print(time.process_time() - start)\n"
)


def facts_seconds(repeat: int) -> float:
    """CPU time for the facts of one model, in a process of its own."""
    runs = [
        subprocess.run([sys.executable, "-c", FACTS], env=compiled(), capture_output=True, check=True).stdout
        for _ in range(repeat + 1)
    ]
    return min(map(float, runs[1:]))  # the first one compiles


def compiled() -> dict[str, str]:
    """The environment of a process that runs from compiled modules, as pip installs them."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": CACHE}


def plan_seconds() -> float:
    """One plan of the slowest model, once everything is imported and read."""
    from vllmlint.engine.config import EngineRequest
    from vllmlint.hardware.gpus import gpu_by_id
    from vllmlint.memory.plan import plan_memory
    from vllmlint.models.catalogue import find_architecture
    from vllmlint.serving.release import known_releases

    slowest = 0.0
    for model, name, size in PLANS:
        architecture, gpu = find_architecture(model), gpu_by_id(name)
        assert architecture is not None, model
        assert gpu is not None, name
        settings = {"tensor_parallel_size": size}
        request = EngineRequest(known_releases()[-1], architecture, gpu, settings, {})
        plan_memory(request)
        seconds = float("inf")
        for _ in range(ROUNDS):
            started = time.perf_counter()
            plan_memory(request)
            seconds = min(seconds, time.perf_counter() - started)
        print(f"    {model}: {seconds * 1000:.2f} ms")
        slowest = max(slowest, seconds)
    return slowest


def process_seconds(repeat: int, *arguments: str) -> float:
    """The fastest of some runs of a whole process."""
    best, work = float("inf"), float("inf")
    for number in range(repeat + 1):
        before = cpu_seconds()
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "vllmlint", "fit", *arguments],
            env=compiled(),
            capture_output=True,
            check=False,
        )
        if number:  # the first one compiles
            best = min(best, time.perf_counter() - started)
            work = min(work, cpu_seconds() - before)
        if done.returncode not in (0, 1):
            raise SystemExit(done.stderr.decode())
    print(f"    {work:.3f} s of CPU")
    return best


def cpu_seconds() -> float:
    """What the child processes so far have worked, which other load on the machine does not stretch."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Measure, print, and say whether every target is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--slack", type=float, default=1.0, help="factor on every target, for busy machines")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    measurements: list[tuple[str, float, Callable[[], float]]] = [
        ("a model's facts", 0.010, lambda: facts_seconds(options.repeat)),
        ("a plan", 0.005, plan_seconds),
        ("fit, one GPU", 0.5, lambda: process_seconds(options.repeat, *FITS)),
        ("fit with suggestions", 0.5, lambda: process_seconds(options.repeat, *SHORT)),
        ("fit --gpu all", 1.0, lambda: process_seconds(options.repeat, "--gpu", "all", "--model", LLAMA)),
    ]
    missed = False
    for name, target, measure in measurements:
        seconds = measure()
        late = seconds > target * options.slack
        missed = missed or late
        print(f"{name:<24} {seconds:8.4f} s  target {target:g} s{'  MISSED' if late else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

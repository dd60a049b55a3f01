"""Time whole processes of vllmlint against yamllint on the same files, in the same run.

    python benchmarks/speed.py [--repeat 15] [--slack 1.0] [--json FILE]

Prints one row per measurement: the median, yamllint's median and the ratio (for the large run, of the
rates of the fastest runs), with the target; exits 1 when a target is missed. The manifests are made here.
`--slack 1.25` widens every target by a quarter, for machines that do other work at the same time. Both
programs run from compiled modules, as pip installs them, whatever PYTHONDONTWRITEBYTECODE says and however
the checkout was installed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
VLLMLINT = str(BIN / "vllmlint")
YAMLLINT = [str(BIN / "yamllint"), "-d", "relaxed"]

SMALL_RUN, LARGE_RUN = 200, 5_000
#: The rate of the large run over yamllint's: 1,000 files a second where yamllint makes 108 (200 in 1.848 s,
#: on the machine on which the target was set). So the figure is about vllmlint, not about the machine.
LARGE_RATE = 9.2
#: Files in one directory of the large run.
FILES_PER_DIRECTORY = 100
#: How often the memory of the process tree is read.
SAMPLE_SECONDS = 0.05
#: Set by `main`.
ENVIRONMENT: dict[str, str] = {}

TAGS = ("v0.33.0", "v0.30.1", "latest", "v0.28.0", "stable")
MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-32B", "mistralai/Mistral-Small-24B-Instruct-2501")
POOLS = ("nvidia-a100", "nvidia-h100", "nvidia-l40s")

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: team-{team}
  labels:
    app.kubernetes.io/name: {name}
    app.kubernetes.io/part-of: inference
spec:
  replicas: {replicas}
  revisionHistoryLimit: 3
  selector:
    matchLabels:
      app.kubernetes.io/name: {name}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {name}
    spec:
      nodeSelector:
        accelerator.platform.example.com/type: {pool}
      tolerations:
        - key: accelerator.platform.example.com/gpu
          operator: Equal
          value: "true"
          effect: NoSchedule
      terminationGracePeriodSeconds: 60
      containers:
        - name: server
          image: registry.example.com/ai/vllm-openai:{tag}
{command}
          env:
            - name: HF_HOME
              value: /models
            - name: HF_TOKEN
              valueFrom:
                secretKeyRef:
                  name: hugging-face
                  key: token
          ports:
            - name: http
              containerPort: {port}
          resources:
            requests:
              cpu: "8"
              memory: 48Gi
            limits:
              memory: 96Gi
              nvidia.com/gpu: {gpus}
          startupProbe:
            httpGet: {{path: /health, port: http}}
            periodSeconds: 10
            failureThreshold: 90
          readinessProbe:
            httpGet: {{path: /health, port: http}}
            periodSeconds: 5
          volumeMounts:
            - name: models
              mountPath: /models
            - name: shm
              mountPath: /dev/shm
      volumes:
        - name: models
          persistentVolumeClaim:
            claimName: {name}-models
        - name: shm
          emptyDir:
            medium: Memory
            sizeLimit: 8Gi
"""
ARGUMENT_LIST = """\
          args:
            - --model
            - {model}
            - --served-model-name={name}
            - --tensor-parallel-size={gpus}
            - --max-model-len
            - "16384"
            - --gpu-memory-utilization=0.9
            - --host=0.0.0.0
            - --port={port}"""
SHELL_STRING = """\
          command:
            - /bin/bash
            - -c
            - |
              exec vllm serve {model} \\
                --served-model-name {name} \\
                --tensor-parallel-size {gpus} \\
                --max-model-len 16384 \\
                --port {port}"""
CONTRACT = """\
vllm: {release: 0.33.0}
images:
  allowedRegistries: [registry.example.com]
  pin: release
nodePools:
  a100:
    labels: {accelerator.platform.example.com/type: nvidia-a100}
    taints: [{key: accelerator.platform.example.com/gpu, value: "true", effect: NoSchedule}]
    gpu: nvidia-a100-80gb-sxm
    gpusPerNode: 8
    nodes: 4
serving:
  requireExplicit: [model, tensor-parallel-size, max-model-len]
"""


@dataclass(frozen=True)
class Row:
    """One measurement: `value` is what `target` bounds, from above or (with `at_least`) from below."""

    name: str
    seconds: float
    reference_seconds: float | None
    value: float
    unit: str
    target: float
    at_least: bool = False

    def met(self, slack: float) -> bool:
        """Whether the target holds, widened by `slack`; twice where no reference ran beside it, since such
        a figure measures the machine and its other work too."""
        slack = slack if self.reference_seconds is not None else slack**2
        return self.value >= self.target / slack if self.at_least else self.value <= self.target * slack


@dataclass(frozen=True)
class Timed:
    """A process that ran: wall time and the peak memory of it and its children."""

    seconds: float
    peak_mib: float = 0.0


def deployment(number: int) -> str:
    """One Deployment of 70 to 80 lines with a vLLM server; no two are alike."""
    values = {
        "name": f"model-{number:05d}",
        "team": number % 7,
        "replicas": 1 + number % 3,
        "pool": POOLS[number % len(POOLS)],
        "tag": TAGS[number % len(TAGS)],
        "model": MODELS[number % len(MODELS)],
        "port": 8000 + number % 10,
        "gpus": (1, 2, 4)[number % 3],
    }
    command = (SHELL_STRING if number % 10 == 9 else ARGUMENT_LIST).format(**values)
    return DEPLOYMENT.format(command=command, **values)


def write_manifests(directory: Path, count: int) -> None:
    """Write that many manifests, in directories of a hundred."""
    for number in range(count):
        folder = directory / f"team-{number // FILES_PER_DIRECTORY:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        text = deployment(number)
        lines = text.count("\n")
        assert 70 <= lines <= 80, f"a manifest of {lines} lines"
        (folder / f"deployment-{number:05d}.yaml").write_text(text, "utf-8")


def environment(cache: Path) -> dict[str, str]:
    """The environment of the timed processes: compiled modules are kept, in a place of this run's own."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(cache)}


def run(command: Sequence[str], cwd: Path) -> Timed:
    """Run a process to its end."""
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode not in {0, 1}:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    return Timed(seconds)


def run_watched(command: Sequence[str], cwd: Path) -> Timed:
    """Run a process and watch the memory of it and its children."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, tree_mib(process.pid))
        time.sleep(SAMPLE_SECONDS)
    seconds = time.perf_counter() - started
    if process.returncode not in {0, 1}:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Timed(seconds, peak)


def tree_mib(pid: int) -> float:
    """Proportional memory of a process and its children, in MiB; what they share counts once."""
    total, waiting = 0, [pid]
    while waiting:
        current = waiting.pop()
        base = Path("/proc") / str(current)
        try:
            rollup = (base / "smaps_rollup").read_text("ascii")
            waiting += [
                int(child) for child in (base / "task" / str(current) / "children").read_text("ascii").split()
            ]
        except OSError:
            continue  # it has ended
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def compare(name: str, ours: list[str], theirs: list[str], cwd: Path, target: float, repeat: int) -> Row:
    """Medians of both, run in turns so that a busy moment hits both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(repeat + 1):
        pair = (run(ours, cwd).seconds, run(theirs, cwd).seconds)
        if number:  # the first pair warms the caches
            times[0].append(pair[0])
            times[1].append(pair[1])
    mine, other = statistics.median(times[0]), statistics.median(times[1])
    return Row(name, mine, other, mine / other, "x yamllint", target)


def measure_small(directory: Path, repeat: int) -> list[Row]:
    """Start-up, one file without and with a contract, and a repository of 200 files."""
    write_manifests(directory / "plain", SMALL_RUN)
    write_manifests(directory / "ruled", 1)
    (directory / "ruled" / "vllmlint.yaml").write_text(CONTRACT, "utf-8")
    one = "team-000/deployment-00000.yaml"
    check = [VLLMLINT, "check", "--format", "json"]
    plain, ruled = directory / "plain", directory / "ruled"
    return [
        compare("--version", [VLLMLINT, "--version"], [YAMLLINT[0], "--version"], plain, 2.0, repeat),
        compare("one file", [*check, one], [*YAMLLINT, one], plain, 2.5, repeat),
        compare("one file with a contract", [*check, one], [*YAMLLINT, one], ruled, 4.0, repeat),
        compare(f"{SMALL_RUN} files", [*check, "."], [*YAMLLINT, "."], plain, 0.6, max(3, repeat // 5)),
    ]


def measure_large(directory: Path, repeat: int) -> list[Row]:
    """The rate and the memory of a run over 5,000 files with two processes, against yamllint's rate on the
    repository of 200 files."""
    write_manifests(directory / "large", LARGE_RUN)
    command = [VLLMLINT, "check", "--format", "json", "--jobs", "2", "."]
    times, others = [], []
    for _ in range(repeat):
        others.append(run([*YAMLLINT, "."], directory / "plain").seconds)
        times.append(run(command, directory / "large").seconds)
    watched = run_watched(command, directory / "large")
    # the fastest runs are those that other work disturbed least
    seconds, other = min(times), min(others)
    rate, other_rate = LARGE_RUN / seconds, SMALL_RUN / other
    name = f"{LARGE_RUN:,} files, --jobs 2"
    return [
        Row(f"{name}: {rate:.0f} files/s", seconds, other, rate / other_rate, "x yamllint", LARGE_RATE, True),
        Row(f"{name}: memory", watched.seconds, None, watched.peak_mib, "MiB", 400),
    ]


def table(rows: Sequence[Row], slack: float) -> str:
    """The rows as a table."""
    lines = [f"{'measurement':36} {'seconds':>9} {'yamllint s':>11} {'value':>20} {'target':>9}"]
    for row in rows:
        reference = "" if row.reference_seconds is None else f"{row.reference_seconds:.3f}"
        sign = ">=" if row.at_least else "<="
        value = f"{row.value:.2f} {row.unit}" if row.value < 100 else f"{row.value:.0f} {row.unit}"
        verdict = "ok" if row.met(1.0) else "ok with slack" if row.met(slack) else "MISSED"
        lines.append(
            f"{row.name:36} {row.seconds:9.3f} {reference:>11} {value:>20} {sign}{row.target:7g}  {verdict}"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description="Time vllmlint against yamllint.")
    parser.add_argument("--repeat", type=int, default=15, help="runs per measurement (median)")
    parser.add_argument("--slack", type=float, default=1.0, help="factor by which a target may be missed")
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    options = parser.parse_args()
    measurements: tuple[Callable[[Path, int], list[Row]], ...] = (measure_small, measure_large)
    rows: list[Row] = []
    # beside nothing that could hold a contract: the search for one ends at this .git
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as cache:
        ENVIRONMENT.update(environment(Path(cache)))
        (Path(scratch) / ".git").mkdir()
        for measure in measurements:
            rows += measure(
                Path(scratch), options.repeat if measure is measure_small else max(1, options.repeat // 5)
            )
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {options.repeat} runs each")
    print(table(rows, options.slack))
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", "utf-8")
    return 0 if all(row.met(options.slack) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

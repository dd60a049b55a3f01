"""Whatever the bytes are: no exception, no rule that raises, no case slower than a second.

`python scripts/fuzz.py --count 10000` runs more of the mutations.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import fuzz

MUTATIONS = 300
RELAXED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(autouse=True, scope="module")
def _no_contract_above(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Work where no contract is in sight."""
    before = Path.cwd()
    directory = tmp_path_factory.mktemp("fuzz")
    (directory / ".git").mkdir()
    os.chdir(directory)
    yield
    os.chdir(before)


def test_mutated_manifests() -> None:
    failures = fuzz.fuzz(MUTATIONS, seed=1, jobs=1)
    assert not failures, f"python scripts/fuzz.py --only {failures[0].number}\n{failures[0].what}"


def test_a_case_is_the_same_whenever_it_runs() -> None:
    assert fuzz.mutated(7, 1) == fuzz.mutated(7, 1)
    assert fuzz.mutated(7, 1) != fuzz.mutated(8, 1)


def test_a_failure_is_told() -> None:
    found = fuzz.attempt(0, fuzz.seeds()[0], cpu_limit=-1.0)
    assert found is not None
    assert found.what.startswith("took ")


@RELAXED
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    assert not fuzz.lint(data)


@RELAXED
@given(st.text(alphabet="abk:- \n\t'\"[]{}&*!|>#%@`,?<\r\ufeff日\x85\0~.$()1", max_size=120))
def test_any_text_of_yaml_characters(text: str) -> None:
    assert not fuzz.lint(text.encode())


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(fuzz.NASTY)
)
WORDS = st.sampled_from(
    [
        "vllm",
        "serve",
        "--model",
        "--port",
        "8000",
        "--tensor-parallel-size=2",
        "-tp",
        "$(A)",
        "sh",
        "-c",
        "exec vllm serve m",
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _shaped(**fields: Any) -> Any:
    """A mapping that may have each of these fields, of the right shape or of any other."""
    return st.fixed_dictionaries({}, optional={name: shape | VALUES for name, shape in fields.items()})


PROBE = _shaped(
    httpGet=_shaped(path=st.just("/health"), port=st.just("http") | st.integers(0, 70000)),
    periodSeconds=st.integers(),
    failureThreshold=st.integers(),
)
CONTAINER = _shaped(
    name=st.just("vllm"),
    image=st.sampled_from(
        ["vllm/vllm-openai:v0.10.0", "vllm/vllm-openai", "x:${TAG}", "vllm/vllm-openai@sha256:"]
    ),
    command=st.lists(WORDS | SCALARS, max_size=4),
    args=st.lists(WORDS | SCALARS, max_size=6),
    env=st.lists(
        _shaped(
            name=st.sampled_from(["A", "HF_HOME", "HF_TOKEN", "VLLM_PORT"]), value=WORDS, valueFrom=VALUES
        ),
        max_size=3,
    ),
    ports=st.lists(_shaped(name=st.just("http"), containerPort=st.integers()), max_size=2),
    resources=_shaped(
        limits=st.dictionaries(st.sampled_from(["nvidia.com/gpu", "memory", "cpu"]), SCALARS),
        requests=st.dictionaries(st.sampled_from(["nvidia.com/gpu", "memory"]), SCALARS),
    ),
    readinessProbe=PROBE,
    livenessProbe=PROBE,
    startupProbe=PROBE,
    volumeMounts=st.lists(
        _shaped(name=st.just("v"), mountPath=st.sampled_from(["/dev/shm", "/models", "", "x"])), max_size=2
    ),
    securityContext=_shaped(privileged=st.booleans()),
    lifecycle=VALUES,
)
POD_SPEC = _shaped(
    containers=st.lists(CONTAINER, max_size=2),
    initContainers=st.lists(CONTAINER, max_size=1),
    volumes=st.lists(_shaped(name=st.just("v"), emptyDir=VALUES, persistentVolumeClaim=VALUES), max_size=2),
    nodeSelector=st.dictionaries(st.text(max_size=5), SCALARS, max_size=2),
    tolerations=st.lists(_shaped(key=SCALARS, operator=SCALARS, effect=SCALARS), max_size=2),
    terminationGracePeriodSeconds=st.integers(),
)
METADATA = _shaped(
    name=st.just("x"), labels=st.dictionaries(st.text(max_size=3), SCALARS, max_size=2), annotations=VALUES
)
WORKLOAD = st.fixed_dictionaries(
    {
        "apiVersion": st.just("apps/v1") | SCALARS,
        "kind": st.sampled_from(
            ["Deployment", "StatefulSet", "Job", "CronJob", "Pod", "LeaderWorkerSet", "Service", "List"]
        ),
        "metadata": METADATA,
        "spec": _shaped(
            replicas=st.integers(),
            strategy=VALUES,
            selector=VALUES,
            template=_shaped(metadata=METADATA, spec=POD_SPEC),
            containers=st.lists(CONTAINER, max_size=1),
            ports=st.lists(_shaped(port=SCALARS, targetPort=SCALARS), max_size=2),
        ),
    }
)


@settings(RELAXED, max_examples=200)
@given(WORKLOAD, st.booleans())
def test_any_shape_of_workload(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        assert not fuzz.lint(json.dumps(document).encode())
    else:
        assert not fuzz.lint(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"))

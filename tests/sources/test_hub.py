"""The hub, asked over its own HTTP interface: a server on this machine stands in for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from hub_server import COMMIT, TOKEN, Hub, serving

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "vocab_size": 100,
    "num_attention_heads": 4,
}
REPOSITORIES = {
    "acme/tiny": {
        "config.json": json.dumps(CONFIG),
        "model.safetensors": "x" * 777,
        "modeling_tiny.py": "raise SystemExit('code of a repository was run')",
    },
    "acme/large": {
        "config.json": json.dumps(CONFIG),
        "model.safetensors.index.json": json.dumps({"metadata": {"total_size": 123456}}),
        "hf_quant_config.json": json.dumps({"quantization": {"quant_algo": "FP8"}}),
        "model-00001-of-00002.safetensors": "x",
    },
    "acme/gguf": {"model.gguf": "x"},
    "acme/secret": {"config.json": json.dumps(CONFIG)},
}
PROGRAM = """
import json, sys
from vllmlint.models.lookup import find_model, ModelFacts
from vllmlint.sources.hub import HubUnreachableError
from vllmlint.sources.models import models_outside
model, revision = sys.argv[1], sys.argv[2] or None
try:
    answer = find_model(model, revision=revision, outside=models_outside(online=True, use_cache=False))
except HubUnreachableError as error:
    print(json.dumps({"unreachable": str(error)}))
else:
    if isinstance(answer, ModelFacts):
        print(json.dumps({"id": answer.id, "source": answer.source, "confidence": answer.confidence,
                          "hidden_size": answer.architecture.hidden_size, "bytes": answer.checkpoint_bytes,
                          "published": dict(answer.architecture.published),
                          "quantization": dict(answer.architecture.part("quantization_config"))}))
    else:
        print(json.dumps({"reason": answer.reason}))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub(REPOSITORIES)) as served:
        yield served


def ask(hub: Hub, home: Path, model: str, revision: str = "", **env: str) -> dict[str, Any]:
    """What the lookup answers in a process of its own: huggingface_hub reads its environment on import."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    settings = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **env}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, model, revision],
        cwd=ROOT,
        env={**kept, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_model_of_one_file(hub: Hub, tmp_path: Path) -> None:
    answer = ask(hub, tmp_path, "acme/tiny", HF_TOKEN=TOKEN)
    assert answer["hidden_size"] == 64
    assert answer["confidence"] == "high"
    assert answer["source"] == f"the hub, acme/tiny at {COMMIT[:12]}"
    assert answer["bytes"] == 777
    assert answer["published"]["revision"] == COMMIT
    assert answer["published"]["gated"] is False
    # HF_TOKEN goes along, and nothing but the description and the config is fetched
    assert {authorization for _, _, authorization in hub.asked} == {f"Bearer {TOKEN}"}
    fetched = {path.rsplit("/", 1)[-1] for method, path, _ in hub.asked if "/resolve/" in path}
    assert fetched == {"config.json"}
    assert (tmp_path / "hub" / "models--acme--tiny" / "snapshots" / COMMIT / "config.json").is_file()


def test_the_index_and_modelopts_file_come_along(hub: Hub, tmp_path: Path) -> None:
    answer = ask(hub, tmp_path, "hf://acme/large@v1")
    assert answer["bytes"] == 123456
    assert answer["quantization"] == {"quant_method": "modelopt", "quant_algo": "FP8"}
    assert "/api/models/acme/large/revision/v1" in hub.paths()


def test_what_the_hub_does_not_give_is_told(hub: Hub, tmp_path: Path) -> None:
    hub.gated.add("acme/secret")
    assert "the hub has no acme/nothing, or it is private" in ask(hub, tmp_path, "acme/nothing")["reason"]
    assert "acme/gguf has no config.json on the hub" in ask(hub, tmp_path, "acme/gguf")["reason"]
    assert "has no revision v2 on the hub" in ask(hub, tmp_path, "acme/tiny", "v2")["reason"]
    assert "acme/secret is gated" in ask(hub, tmp_path, "acme/secret")["reason"]
    allowed = ask(hub, tmp_path, "acme/secret", HF_TOKEN=TOKEN)
    assert allowed["published"]["gated"] is True


def test_a_hub_that_does_not_answer_is_unreachable(hub: Hub, tmp_path: Path) -> None:
    offline = ask(hub, tmp_path, "acme/tiny", HF_HUB_OFFLINE="1")
    assert offline == {"unreachable": "--online, but HF_HUB_OFFLINE is set"}
    assert hub.asked == []
    silent = ask(hub, tmp_path, "acme/tiny", HF_ENDPOINT="http://127.0.0.1:9")
    assert silent["unreachable"].startswith("the hub does not answer for acme/tiny: ")
    hub.broken = True
    assert "the hub does not answer" in ask(hub, tmp_path, "acme/tiny")["unreachable"]


def test_without_the_extra_the_way_to_get_it_is_told(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['huggingface_hub'] = None\n"
        "from vllmlint.sources.files import SourceError\n"
        "from vllmlint.sources.hub import hub_files\n"
        "try:\n    hub_files('acme/tiny')\nexcept SourceError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "--online needs huggingface_hub: pip install 'vllmlint[online]'"


def test_nothing_is_asked_where_nobody_said_online(hub: Hub, tmp_path: Path) -> None:
    program = PROGRAM.replace("online=True", "online=False") + "\nprint('huggingface_hub' in sys.modules)\n"
    done = subprocess.run(
        [sys.executable, "-c", program, "acme/tiny", ""],
        cwd=ROOT,
        env={**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    reason, loaded = done.stdout.splitlines()
    assert "is not among the" in json.loads(reason)["reason"]
    assert loaded == "False"
    assert hub.asked == []

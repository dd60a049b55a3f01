"""A model's files on disk: named by the user, by the contract, beside a manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vllmlint.contract.settings import Model
from vllmlint.models.lookup import ModelFacts, UnknownModel, find_model
from vllmlint.sources import model_files
from vllmlint.sources.files import SourceError
from vllmlint.sources.model_files import files_beside, loose_files, read_model_files
from vllmlint.sources.models import models_outside

CONFIG = json.dumps(
    {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 100,
    }
)
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def put(directory: Path, **files: str) -> Path:
    """A directory with files; double underscores in a name stand for dots."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text, "utf-8")
    return directory


def test_a_directory_with_everything(tmp_path: Path) -> None:
    put(tmp_path, config__json=CONFIG, model__safetensors__index__json="{}", hf_quant_config__json="[]")
    files = read_model_files(str(tmp_path))
    assert (files.config, files.index, files.hf_quant_config) == (CONFIG, "{}", "[]")
    assert files.source == str(tmp_path / "config.json")
    assert read_model_files(str(tmp_path / "config.json")).index == "{}"


def test_a_config_of_another_name_is_alone(tmp_path: Path) -> None:
    put(tmp_path, llama__json=CONFIG, model__safetensors__index__json="{}")
    files = read_model_files(str(tmp_path / "llama.json"))
    assert (files.config, files.index, files.total_bytes) == (CONFIG, None, None)


def test_the_size_of_the_one_weight_file(tmp_path: Path) -> None:
    put(tmp_path, config__json=CONFIG, model__safetensors="x" * 99)
    assert read_model_files(str(tmp_path)).total_bytes == 99
    put(tmp_path, model__safetensors__index__json="{}")
    assert read_model_files(str(tmp_path)).total_bytes is None


def test_what_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match=r"no config\.json in"):
        read_model_files(str(tmp_path))
    with pytest.raises(SourceError, match=r"cannot read .*none.json: No such file"):
        read_model_files(str(tmp_path / "none.json"))
    (tmp_path / "config.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(SourceError, match="not UTF-8 text"):
        read_model_files(str(tmp_path))
    monkeypatch.setattr(model_files, "MAX_BYTES", 10)
    put(tmp_path, config__json=CONFIG)
    with pytest.raises(SourceError, match="larger than"):
        read_model_files(str(tmp_path))


@pytest.mark.parametrize("model", [LLAMA, f"hf://{LLAMA}", "/models/meta-llama/Llama-3.1-8B-Instruct/"])
def test_a_directory_of_the_models_name_beside_a_manifest(tmp_path: Path, model: str) -> None:
    assert files_beside(str(tmp_path), model) is None
    put(tmp_path / "Llama-3.1-8B-Instruct", config__json=CONFIG)
    found = files_beside(str(tmp_path), model)
    assert found is not None
    put(tmp_path / "meta-llama" / "Llama-3.1-8B-Instruct", config__json='{"model_type": "near"}')
    nearer = files_beside(str(tmp_path), model)
    assert nearer is not None
    assert nearer.config == '{"model_type": "near"}'


def test_another_programs_directory_of_that_name_is_not_the_models(tmp_path: Path) -> None:
    put(tmp_path / "llama", config__json='{"port": 8080}')
    assert files_beside(str(tmp_path), "/models/llama") is None
    (tmp_path / "llama" / "config.json").write_bytes(b"\xff")
    assert files_beside(str(tmp_path), "/models/llama") is None


def test_a_name_does_not_lead_out_of_the_directory(tmp_path: Path) -> None:
    put(tmp_path / "secret", config__json=CONFIG)
    here = put(tmp_path / "here")
    for model in ("../secret", "/../secret/..", "hf://../secret", "./../../secret/."):
        assert files_beside(str(here), model) is None, model


def test_a_loose_config_is_taken_only_where_it_is_a_models(tmp_path: Path) -> None:
    assert loose_files(str(tmp_path)) is None
    put(tmp_path, config__json='{"port": 8080}')
    assert loose_files(str(tmp_path)) is None
    put(tmp_path, config__json=CONFIG)
    found = loose_files(str(tmp_path))
    assert found is not None
    assert found.config == CONFIG


def test_the_contracts_config_lies_relative_to_the_contract(tmp_path: Path) -> None:
    put(tmp_path / "team" / "configs", bot__json=CONFIG)
    model = Model(id="acme/bot", path="/models/bot", config="configs/bot.json")
    outside = models_outside(contract_directory=str(tmp_path / "team"), env={})
    facts = find_model("/models/bot", declared=[model], outside=outside)
    assert isinstance(facts, ModelFacts)
    assert (facts.id, facts.architecture.hidden_size) == ("acme/bot", 64)
    assert facts.source.endswith("configs/bot.json")
    gone = Model(id="acme/bot", config="configs/gone.json")
    answer = find_model("acme/bot", declared=[gone], outside=outside)
    assert isinstance(answer, UnknownModel)
    assert "configs/gone.json, was not read: cannot read" in answer.reason


def test_the_config_given_for_the_run_comes_first(tmp_path: Path) -> None:
    put(tmp_path / "given", config__json=CONFIG)
    outside = models_outside(model_config=str(tmp_path / "given"), env={})
    facts = find_model(LLAMA, outside=outside)
    assert isinstance(facts, ModelFacts)
    assert facts.architecture.hidden_size == 64
    with pytest.raises(SourceError):
        models_outside(model_config=str(tmp_path / "none"), env={})


def test_what_lies_beside_the_manifest(tmp_path: Path) -> None:
    put(tmp_path / "app", config__json=CONFIG)
    outside = models_outside(manifest_directory=str(tmp_path / "app"), env={"HF_HOME": str(tmp_path)})
    facts = find_model("/models/private", outside=outside)
    assert isinstance(facts, ModelFacts)
    assert facts.confidence == "medium"
    known = find_model(LLAMA, outside=outside)
    assert isinstance(known, ModelFacts)
    assert known.architecture.hidden_size == 4096

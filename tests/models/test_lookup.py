"""Which model a reference means: ids, prefixes, paths, the contract, copies, and what is not known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllmlint.contract.settings import Model
from vllmlint.facts.model_aliases import _file, model_aliases
from vllmlint.models.catalogue import catalogue_ids, find_architecture
from vllmlint.models.config_files import ModelFiles
from vllmlint.models.lookup import ModelFacts, Outside, UnknownModel, find_model, nearest_id
from vllmlint.models.reference import read_reference

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 1000,
}
FILES = ModelFiles("somewhere", json.dumps(CONFIG))


def found(reference: str, **given: Any) -> ModelFacts:
    facts = find_model(reference, **given)
    assert isinstance(facts, ModelFacts), facts
    return facts


def unknown(reference: str, **given: Any) -> UnknownModel:
    answer = find_model(reference, **given)
    assert isinstance(answer, UnknownModel), answer
    return answer


@pytest.mark.parametrize(
    "reference",
    [
        LLAMA,
        LLAMA.upper(),
        f"hf://{LLAMA}",
        f"https://huggingface.co/{LLAMA}",
        f"https://huggingface.co/{LLAMA}/tree/main",
        f"hf.co/{LLAMA}",
        f"{LLAMA}/",
        "/root/.cache/huggingface/hub/models--meta-llama--Llama-3.1-8B-Instruct",
    ],
)
def test_a_hub_id_however_it_is_written(reference: str) -> None:
    facts = found(reference)
    assert facts.id == LLAMA
    assert facts.confidence == "high"
    assert facts.assumptions == ()
    assert facts.architecture is find_architecture(LLAMA)


@pytest.mark.parametrize(
    ("reference", "kind", "model_id", "revision"),
    [
        ("hf://org/name@v1.0", "hub", "org/name", "v1.0"),
        ("hf://org/name:0e9e39f249", "hub", "org/name", "0e9e39f249"),
        ("https://huggingface.co/org/name/blob/abc/config.json", "hub", "org/name", "abc"),
        ("/hub/models--org--name/snapshots/0e9e39f249a1/", "hub", "org/name", "0e9e39f249a1"),
        ("/hub/models--gpt2/snapshots/0e9e39f249a1", "hub", "gpt2", "0e9e39f249a1"),
        ("gpt2", "hub", "gpt2", None),
        ("/models/llama/", "path", "/models/llama", None),
        ("./llama", "path", "./llama", None),
        ("models/org/name", "path", "models/org/name", None),
        ("s3://bucket/models/llama", "url", "s3://bucket/models/llama", None),
        ("${MODEL}", "unknown", "${MODEL}", None),
        ("$(MODEL)", "unknown", "$(MODEL)", None),
        ("{{ .Values.model }}", "unknown", "{{ .Values.model }}", None),
        ("", "unknown", "", None),
        ("two words", "unknown", "two words", None),
    ],
)
def test_references_are_taken_apart(reference: str, kind: str, model_id: str, revision: str | None) -> None:
    read = read_reference(reference)
    assert (read.kind, read.id, read.revision) == (kind, model_id, revision)


def test_the_bucket_of_a_url_is_no_name_of_a_model() -> None:
    assert read_reference("s3://Qwen/Qwen3-8B").tail == ("Qwen3-8B",)
    assert read_reference("/mnt/../models/./a").tail == ("models", "a")


def test_another_revision_than_the_one_that_was_read_lowers_confidence() -> None:
    known = find_architecture("openai/gpt-oss-20b")
    assert known is not None
    commit = known.published["revision"]
    for same in (None, "main", commit, commit[:8]):
        assert found(known.id, revision=same).confidence == "high", same
    other = found(known.id, revision="0" * 40)
    assert other.confidence == "medium"
    assert commit[:12] in other.assumptions[0]
    assert found(known.id, revision="gptq-4bit").confidence == "medium"
    assert found(f"hf://{known.id}@{'0' * 40}").confidence == "medium"


def test_confidence_follows_how_the_fields_were_got() -> None:
    derived = found("Qwen/Qwen2.5-7B-Instruct-AWQ")
    assert derived.confidence == "medium"
    assert "its config.json was not read" in derived.assumptions[0]
    partial = found("OpenGVLab/InternVL3-78B-Instruct")
    assert partial.confidence == "low"
    assert any("lacks some fields" in note for note in partial.assumptions)


def test_the_contract_maps_a_path() -> None:
    model = Model(id=LLAMA, path="/models/llama")
    for reference in ("/models/llama", "/models/llama/"):
        facts = found(reference, declared=[model])
        assert facts.id == LLAMA
        assert facts.declared is model
        assert facts.confidence == "high"
    assert unknown("/models/llama2", declared=[model]).suggestion is None


def test_the_contracts_config_is_read_before_other_sources() -> None:
    model = Model(id=LLAMA, path="/models/llama", config="configs/llama.json")
    outside = Outside(
        declared=lambda entry: FILES if entry.config else None, cached=lambda *_: pytest.fail("read")
    )
    for reference in ("/models/llama", LLAMA):
        facts = found(reference, declared=[model], outside=outside)
        assert facts.architecture.hidden_size == 64
        assert (facts.id, facts.source) == (LLAMA, "somewhere")
    unread = unknown(LLAMA, declared=[model])
    assert "configs/llama.json, was not read" in unread.reason


def test_a_broken_config_speaks_for_the_model_and_names_its_key() -> None:
    broken = ModelFiles("configs/llama.json", json.dumps({**CONFIG, "vocab_size": "many"}))
    answer = unknown(LLAMA, outside=Outside(given=broken))
    assert answer.reason == "configs/llama.json: vocab_size: 'many' is not a whole number"


def test_a_private_model_takes_the_architecture_of_its_base() -> None:
    model = Model(id="acme/support-bot", path="/models/bot", base_model=f"hf://{LLAMA}")
    for reference in ("/models/bot", "acme/support-bot", "ACME/Support-Bot"):
        facts = found(reference, declared=[model], revision="0" * 40)
        assert facts.id == LLAMA
        assert facts.confidence == "high"
        assert "baseModel" in facts.assumptions[0]
    copied = Model(id="acme/bot", base_model="unsloth/Qwen3-8B")
    assert found("acme/bot", declared=[copied]).id == "Qwen/Qwen3-8B"
    assert "acme/other" in unknown("acme/other", declared=[model]).reason


def test_the_order_of_sources() -> None:
    def files(name: str) -> ModelFiles:
        return ModelFiles(name, json.dumps(CONFIG))

    model = Model(id="acme/bot", config="bot.json")
    outside = Outside(
        given=files("given"),
        declared=lambda _: files("declared"),
        beside=lambda name: files(f"beside {name}"),
        loose=lambda: files("loose"),
        cached=lambda name, revision: files(f"cached {name} {revision}"),
        online=lambda name, revision: files(f"online {name} {revision}"),
    )
    sources = []
    for name in ("given", "declared", "beside", "cached", "online", "loose"):
        sources.append(found("acme/bot", declared=[model], outside=outside, revision="r1").source)
        nothing = None if name == "given" else (lambda *_: None)
        if name == "declared":
            model = Model(id="acme/bot")
        kept = {slot: getattr(outside, slot) for slot in Outside.__dataclass_fields__}
        outside = Outside(**{**kept, name: nothing})
    assert sources == [
        "given",
        "declared",
        "beside acme/bot",
        "cached acme/bot r1",
        "online acme/bot r1",
        "loose",
    ]
    assert unknown("acme/bot", outside=outside).reason


def test_the_hub_is_asked_only_where_the_catalogue_is_not_sure() -> None:
    asked: list[tuple[str, str | None]] = []

    def online(model_id: str, revision: str | None) -> ModelFiles | str:
        asked.append((model_id, revision))
        return FILES if len(asked) == 1 else "gone"

    outside = Outside(online=online)
    assert found(LLAMA, outside=outside).architecture.hidden_size == 4096
    assert asked == []
    assert found("Qwen/Qwen2.5-7B-Instruct-AWQ", outside=outside).architecture.hidden_size == 64
    assert found("Qwen/Qwen2.5-7B-Instruct-AWQ", outside=outside).confidence == "medium"
    assert found("openai/gpt-oss-20b", revision="0" * 40, outside=outside).confidence == "medium"
    assert unknown("acme/none", outside=outside).reason.endswith("; gone")
    assert asked[-2:] == [("openai/gpt-oss-20b", "0" * 40), ("acme/none", None)]


def test_a_loose_config_gives_way_to_the_catalogue_and_is_an_assumption() -> None:
    outside = Outside(loose=lambda: FILES)
    assert found(LLAMA, outside=outside).architecture.hidden_size == 4096
    facts = found("/models/x", outside=outside)
    assert facts.confidence == "medium"
    assert facts.assumptions == ("somewhere is taken for the served model's",)


def test_only_ids_of_repositories_are_looked_up_in_the_cache_and_on_the_hub() -> None:
    outside = Outside(cached=lambda *_: pytest.fail("read"), online=lambda *_: pytest.fail("read"))
    unknown("/models/x", outside=outside)
    unknown("s3://bucket/x", outside=outside)
    unknown("${MODEL}", outside=outside)


def test_renamed_organisations_and_copies() -> None:
    renamed = found("neuralmagic/Qwen2.5-7B-Instruct-FP8-dynamic")
    assert renamed.id == "RedHatAI/Qwen2.5-7B-Instruct-FP8-dynamic"
    assert "former name" in renamed.assumptions[0]
    copied = found("unsloth/qwen3-8b")
    assert (copied.id, copied.confidence) == ("Qwen/Qwen3-8B", "medium")
    assert "unsloth/models/mapper.py" in copied.assumptions[0]
    assert found("NousResearch/Meta-Llama-3.1-8B-Instruct").architecture.hidden_size == 4096
    # its own model, not a copy of one of Meta's
    assert found("NousResearch/Hermes-3-Llama-3.1-8B").id == "NousResearch/Hermes-3-Llama-3.1-8B"
    assert unknown("someone/Qwen3-8B").suggestion == "Qwen/Qwen3-8B"


def test_a_copy_in_four_bit_is_no_copy_in_sixteen() -> None:
    facts = found("unsloth/Qwen3-8B-bnb-4bit")
    assert facts.confidence == "low"
    assert facts.architecture.part("quantization_config")["quant_method"] == "bitsandbytes"
    plain = find_architecture("Qwen/Qwen3-8B")
    assert plain is not None
    assert "quantization_config" not in plain.fields


def test_every_copy_is_of_a_model_that_the_catalogue_has() -> None:
    table = _file()["unsloth"]
    assert len(table["same"]) > 100
    for kind in ("same", "nf4"):
        for name, model in table[kind].items():
            assert find_architecture(model) is not None, name
            assert find_architecture(name) is None, name
    for name, model in table["same"].items():
        base = find_architecture(model)
        assert base is not None
        # a copy in 16 bit of a model that is published quantised is another checkpoint
        assert base.part("quantization_config").get("quant_method") in (None, "mxfp4"), name
    assert model_aliases("unsloth") == ()


@pytest.mark.parametrize(
    ("reference", "model_id", "confidence"),
    [
        ("/mnt/models/Qwen/Qwen3-8B", "Qwen/Qwen3-8B", "medium"),
        ("s3://models/qwen/qwen3-8b/", "Qwen/Qwen3-8B", "medium"),
        ("/models/Qwen3-8B", "Qwen/Qwen3-8B", "low"),
        ("gs://bucket/qwen3-8b", "Qwen/Qwen3-8B", "low"),
    ],
)
def test_a_path_that_ends_in_a_models_name(reference: str, model_id: str, confidence: str) -> None:
    facts = found(reference)
    assert (facts.id, facts.confidence) == (model_id, confidence)
    assert "by its name" in facts.assumptions[0]


def test_what_is_not_known_is_told_with_a_reason_and_a_name() -> None:
    assert unknown("${MODEL}").reason == "the manifest does not tell which model it is"
    slip = unknown("meta-lama/Llama-3.1-8B-Instruct")
    assert slip.suggestion == LLAMA
    assert "is not among the" in slip.reason
    assert unknown("Llama-3.1-8B-Instruct").suggestion == LLAMA
    assert unknown("Qwen/Qwen3-8B-Instrukt-XYZ").suggestion is not None
    assert unknown("acme/zzzzzz").suggestion is None
    assert "a directory in the container" in unknown("/models/private").reason
    assert "not a repository of the hub" in unknown("s3://bucket/private").reason


@pytest.mark.parametrize(
    ("model_id", "suggested"),
    [
        ("someone/gemma-4-26B-A4B-it-AWQ-4bit", "google/gemma-4-26B-A4B-it"),
        ("someone/deepseek-r1-distill-qwen-14b-awq", "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"),
        ("someone/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("meta-llama/Llama-3.1-8B-Instrct", LLAMA),
        ("casperhansen/deepseek-r1-distill-qwen-14b-awq", "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"),
        ("google/gemma-4-E2B", "google/gemma-4-E2B-it"),
        ("gpt2", "openai-community/gpt2"),
        ("someone/gpt2-for-something-else-entirely", None),
    ],
)
def test_the_nearest_name(model_id: str, suggested: str | None) -> None:
    assert nearest_id(model_id) == suggested


@pytest.mark.parametrize("at", range(0, len(catalogue_ids()), 40))
def test_a_slip_in_a_name_is_recognised(at: int) -> None:
    model_id = catalogue_ids()[at]
    middle = len(model_id) // 2
    slipped = model_id[:middle] + model_id[middle + 1 :]
    suggested = nearest_id(slipped)
    assert suggested is not None
    assert suggested.split("/")[0][:3] == model_id.split("/")[0][:3] or suggested == model_id


def test_the_size_of_a_checkpoint() -> None:
    files = ModelFiles("x", json.dumps(CONFIG), index='{"metadata": {"total_size": 123}}')
    assert found("acme/bot", outside=Outside(given=files)).checkpoint_bytes == 123
    published = found("google/gemma-3-27b-it")
    assert published.checkpoint_bytes == 54_868_000_000
    assert found("acme/bot", outside=Outside(given=FILES)).checkpoint_bytes is None


@given(reference=st.text("aA0/.:-_@$({ \n", max_size=25), revision=st.none() | st.text("ab0", max_size=3))
def test_any_text_is_answered(reference: str, revision: str | None) -> None:
    answer = find_model(reference, revision=revision, declared=[Model(id="a/b", path="/a")])
    assert isinstance(answer, ModelFacts | UnknownModel)
    assert answer.reference == reference

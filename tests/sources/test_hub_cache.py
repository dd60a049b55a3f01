"""The local Hugging Face cache: its places, its layout, and which commit a revision means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vllmlint.models.lookup import ModelFacts, find_model
from vllmlint.sources.hub_cache import cache_directory, cached_files
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
FIRST, SECOND = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"HF_HUB_CACHE": "/x", "HUGGINGFACE_HUB_CACHE": "/y", "HF_HOME": "/z"}, "/x"),
        ({"HUGGINGFACE_HUB_CACHE": "/y", "HF_HOME": "/z"}, "/y"),
        ({"HF_HOME": "/z", "XDG_CACHE_HOME": "/w"}, "/z/hub"),
        ({"XDG_CACHE_HOME": "/w"}, "/w/huggingface/hub"),
        ({"HOME": "/home/me"}, "/home/me/.cache/huggingface/hub"),
        ({"HF_HOME": "~/hf", "HOME": "/home/me"}, "/home/me/hf/hub"),
        ({"HF_HUB_CACHE": "$SCRATCH/hub", "SCRATCH": "/scratch/me"}, "/scratch/me/hub"),
        ({"HF_HUB_CACHE": "", "HF_HOME": "/z"}, "/z/hub"),
    ],
)
def test_where_the_cache_is(env: dict[str, str], expected: str) -> None:
    assert str(cache_directory(env)) == expected


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A cache with two commits of one model, laid out as huggingface_hub does: snapshots link to blobs."""
    repository = tmp_path / "hub" / "models--acme--tiny"
    (repository / "blobs").mkdir(parents=True)
    for commit, size in ((FIRST, 64), (SECOND, 128)):
        blob = repository / "blobs" / commit
        blob.write_text(CONFIG.replace("64", str(size)), "utf-8")
        (repository / "snapshots" / commit).mkdir(parents=True)
        (repository / "snapshots" / commit / "config.json").symlink_to(blob)
    for name, commit in (("main", SECOND), ("v1", FIRST), ("refs/pr/7", FIRST)):
        ref = repository / "refs" / name
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit, "utf-8")
    return {"HF_HOME": str(tmp_path)}


@pytest.mark.parametrize(
    ("revision", "commit"),
    [
        (None, SECOND),
        ("main", SECOND),
        ("v1", FIRST),
        ("refs/pr/7", FIRST),
        (FIRST, FIRST),
        (FIRST[:9], FIRST),
        ("c" * 40, None),
        ("v2", None),
        ("../../x", None),
        ("", SECOND),
    ],
)
def test_which_commit_a_revision_means(env: dict[str, str], revision: str | None, commit: str | None) -> None:
    files = cached_files("acme/tiny", revision, env)
    assert (files.revision if files else None) == commit
    if files is not None and commit is not None:
        assert ('"hidden_size": 128' in files.config) == (commit == SECOND)
        assert files.source == f"the local hub cache, models--acme--tiny at {commit[:12]}"


def test_what_the_cache_does_not_have(env: dict[str, str], tmp_path: Path) -> None:
    assert cached_files("acme/other", None, env) is None
    assert cached_files("acme/tiny", None, {"HF_HOME": str(tmp_path / "none")}) is None
    (tmp_path / "hub" / "models--acme--tiny" / "snapshots" / SECOND / "config.json").unlink()
    assert cached_files("acme/tiny", None, env) is None


def test_ids_are_found_whatever_their_case(env: dict[str, str]) -> None:
    files = cached_files("ACME/Tiny", None, env)
    assert files is not None


def test_one_commit_without_a_ref_is_the_one_that_is_meant(env: dict[str, str], tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--acme--tiny"
    (repository / "refs" / "main").unlink()
    assert cached_files("acme/tiny", None, env) is None
    (repository / "snapshots" / FIRST / "config.json").unlink()
    (repository / "snapshots" / FIRST).rmdir()
    files = cached_files("acme/tiny", None, env)
    assert files is not None
    assert files.revision == SECOND


def test_the_lookup_reads_the_cache_unless_it_may_not(env: dict[str, str]) -> None:
    facts = find_model("acme/tiny", revision="v1", outside=models_outside(env=env))
    assert isinstance(facts, ModelFacts)
    assert (facts.architecture.hidden_size, facts.confidence) == (64, "high")
    without = find_model("acme/tiny", outside=models_outside(env=env, use_cache=False))
    assert not isinstance(without, ModelFacts)

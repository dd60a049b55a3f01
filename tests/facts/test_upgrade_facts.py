"""The dated tables behind the upgrade plan: dated, sourced, and in step with the tables of vLLM."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from vllmlint.facts.default_changes import derived_defaults, flag_defaults, gpu_tier
from vllmlint.facts.metrics import find_metric, metrics
from vllmlint.facts.probe_endpoints import dead_engine_answers, endpoint, guarded_prefixes
from vllmlint.facts.replacements import renamed_keys, replacement_names, replacement_texts
from vllmlint.serving.flag_tables import env_history, env_table, flag_history, flag_table
from vllmlint.serving.release import Release, known_releases

FILES = ("metrics", "probe_endpoints", "replacements", "default_changes")
NEWEST = known_releases()[-1]


def _rows(value: Any) -> list[dict[str, Any]]:
    """Every mapping that names a release, at any depth."""
    found = []
    if isinstance(value, dict):
        found += [value] if {"since", "removed_in"} & value.keys() else []
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            found += _rows(item)
    return found


@pytest.mark.parametrize("name", FILES)
def test_file_is_dated_and_explained(name: str) -> None:
    """A fact without a date or a word on what it means is no fact."""
    loaded = json.loads(files("vllmlint.facts").joinpath(f"{name}.json").read_text("utf-8"))
    assert len(loaded["date"]) == 10
    assert loaded["about"]
    for row in _rows(loaded):
        for key in ("since", "hidden_since", "removed_in", "v0_until", "deprecated_in"):
            assert row.get(key) is None or Release.parse(row[key]) is not None, row


def test_metrics_are_sourced_and_replaced_by_what_exists() -> None:
    """A replacement is never one that is gone itself, and releases are in order."""
    for metric in metrics().values():
        assert metric.source
        steps = [Release.parse(one) for one in (metric.since, metric.hidden_since, metric.removed_in) if one]
        assert steps == sorted(step for step in steps if step is not None)
        if metric.removed_in and metric.replacement:
            found = find_metric(metric.replacement)
            assert found is None or found[0].removed_in is None


@pytest.mark.parametrize(
    ("series", "name", "suffix"),
    [
        ("gpu_cache_usage_perc", "gpu_cache_usage_perc", ""),
        ("time_per_output_token_seconds_bucket", "time_per_output_token_seconds", "_bucket"),
        ("gpu_prefix_cache_hits_total", "gpu_prefix_cache_hits", "_total"),
        ("kv_offload_total_bytes", "kv_offload_total_bytes", ""),
    ],
)
def test_series_is_traced_to_its_metric(series: str, name: str, suffix: str) -> None:
    """What the client library appends is told from the declared name."""
    found = find_metric(series)
    assert found is not None
    assert (found[0].name, found[1]) == (name, suffix)


@pytest.mark.parametrize("series", ["num_requests_running", "iteration_tokens_total_sum", "mine"])
def test_lasting_series_is_not_in_the_table(series: str) -> None:
    """Only metrics that some release lacks are listed."""
    assert find_metric(series) is None


def test_endpoints() -> None:
    """Paths, guarded prefixes and the health of a dead engine, as the notes have them."""
    health, ping = endpoint("/health"), endpoint("/ping")
    assert health is not None
    assert health.since is None
    assert ping is not None
    assert ping.since == "0.7.0"
    assert endpoint("/readyz") is None
    assert [(one.prefix, one.since) for one in guarded_prefixes()] == [
        ("/v1", None),
        ("/v2", "0.22.0"),
        ("/inference", "0.22.0"),
        ("/cohere", "0.27.0"),
    ]
    assert [one.since for one in dead_engine_answers("/health")] == [None, "0.8.0", "0.9.2", "0.11.0"]
    assert dead_engine_answers("/metrics") == ()


def test_replaced_flags_and_variables_are_really_gone() -> None:
    """Every row is of a name that some release had and the newest lacks, or calls something else."""
    for name in replacement_names("flags"):
        history = flag_history(name)
        assert history is not None, name
        assert history.removed_in is not None, name
    for name in replacement_names("env"):
        assert env_history(name) is not None, name
        assert not env_table(NEWEST).knows(name), name


def test_replacement_texts_name_flags_of_the_newest_release() -> None:
    """A text that starts with a dash names a flag that exists."""
    for kind in ("flags", "env"):
        for name in replacement_names(kind):
            for text in replacement_texts(kind, name, "1"):
                flag = text.partition("=")[0].partition(".")[0]
                assert not text.startswith("-") or flag_table(NEWEST).get(flag) is not None, (name, text)


def test_replacement_texts_fill_in_the_value() -> None:
    """A single value's text comes first; without a value the texts that need one are left out."""
    assert replacement_texts("flags", "--task", "embed")[0] == "--convert=embed"
    assert replacement_texts("flags", "--num-redundant-experts", None) == ()
    assert replacement_texts("flags", "--port", "1") == ()
    (text,) = replacement_texts("env", "VLLM_TORCH_PROFILER_DIR", "/p{x}")
    assert json.loads(text.partition("=")[2]) == {"profiler": "torch", "torch_profiler_dir": "/p{x}"}
    assert renamed_keys("--compilation-config") == {"level": "mode"}
    assert renamed_keys("--port") == {}


def test_reviewed_defaults_do_change() -> None:
    """A flag is in the list because its default differs between some releases."""
    for name in flag_defaults():
        specs = [flag_table(one).spec(name) for one in known_releases() if name in flag_table(one).names]
        assert len({json.dumps(spec.default) for spec in specs}) > 1, name


def test_derived_defaults_are_in_order_and_sourced() -> None:
    """The first step holds from the oldest release on; every tier has a value at every step."""
    for fact in derived_defaults():
        assert fact.source
        assert fact.steps[0][0] is None
        later = [Release.parse(since) for since, _ in fact.steps if since is not None]
        assert later == sorted(one for one in later if one is not None)
        tiers = {tuple(value) for _, value in fact.steps if isinstance(value, dict)}
        assert len(tiers) <= 1


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        ("NVIDIA-H100-80GB-HBM3", "70"),
        ("nvidia-h100-mega-80gb", "70"),
        ("NVIDIA-A100-SXM4-80GB", "a100-80"),
        ("nvidia-tesla-a100", "small"),
        ("NVIDIA-A100-PCIE-40GB", "small"),
        ("nvidia-l4", "small"),
        ("NVIDIA-L40S", "small"),
        ("NVIDIA-B200", "160"),
        ("AMD_Instinct_MI300X", "160"),
        ("amd-mi300x", "160"),
        ("p5.48xlarge", "70"),
        ("g6e.12xlarge", "small"),
        ("linux", None),
    ],
)
def test_gpu_in_a_selector(text: str, tier: str | None) -> None:
    """Labels of device plugins and instance types tell the class of GPU."""
    assert gpu_tier(text) == tier

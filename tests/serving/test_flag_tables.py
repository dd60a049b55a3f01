"""The flag and environment tables, and the scripts that build them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from vllmlint.serving.flag_tables import env_history, env_table, flag_history, flag_table
from vllmlint.serving.release import Release, known_releases

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT.parent / "shared" / "data" / "vllm" / "args"


def release(tag: str) -> Release:
    found = Release.parse(tag)
    assert found is not None
    return found


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_shipped_tables_are_what_the_script_builds() -> None:
    if not SOURCE.is_dir():
        pytest.skip("the per-release tables (../shared/data/vllm/args) are not here")
    built = script("build_vllm_tables").build(SOURCE)
    for name, content in built.items():
        assert (ROOT / "schemas" / "vllm" / name).read_text("utf-8") == content, f"{name} is out of date"


def test_tables_say_what_the_release_files_say() -> None:
    if not SOURCE.is_dir():
        pytest.skip("the per-release tables (../shared/data/vllm/args) are not here")
    for tag in ("0.6.3.post1", "0.9.2", "0.15.1", "0.33.0"):
        source = json.loads((SOURCE / f"{tag}.json").read_text("utf-8"))
        table = flag_table(release(tag))
        assert set(table.names) == set(source["flags"])
        for name, row in source["flags"].items():
            spec = table.spec(name)
            assert (spec.type, spec.default) == (row["type"], row.get("default"))
            assert list(spec.choices) == row.get("choices", [])
            assert list(spec.known) == row.get("known", [])
        environment = env_table(release(tag))
        assert set(environment.declared) == set(source["env"])
        assert environment.mentioned == set(source["env_other"])


def test_runs_skip_gaps() -> None:
    runs = script("build_vllm_tables").runs
    assert runs([None, 1, 1, None, 1, 2]) == [[1, 2, 1], [4, 4, 1], [5, 5, 2]]


def test_build_needs_its_input(tmp_path: Path) -> None:
    assert script("build_vllm_tables").main([str(tmp_path)]) == 2
    assert script("build_vllm_config_tables").main([str(tmp_path)]) == 2


def test_config_fields_are_read_from_sources(tmp_path: Path) -> None:
    package = tmp_path / "0.20.0" / "vllm" / "config"
    package.mkdir(parents=True)
    package.joinpath("kv.py").write_text(
        "Role = Literal['a', 'b']\n"
        "class Mode(enum.IntEnum):\n    NONE = 0\n    FULL = 1\n"
        "@config\nclass KVTransferConfig:\n"
        "    role: Role | None = None\n    port: int = 1\n    mode: Mode = Mode.NONE\n"
        "    extra: dict[str, Any] = field(default_factory=dict)\n"
        "    loose: int = 1\n    late: bool = None\n    known: ClassVar[int] = 1\n"
        "    @field_validator('loose', 'mode', mode='before')\n"
        "    def check(cls, value):\n        return value\n",
        "utf-8",
    )
    target = tmp_path / "config.json"
    assert script("build_vllm_config_tables").main([str(tmp_path), str(target)]) == 0
    built = json.loads(target.read_text("utf-8"))
    assert built["releases"] == ["0.20.0"]
    assert built["classes"]["KVTransferConfig"] == [
        [
            0,
            0,
            {
                "extra": ["any"],
                "late": ["bool", "none"],
                "loose": ["any"],
                "mode": [{"enum": ["NONE", "FULL"]}],
                "port": ["int"],
                "role": [{"choices": ["a", "b"]}, "none"],
            },
        ]
    ]


def test_lookup_by_any_spelling() -> None:
    table = flag_table(release("0.33.0"))
    names = ("--tensor-parallel-size", "--tensor_parallel_size", "tensor_parallel_size", "-tp")
    assert [spec.name for name in names if (spec := table.get(name))] == ["--tensor-parallel-size"] * 4
    negation = table.get("--no-enable-prefix-caching")
    assert negation is not None
    assert negation.name == "--enable-prefix-caching"
    assert table.get("--swap-space") is None
    assert table.prefixed("--swap", "serve") == []
    assert table.prefixed("--tensor-p", "serve") == ["--tensor-parallel-size"]
    with pytest.raises(KeyError):
        table.spec("--swap-space")


def test_entrypoints_differ_where_a_flag_is_of_one_only() -> None:
    table = flag_table(release("0.9.2"))
    assert "--headless" in table.options("serve")
    assert "--headless" not in table.options("module")


def test_spec_says_what_the_parser_does() -> None:
    table = flag_table(release("0.33.0"))
    length = table.spec("--max-model-len")
    assert (length.key, length.human, length.takes_value) == ("max_model_len", "int_or_auto", True)
    assert not table.spec("--enforce-eager").takes_value
    assert flag_table(release("0.6.6")).spec("--enable-chunked-prefill").takes_value


def test_histories() -> None:
    swap = flag_history("swap_space")
    assert swap is not None
    assert (swap.last, swap.removed_in) == ("0.17.1", "0.18.0")
    graphs = flag_history("--cuda-graph-sizes")
    assert graphs is not None
    assert graphs.replacement == "--cudagraph-capture-sizes"
    negation = flag_history("--no-enable-lora")
    assert negation is not None
    assert negation.name == "--enable-lora"
    assert flag_history("--no-such-flag") is None
    v1 = env_history("VLLM_USE_V1")
    assert v1 is not None
    assert v1.removed_in == "0.11.1"
    assert env_history("VLLM_NO_SUCH") is None


def test_environment() -> None:
    table = env_table(release("0.33.0"))
    verbose = table.get("VLLM_BATCH_INVARIANT")
    assert verbose is not None
    assert "true" in verbose.error
    assert table.knows("VLLM_API_KEY")
    assert not table.knows("VLLM_USE_V1")
    assert env_table(release("0.10.2")).knows("VLLM_USE_V1")


def test_every_table_loads() -> None:
    for each in known_releases():
        table = flag_table(each)
        assert table.release == each
        for name in table.names:
            assert table.spec(name).name == name
            assert "--help" in table.options("serve")

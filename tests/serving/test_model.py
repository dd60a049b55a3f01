"""What a model's name stands for."""

from __future__ import annotations

import pytest

from vllmlint.serving.model import classify_model


@pytest.mark.parametrize(
    ("text", "id_", "kind"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct", "hub"),
        ("gpt2", "gpt2", "hub"),
        ("01-ai/Yi-1.5", "01-ai/Yi-1.5", "hub"),
        ("hf://org/name", "org/name", "hub"),
        ("hf://org/name/", "org/name", "hub"),
        ("/models/llama", "/models/llama", "path"),
        ("./llama", "./llama", "path"),
        ("../llama", "../llama", "path"),
        ("~/llama", "~/llama", "path"),
        ("models/llama/8b", "models/llama/8b", "path"),
        ("s3://bucket/llama", "s3://bucket/llama", "url"),
        ("gs://bucket/llama", "gs://bucket/llama", "url"),
        ("https://example.com/x.gguf", "https://example.com/x.gguf", "url"),
        ("${MODEL}", "${MODEL}", "unknown"),
        ("$(MODEL)", "$(MODEL)", "unknown"),
        ("$MODEL", "$MODEL", "unknown"),
        ("{{ .model }}", "{{ .model }}", "unknown"),
        ("/models/$NAME", "/models/$NAME", "unknown"),
        ("<model>", "<model>", "unknown"),
        ("a\0b", "a\0b", "unknown"),
        ("", "", "unknown"),
        (None, "", "unknown"),
        ("my model", "my model", "unknown"),
    ],
)
def test_kinds(text: str | None, id_: str, kind: str) -> None:
    assert classify_model(text) == (id_, kind)

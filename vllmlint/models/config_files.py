"""The files of a checkpoint that say what it is, as texts."""

from __future__ import annotations

from vllmlint.record import record

#: The files of a checkpoint that say what it is, and the field of `ModelFiles` that holds each.
CONFIG_FILE = "config.json"
INDEX_FILE = "model.safetensors.index.json"
HF_QUANT_FILE = "hf_quant_config.json"


@record
class ModelFiles:
    """What was read of one checkpoint: texts as they lie in the files, `source` in words for people.

    `index` is model.safetensors.index.json, `hf_quant_config` ModelOpt's separate file, `revision` the commit
    that the files belong to. `total_bytes` is the size of the weight files where somebody else tells it.
    """

    source: str
    config: str
    index: str | None = None
    hf_quant_config: str | None = None
    revision: str | None = None
    total_bytes: int | None = None
    gated: bool | None = None

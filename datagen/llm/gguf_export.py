"""The embedded model as a Hugging Face folder, for engines and trainers that read those.

transformers turns the GGUF's quantised tensors back into bfloat16 (``gguf_file``); what it then
marks as quantised, and refuses to save, is unmarked first.
"""

from __future__ import annotations

import os
from pathlib import Path

from datagen.errors import ConfigError


def export_hf(gguf: Path, out: Path) -> Path:
    """Write ``gguf`` as the Hugging Face folder ``out``, its chat template included.

    Takes about half a minute and 2 GB of memory for the embedded model.

    Raises:
        ConfigError: transformers or what it needs is missing, or ``out`` is not empty or cannot be
            written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is not an empty folder: name a new one")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import accelerate as _accelerate  # noqa: F401
        import gguf as _gguf  # noqa: F401
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise ConfigError(
            f"exporting needs {error.name}: pip install 'datagen[train]' (a CPU torch will do)"
        ) from None
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16)
    del model.config.quantization_config
    model.hf_quantizer, model.is_quantized = None, False
    try:
        model.save_pretrained(out)
        AutoTokenizer.from_pretrained(**source).save_pretrained(out)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}") from None
    return out

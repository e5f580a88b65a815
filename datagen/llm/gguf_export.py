"""The embedded model as a Hugging Face folder, for engines and trainers that read those.

Reads the GGUF file with the ``gguf`` package and writes safetensors and JSON itself: neither
torch nor transformers is needed. llama.cpp's converter reorders the rows of the query and key
weights for its rotary embedding (``LlamaModel.permute`` in convert_hf_to_gguf.py); that is undone
here. https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from datagen.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OTHER_PARTS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
CONTROL_TOKEN = 3
"""GGUF's token type of tokens such as <|im_end|>."""

Field = Callable[[str], Any]


def export_hf(gguf: Path, out: Path) -> Path:
    """Write ``gguf`` as the Hugging Face folder ``out`` (bfloat16, chat template included).

    Takes 10 seconds, 270 MB of disk and 0.6 GB of memory for the embedded model. The folder appears
    whole or not at all.

    Raises:
        ConfigError: ``gguf`` (the package) is missing, the file is of another kind than the
            embedded model, or ``out`` is not empty or cannot be written.
    """
    try:
        from gguf import GGUFReader
    except ImportError:
        raise ConfigError("exporting needs gguf: pip install 'datagen[local]'") from None
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is not an empty folder: name a new one")
    try:
        reader = GGUFReader(gguf)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise ConfigError(f"{gguf} is not a GGUF file: {error}") from None

    def field(name: str) -> Any:
        found = reader.get_field(name)
        return None if found is None else found.contents()

    _check_kind(gguf, field)
    partial = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        partial.mkdir(parents=True)
        _write_tensors(partial / "model.safetensors", reader.tensors, field)
        for name, content in _texts(field, tied=not _has_head(reader.tensors)).items():
            (partial / name).write_text(content, encoding="utf-8")
        partial.replace(out)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def _check_kind(path: Path, field: Field) -> None:
    kind = tuple(
        field(name)
        for name in ("general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre")
    )
    if kind != ("llama", "gpt2", "smollm"):
        raise ConfigError(
            f"{path} holds a model of the kind {kind}: only the embedded model's kind is exported; "
            "take this one's own Hugging Face folder"
        )


# ---- weights -----------------------------------------------------------------------------------


def _has_head(tensors: list[Any]) -> bool:
    """Whether the output layer has weights of its own; else the embedding serves for both."""
    return any(tensor.name == "output.weight" for tensor in tensors)


def _write_tensors(path: Path, tensors: list[Any], field: Field) -> None:
    """safetensors: the header's length, a JSON header with offsets, then the bytes in order."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + 2 * int(tensor.n_elements)
        shape = [int(size) for size in reversed(tensor.shape)]
        header[_name(tensor.name)] = {
            "dtype": "BF16",
            "shape": shape,
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            _write_tensor(file, tensor, field)


def _write_tensor(file: BinaryIO, tensor: Any, field: Field) -> None:
    from gguf.quants import dequantize

    weights = dequantize(tensor.data, tensor.tensor_type)
    if tensor.name.endswith("attn_q.weight"):
        weights = _unpermute(weights, field("llama.attention.head_count"))
    elif tensor.name.endswith("attn_k.weight"):
        weights = _unpermute(weights, field("llama.attention.head_count_kv"))
    file.write(_bfloat16(weights).tobytes())


def _unpermute(weights_OI: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of each head from interleaved pairs back to two halves (``weights_OI``: out, in)."""
    rows, columns = weights_OI.shape
    pairs = weights_OI.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def _bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper half of each float32, rounded to the nearest, ties to even."""
    import numpy as np

    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)


def _name(gguf_name: str) -> str:
    """``blk.3.attn_q.weight`` is ``model.layers.3.self_attn.q_proj.weight`` to transformers."""
    if gguf_name in OTHER_PARTS:
        return OTHER_PARTS[gguf_name]
    try:
        _, layer, part, kind = gguf_name.split(".")
        return f"model.layers.{int(layer)}.{BLOCK_PARTS[part]}.{kind}"
    except (ValueError, KeyError):
        raise ConfigError(f"a tensor that no Llama model has: {gguf_name!r}") from None


# ---- texts -------------------------------------------------------------------------------------


def _texts(field: Field, tied: bool) -> dict[str, str]:
    """The JSON files by name, and the chat template."""
    ids = {
        "bos_token_id": field("tokenizer.ggml.bos_token_id"),
        "eos_token_id": field("tokenizer.ggml.eos_token_id"),
        "pad_token_id": field("tokenizer.ggml.padding_token_id"),
    }
    template = field("tokenizer.chat_template")
    files = {
        "config.json": {**_config(field, tied), **ids},
        "generation_config.json": ids,
        "tokenizer.json": _tokenizer(field),
        "tokenizer_config.json": _tokenizer_config(field, ids, template),
    }
    texts = {name: json.dumps(value, ensure_ascii=False) for name, value in files.items()}
    return {**texts, "chat_template.jinja": template}


def _config(field: Field, tied: bool) -> dict[str, Any]:
    width, heads = field("llama.embedding_length"), field("llama.attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": field("llama.vocab_size"),
        "hidden_size": width,
        "head_dim": width // heads,
        "intermediate_size": field("llama.feed_forward_length"),
        "num_hidden_layers": field("llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": field("llama.attention.head_count_kv"),
        "max_position_embeddings": field("llama.context_length"),
        "rms_norm_eps": field("llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": field("llama.rope.freq_base"),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
    }


def _tokenizer(field: Field) -> dict[str, Any]:
    """tokenizer.json: byte-level BPE with single digits (llama.cpp calls this splitting "smollm").

    The split: https://github.com/ggml-org/llama.cpp/blob/b6000/src/llama-vocab.cpp#L365-L373
    """
    tokens, kinds = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    control = [i for i, kind in enumerate(kinds) if kind == CONTROL_TOKEN]
    bytes_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    digits = {"type": "Digits", "individual_digits": True}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": tokens[i], **plain, "special": True} for i in control
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [digits, {**bytes_level, "use_regex": True}],
        },
        "post_processor": None,
        "decoder": {**bytes_level, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": field("tokenizer.ggml.merges"),
        },
    }


def _tokenizer_config(field: Field, ids: dict[str, int], template: str) -> dict[str, Any]:
    tokens = field("tokenizer.ggml.tokens")
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[ids["bos_token_id"]],
        "eos_token": tokens[ids["eos_token_id"]],
        "pad_token": tokens[ids["pad_token_id"]],
        "model_max_length": field("llama.context_length"),
        "clean_up_tokenization_spaces": False,
        "add_prefix_space": False,
        "chat_template": template,
    }

"""The embedded model as a Hugging Face folder: whole, loadable, and saying the same."""

import asyncio
import json
import warnings

import pytest

from datagen.errors import ConfigError
from datagen.llm import ModelConfig, Request
from datagen.llm.gguf_export import export_hf
from datagen.llm.model_files import MODEL_NAME, find_model

gguf = pytest.importorskip("gguf", reason="the local extra is not installed")
np = pytest.importorskip("numpy")
needs_model = pytest.mark.skipif(find_model() is None, reason="datagen model pull was not run")

HEADS, KV_HEADS, WIDTH, HIDDEN, LAYERS = 4, 2, 32, 64, 2
TOKENS = ["<|im_start|>", "<|im_end|>", "a", "b", "ab"]
AWKWARD = [
    "Hello, world",
    "  two spaces\tand a tab\n\n",
    "12345 + 67.89 = ?",
    "def f(x):\n    return x**2  # naïve",
    "漢字と仮名 한국어",
    "emoji 👩‍👩‍👧 and é",
    "I'll they'd we've",
]


def write_gguf(path, pre="smollm", extra=None):
    """A tiny model of the embedded model's kind; returns its weights by name."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 1, 1, 1])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(1)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    kv = WIDTH * KV_HEADS // HEADS
    shapes = {"token_embd.weight": (len(TOKENS), WIDTH), "output_norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.{part}.weight": shape
            for part, shape in {
                "attn_norm": (WIDTH,),
                "attn_q": (WIDTH, WIDTH),
                "attn_k": (kv, WIDTH),
                "attn_v": (kv, WIDTH),
                "attn_output": (WIDTH, WIDTH),
                "ffn_norm": (WIDTH,),
                "ffn_gate": (HIDDEN, WIDTH),
                "ffn_up": (HIDDEN, WIDTH),
                "ffn_down": (WIDTH, HIDDEN),
            }.items()
        }
    shapes |= extra or {}
    draw = np.random.default_rng(0)
    weights = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, values in weights.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def read_safetensors(path):
    """By the format's own definition: 8 bytes of header length, a JSON header, the bytes."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__")
    found = {}
    for name, entry in header.items():
        start, end = (8 + size + offset for offset in entry["data_offsets"])
        upper = np.frombuffer(data[start:end], "<u2").astype(np.uint32) << 16
        found[name] = upper.view(np.float32).reshape(entry["shape"])
    return found, len(data) - 8 - size


def as_llama_cpp_orders(weights, heads):
    """convert_hf_to_gguf.py's permute, written naively: row i of the first half of a head becomes
    its row 2i, row i of the second half its row 2i + 1."""
    out = np.empty_like(weights)
    size = len(weights) // heads
    for head in range(heads):
        for i in range(size // 2):
            out[head * size + 2 * i] = weights[head * size + i]
            out[head * size + 2 * i + 1] = weights[head * size + size // 2 + i]
    return out


def test_every_weight_is_there_within_bfloat16s_rounding(tmp_path):
    weights = write_gguf(tmp_path / "tiny.gguf")
    out = export_hf(tmp_path / "tiny.gguf", tmp_path / "hf")
    found, size = read_safetensors(out / "model.safetensors")
    assert len(found) == len(weights) == 2 + 9 * LAYERS
    assert size == 2 * sum(values.size for values in weights.values())
    pairs = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.layers.1.mlp.down_proj.weight": "blk.1.ffn_down.weight",
        "model.layers.1.self_attn.v_proj.weight": "blk.1.attn_v.weight",
        "model.layers.0.post_attention_layernorm.weight": "blk.0.ffn_norm.weight",
    }
    for name, original in pairs.items():
        # bfloat16 keeps 8 significant bits: rounded to the nearest, the error is below 2^-8.
        np.testing.assert_allclose(found[name], weights[original], rtol=2**-8)
    assert not np.array_equal(found["model.embed_tokens.weight"], weights["token_embd.weight"])


def test_query_and_key_rows_are_in_transformers_order(tmp_path):
    weights = write_gguf(tmp_path / "tiny.gguf")
    out = export_hf(tmp_path / "tiny.gguf", tmp_path / "hf")
    found, _ = read_safetensors(out / "model.safetensors")
    for part, heads in (("q", HEADS), ("k", KV_HEADS)):
        exported = found[f"model.layers.1.self_attn.{part}_proj.weight"]
        back = as_llama_cpp_orders(exported, heads)
        np.testing.assert_allclose(back, weights[f"blk.1.attn_{part}.weight"], rtol=2**-8)


def test_ties_round_to_even(tmp_path):
    from datagen.llm.gguf_export import _bfloat16

    # 1 + 2^-8 lies between 1 (0x3F80) and 1 + 2^-7 (0x3F81): the even one is 0x3F80.
    # 1 + 3 * 2^-8 lies between 0x3F81 and 0x3F82: the even one is 0x3F82.
    values = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -1.0], np.float32)
    assert [hex(v) for v in _bfloat16(values)] == ["0x3f80", "0x3f80", "0x3f82", "0xbf80"]


def test_an_output_layer_of_its_own_is_kept(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", extra={"output.weight": (len(TOKENS), WIDTH)})
    out = export_hf(tmp_path / "tiny.gguf", tmp_path / "hf")
    assert "lm_head.weight" in read_safetensors(out / "model.safetensors")[0]
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False


def test_another_kind_of_model_is_refused_and_leaves_nothing(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", pre="llama-bpe")
    with pytest.raises(ConfigError, match="only the embedded model's kind"):
        export_hf(tmp_path / "tiny.gguf", tmp_path / "hf")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.gguf"]


def test_a_tensor_that_no_llama_has_is_refused_and_leaves_nothing(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", extra={"blk.0.ffn_gate_inp.weight": (4, WIDTH)})
    with pytest.raises(ConfigError, match="ffn_gate_inp"):
        export_hf(tmp_path / "tiny.gguf", tmp_path / "hf")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.gguf"]


def test_a_folder_with_something_in_it_is_not_written_to(tmp_path):
    write_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="not an empty folder"):
        export_hf(tmp_path / "tiny.gguf", tmp_path / "hf")
    assert [path.name for path in (tmp_path / "hf").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("content", [b"", b"not a model", b"GGUF" + b"\xff" * 100])
def test_a_file_that_is_no_model_is_one_clear_line(tmp_path, content):
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(ConfigError, match="is not a GGUF file"):
        export_hf(tmp_path / "x.gguf", tmp_path / "hf")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return export_hf(find_model(), tmp_path_factory.mktemp("hf") / "smollm2")


async def embedded(use):
    """``use(llm)`` on the embedded model, served as a file: without the demo's penalties."""
    from datagen.llm.local import start_local

    llm = await start_local(ModelConfig(model=str(find_model()), concurrency=1))
    try:
        return await use(llm)
    finally:
        await llm.close()


async def llama_cpp_tokens(llm, texts):
    """Each text's token ids by llama.cpp's own tokenizer."""
    import aiohttp

    url = llm._client._admission._lanes[0].url.split("/v1/")[0]
    async with aiohttp.ClientSession(headers=llm._client._headers) as session:
        found = []
        for text in texts:
            async with session.post(f"{url}/tokenize", json={"content": text}) as reply:
                found.append((await reply.json())["tokens"])
        return found


@needs_model
@pytest.mark.slow
def test_its_tokenizer_is_llama_cpps(folder):
    pytest.importorskip("xllamacpp", reason="the local extra is not installed")
    tokenizers = pytest.importorskip("tokenizers", reason="transformers is not installed")
    ours = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    expected = asyncio.run(embedded(lambda llm: llama_cpp_tokens(llm, AWKWARD)))
    assert [ours.encode(text).ids for text in AWKWARD] == expected
    assert [ours.decode(ids) for ids in expected] == AWKWARD


@needs_model
@pytest.mark.slow
def test_its_special_tokens_are_single_tokens(folder):
    tokenizers = pytest.importorskip("tokenizers", reason="transformers is not installed")
    ours = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert ours.encode("<|im_start|>").ids == [1] and ours.encode("<|im_end|>").ids == [2]


@pytest.fixture(scope="module")
def loaded(folder):
    """(model, tokenizer) by transformers, offline."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("torch", reason="torch is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return model.float(), tokenizer


def prompt_of(tokenizer, question):
    import torch

    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    return torch.tensor([tokenizer(text, add_special_tokens=False).input_ids])


@needs_model
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_transformers_loads_it_and_it_knows_paris(loaded):
    model, tokenizer = loaded
    prompt = prompt_of(tokenizer, "What is the capital of France? One sentence.")
    made = model.generate(prompt, max_new_tokens=16, do_sample=False)[0, prompt.shape[1] :]
    assert tokenizer.decode(made).startswith("The capital of France is Paris.")


@needs_model
@pytest.mark.slow
def test_its_next_token_is_as_likely_as_to_llama_cpp(loaded):
    """llama.cpp rounds activations to 8 bits: 0.11 nats apart at most on these when measured.
    Rows in the wrong order put whole nats between them."""
    pytest.importorskip("xllamacpp", reason="the local extra is not installed")
    import torch

    model, tokenizer = loaded
    questions = ["Write a poem about rain.", "How many days are in a week?", "Name a fruit."]

    async def ask(llm):
        asked = [[{"role": "user", "content": question}] for question in questions]
        return [
            await llm.answer(
                Request(MODEL_NAME, messages, temperature=0.0, max_tokens=1, logprobs=True)
            )
            for messages in asked
        ]

    for question, answer in zip(questions, asyncio.run(embedded(ask)), strict=True):
        prompt = prompt_of(tokenizer, question)
        assert answer.prompt_tokens == prompt.shape[1]
        with torch.no_grad():
            likely = torch.log_softmax(model(prompt).logits[0, -1], -1)
        (token,) = tokenizer(answer.text, add_special_tokens=False).input_ids
        assert abs(float(likely[token]) - answer.logprobs[0]) < 0.3, question

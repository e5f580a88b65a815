"""The embedded engine: a real model on the CPU."""

import asyncio
import json

import pytest

from datagen.errors import BackendError, ConfigError, Refused
from datagen.llm import ModelConfig, Request, open_llm
from datagen.llm.model_files import MODEL_NAME, find_model

pytest.importorskip("xllamacpp", reason="the local extra is not installed")
needs_model = pytest.mark.skipif(find_model() is None, reason="datagen model pull was not run")


def with_model(use, **config):
    async def main():
        llm = await open_llm(ModelConfig(engine="local", **config))
        try:
            return await use(llm)
        finally:
            await llm.close()

    return asyncio.run(main())


def request(text, **more):
    return Request(MODEL_NAME, [{"role": "user", "content": text}], **{"max_tokens": 24, **more})


@needs_model
def test_a_real_answer_within_seconds():
    async def use(llm):
        assert llm.model == MODEL_NAME
        return await llm.answer(request("What is the capital of France?", temperature=0.0))

    answer = with_model(use)
    assert "Paris" in answer.text
    assert answer.prompt_tokens > 5 and 0 < answer.completion_tokens <= 24


@needs_model
def test_a_schema_is_enforced_by_grammar():
    schema = {
        "type": "object",
        "properties": {"skills": {"type": "array", "items": {"type": "string"}, "maxItems": 3}},
        "required": ["skills"],
        "additionalProperties": False,
    }

    async def use(llm):
        ask = request("Name three skills of a cook.", schema=schema, max_tokens=200, seed=3)
        return await llm.answer(ask)

    answer = with_model(use)
    assert answer.finish_reason == "length" or len(json.loads(answer.text)["skills"]) <= 3


@needs_model
def test_a_prompt_longer_than_the_context_is_refused_and_the_next_is_answered():
    async def use(llm):
        with pytest.raises(Refused, match="HTTP 400"):
            await llm.answer(request("word " * 9000))
        return await llm.answer(request("Hello", temperature=0.0))

    assert with_model(use).text


@needs_model
def test_the_process_is_gone_after_close():
    async def use(llm):
        return llm._process

    assert with_model(use).returncode is not None


@needs_model
def test_a_process_that_dies_is_one_clear_line():
    async def use(llm):
        asking = asyncio.create_task(llm.answer(request("Tell a long story.", max_tokens=400)))
        await asyncio.sleep(0.5)
        llm._process.kill()
        with pytest.raises(BackendError, match="run the same command again"):
            await asking

    with_model(use)


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"not a model")
    with pytest.raises(BackendError, match=r"llama\.cpp cannot serve .*x\.gguf"):
        with_model(None, model=str(tmp_path / "x.gguf"))


def test_a_file_that_is_not_there():
    with pytest.raises(ConfigError, match="takes a GGUF file"):
        with_model(None, model="/nonexistent/model.gguf")


@needs_model
@pytest.mark.slow
def test_a_seed_gives_the_same_text_twice():
    ask = request("Tell a story about a lamp.", temperature=0.8, seed=11, max_tokens=60)

    async def use(llm):
        return [(await llm.answer(ask)).text for _ in range(2)]

    one, two = with_model(use, concurrency=1)
    assert one == two


@needs_model
@pytest.mark.slow
def test_the_demo_run_makes_rows_from_the_command_line(tmp_path):
    from command import datagen

    result = datagen("skillmix", "--n", 4, "--tries", 6, "--out", tmp_path / "run", timeout=600)
    assert result.returncode in (0, 3), result.stderr
    assert "embedded demo model" in result.stderr
    rows = (tmp_path / "run/dataset/train.jsonl").read_text().splitlines()
    assert 1 <= len(rows) <= 4
    assert (tmp_path / "run/report.html").exists()

"""vLLM in process on a real model (the embedded one, exported); run with -m vllm."""

import asyncio
import dataclasses
import json
import multiprocessing
import os
import signal

import pytest

from datagen.errors import BackendError, ConfigError, Drained, Refused
from datagen.llm import ModelConfig, Request, open_llm
from datagen.llm.model_files import find_model
from datagen.llm.vllm import ARGUMENTS, VLLM

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]
LONGEST = 1024


@pytest.fixture(scope="session")
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The embedded model as a Hugging Face folder with a short context."""
    pytest.importorskip("vllm", reason="vllm is not installed")
    pytest.importorskip("gguf", reason="the model cannot be exported without gguf")
    found = find_model()
    if found is None:
        pytest.skip("the embedded model is not here: datagen model pull")
    from datagen.llm.gguf_export import export_hf

    out = export_hf(found, tmp_path_factory.mktemp("hf") / "smollm2")
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, "max_position_embeddings": LONGEST}))
    return out


@pytest.fixture(scope="session")
def llm(folder, loop):
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"
    engine = loop.run_until_complete(
        open_llm(ModelConfig(engine="vllm", model=str(folder), concurrency=8))
    )
    yield engine
    loop.run_until_complete(engine.close())


def front(llm, **config):
    """Another client of the same engine, with settings of its own."""
    return VLLM(llm.model, llm._engine, llm._tokenizer, ModelConfig(**config))


def request(text, **more):
    return Request("m", [{"role": "user", "content": text}], **{"max_tokens": 16, **more})


def test_answers_greedily_and_counts_tokens(llm, loop):
    answer = loop.run_until_complete(
        llm.answer(request("What is the capital of France? One sentence.", temperature=0.0))
    )
    assert "Paris" in answer.text
    assert answer.prompt_tokens > 10
    assert answer.completion_tokens == len(answer.token_ids) > 0


def test_a_schema_is_obeyed(llm, loop):
    schema = {
        "type": "object",
        "properties": {"skills": {"type": "array", "items": {"type": "string"}, "maxItems": 3}},
        "required": ["skills"],
        "additionalProperties": False,
    }
    ask = request("List three skills of a cook as JSON.", schema=schema, max_tokens=200, seed=1)
    answer = loop.run_until_complete(llm.answer(ask))
    assert answer.finish_reason == "length" or isinstance(json.loads(answer.text)["skills"], list)


def test_a_schema_that_vllm_cannot_enforce_is_left_to_parse_and_retry(llm, loop):
    ask = request("Name a cook.", schema={"type": "no such type"}, seed=1)
    assert loop.run_until_complete(llm.answer(ask)).text
    assert llm.traffic.notices == ["vLLM does not take a JSON schema, it is left out there"]


def test_where_the_schema_is_a_must_it_is_refused(llm, loop):
    strict = front(llm, structured="schema")
    with pytest.raises(Refused, match="no such type"):
        loop.run_until_complete(
            strict.answer(request("Name a cook.", schema={"type": "no such type"}))
        )


def test_stop_strings_end_the_answer_before_them(llm, loop):
    ask = request("Count: one, two, three, four, five. Repeat that.", temperature=0.0)
    whole = loop.run_until_complete(llm.answer(ask)).text
    word = whole.split()[2]
    cut = loop.run_until_complete(llm.answer(dataclasses.replace(ask, stop=(word,))))
    assert cut.finish_reason == "stop"
    assert cut.text == whole[: whole.index(word)]


def test_a_conversation_the_template_refuses_is_refused_alone(llm, loop):
    ask = Request("m", [{"role": "user", "content": None}], max_tokens=4)
    with pytest.raises(Refused, match="chat template"):
        loop.run_until_complete(llm.answer(ask))
    assert loop.run_until_complete(llm.answer(request("Hello"))).text


def test_a_seed_repeats_its_answer(llm, loop):
    ask = request("Tell a story.", temperature=1.0, seed=7)
    one, two = (loop.run_until_complete(llm.answer(ask)) for _ in range(2))
    assert one.token_ids == two.token_ids


def test_logprobs_come_one_a_token(llm, loop):
    answer = loop.run_until_complete(llm.answer(request("Hello", logprobs=True, temperature=1.0)))
    assert len(answer.logprobs) == len(answer.token_ids)
    assert all(value <= 0 for value in answer.logprobs)


def test_many_at_once(llm, loop):
    async def ask():
        return await asyncio.gather(*(llm.answer(request(f"Count to {i}")) for i in range(20)))

    assert len(loop.run_until_complete(ask())) == 20
    assert llm.traffic.in_flight == 0


def test_the_answer_ends_at_the_context(llm, loop):
    long = request("word " * (LONGEST - 100), max_tokens=4096, temperature=1.0)
    answer = loop.run_until_complete(llm.answer(long))
    assert answer.prompt_tokens + answer.completion_tokens <= LONGEST


def test_a_prompt_longer_than_the_context_is_refused(llm, loop):
    with pytest.raises(Refused, match="context is 1024"):
        loop.run_until_complete(llm.answer(request("word " * 2 * LONGEST)))


def test_the_whole_of_skillmix_runs_on_it(llm, loop, tmp_path):
    from datagen.generators import skillmix
    from datagen.generators.skillmix import EMBEDDED, SkillmixConfig
    from datagen.run import Run, RunConfig

    config = SkillmixConfig(**{**EMBEDDED, "n": 2, "tries": 2, "max_answer_tokens": 200})

    async def main():
        async with Run.open(tmp_path, RunConfig(), llm) as run:
            await skillmix.generate(run, config)

    loop.run_until_complete(main())
    assert (tmp_path / "5_rows.jsonl").exists()


def test_draining_refuses_what_waits(llm, loop):
    """Last of the engine's tests: it takes nothing more after this."""

    async def ask():
        tasks = [asyncio.create_task(llm.answer(request("Go on"))) for _ in range(12)]
        await asyncio.sleep(0.2)
        llm.drain()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = loop.run_until_complete(ask())
    assert sum(isinstance(outcome, Drained) for outcome in outcomes) == 4
    assert sum(hasattr(outcome, "text") for outcome in outcomes) == 8


def test_an_engine_that_dies_is_one_clear_line(llm, loop):
    """Last of all."""
    (engine,) = [c for c in multiprocessing.active_children() if "EngineCore" in c.name]

    async def ask():
        running = front(llm)
        asking = asyncio.create_task(running.answer(request("Tell a story.", max_tokens=900)))
        await asyncio.sleep(0.3)
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(BackendError, match="run the same command again") as error:
            await asking
        assert "\n" not in str(error.value)
        with pytest.raises(BackendError, match="engine ended"):
            await running.answer(request("Still there?"))

    loop.run_until_complete(ask())


def test_a_folder_that_is_no_model_is_one_clear_line(tmp_path, loop):
    pytest.importorskip("vllm", reason="vllm is not installed")
    with pytest.raises(BackendError, match="vLLM cannot load") as error:
        loop.run_until_complete(open_llm(ModelConfig(engine="vllm", model=str(tmp_path))))
    assert "\n" not in str(error.value)


def test_no_model_named(loop):
    with pytest.raises(ConfigError, match="needs --model"):
        loop.run_until_complete(open_llm(ModelConfig(engine="vllm")))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("{", "is not JSON"),
        ("[1]", "must be a JSON object"),
        ('{"max_model_length": 9}', "no engine argument 'max_model_length'"),
        ('{"trust_remote_code": true}', "would run the model folder's own code"),
    ],
)
def test_bad_engine_arguments_are_one_clear_line(arguments, words, loop, tmp_path, monkeypatch):
    pytest.importorskip("vllm", reason="vllm is not installed")
    monkeypatch.setenv(ARGUMENTS, arguments)
    with pytest.raises(ConfigError, match=words):
        loop.run_until_complete(open_llm(ModelConfig(engine="vllm", model=str(tmp_path))))

"""The embedded engine: a real model on the CPU."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datagen.errors import BackendError, ConfigError, Refused
from datagen.llm import ModelConfig, Request, open_llm
from datagen.llm.local import CONTEXT
from datagen.llm.model_files import MODEL_NAME, find_model
from datagen.llm.openai import OpenAILLM

pytest.importorskip("xllamacpp", reason="the local extra is not installed")
CHAT = "/chat/completions"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
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


@linux_only
@needs_model
def test_the_process_ends_with_a_parent_that_was_killed():
    script = f"""
import asyncio, os
from datagen.llm import ModelConfig
from datagen.llm.local import start_local

async def main():
    llm = await start_local(ModelConfig(model={str(find_model())!r}, concurrency=1))
    print(llm._process.pid, flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    pid = int(done.stdout)
    for _ in range(100):
        if not Path(f"/proc/{pid}/cmdline").exists() or _is_zombie(pid):
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} lives on")


def _is_zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@linux_only
@needs_model
def test_the_process_has_none_of_our_keys_and_wants_one_of_its_own(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")

    async def use(llm):
        environment = Path(f"/proc/{llm._process.pid}/environ").read_bytes()
        assert b"PATH=" in environment and b"sk-very-secret" not in environment
        assert b"--" not in Path(f"/proc/{llm._process.pid}/cmdline").read_bytes()
        stranger = OpenAILLM(llm.model, [llm._client._admission._lanes[0].url[: -len(CHAT)]])
        try:
            with pytest.raises(BackendError, match="HTTP 401"):
                await stranger.answer(request("Hello"))
        finally:
            await stranger.close()

    with_model(use)


@needs_model
def test_nothing_is_written_to_the_terminal(capfd):
    async def use(llm):
        return await llm.answer(request("Hello"))

    with_model(use)
    assert capfd.readouterr() == ("", "")


@needs_model
def test_closing_twice_is_harmless():
    async def use(llm):
        await llm.close()

    with_model(use)


@linux_only
@needs_model
def test_a_start_that_is_cancelled_leaves_no_process():
    def children():
        tasks = Path("/proc/self/task").glob("*/children")
        return {pid for path in tasks for pid in path.read_text().split()}

    async def main():
        task = asyncio.create_task(open_llm(ModelConfig(engine="local")))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    # Other tests may have children of their own.
    before = children()
    asyncio.run(main())
    assert children() <= before


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
def test_a_seed_gives_the_same_text_alone_and_among_others():
    """Short prompts; over long ones llama.cpp's prefix cache moves the last bits."""
    asks = [
        request(f"Tell a story about the number {i}.", temperature=0.9, seed=i, max_tokens=40)
        for i in range(8)
    ]

    async def use(llm):
        alone = [(await llm.answer(ask)).text for ask in asks]
        among = [a.text for a in await asyncio.gather(*map(llm.answer, reversed(asks)))]
        return alone, among[::-1]

    alone, among = with_model(use)
    assert alone == among
    assert len(set(alone)) == len(asks)


@needs_model
@pytest.mark.slow
def test_an_answer_that_meets_the_end_of_the_context_is_cut_there():
    async def use(llm):
        return await llm.answer(request("word " * (CONTEXT - 100), max_tokens=4096))

    answer = with_model(use)
    assert answer.finish_reason == "length"
    assert answer.prompt_tokens + answer.completion_tokens == CONTEXT


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

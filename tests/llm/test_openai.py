"""The OpenAI-compatible backend against a real HTTP server that misbehaves on purpose."""

import asyncio
import json

import pytest
from mock_server import running

from datagen.errors import BackendError, ConfigError, Drained, Refused
from datagen.llm import ModelConfig, Request
from datagen.llm.openai import OpenAILLM

FAULTS = (
    "http_429",
    "http_429_retry",
    "http_500",
    "http_503",
    "cut",
    "truncated_json",
    "wrong_json",
    "empty_choices",
)


def request(i, **more):
    return Request(
        "mock-model", [{"role": "user", "content": f"[[id:{i:06d}]] say something"}], **more
    )


def ask_all(server, count, **options):
    """Ask ``count`` questions at once; returns (answers or exceptions, traffic)."""
    urls = server if isinstance(server, list) else [server.url]

    async def main():
        llm = OpenAILLM(options.pop("model", "mock-model"), urls, **options)
        try:
            tasks = [llm.answer(request(i)) for i in range(count)]
            return await asyncio.gather(*tasks, return_exceptions=True), llm.traffic
        finally:
            await llm.close()

    return asyncio.run(main())


def test_answers_and_counts_tokens():
    with running(style="canned", tokens=12) as server:
        (answer,), traffic = ask_all(server, 1)
    assert len(answer.text.split()) == 12
    assert answer.completion_tokens == 12 and answer.prompt_tokens > 0
    assert (traffic.sent, traffic.in_flight) == (1, 0)


def test_every_fault_is_survived_counted_and_nothing_is_asked_in_vain():
    with running(
        style="canned", latency_ms=5, fault=dict.fromkeys(FAULTS, 0.05), retry_after=0.1
    ) as server:
        answers, traffic = ask_all(server, 400, concurrency=64)
        stats = server.stats()
    assert all(hasattr(answer, "text") for answer in answers)
    assert set(traffic.faults) == {
        "http_429",
        "http_500",
        "http_503",
        "connection",
        "bad_json",
        "wrong_json",
        "empty_choices",
    }
    assert stats["received"] == 400 + sum(traffic.faults.values()) == traffic.sent
    assert stats["unique_delivered"] == stats["delivered"] == 400


def test_a_stalled_answer_is_asked_again():
    with running(style="canned", fault={"stall": 0.2}) as server:
        answers, traffic = ask_all(server, 40, timeout=0.5)
    assert all(hasattr(answer, "text") for answer in answers)
    assert traffic.faults["timeout"] > 0


def test_a_request_the_server_will_not_answer_is_refused_in_its_own_words_and_not_retried():
    with running(style="canned", bad_every=10) as server:
        answers, traffic = ask_all(server, 100)
        received = server.stats()["received"]
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert (len(refused), received, traffic.sent) == (10, 100, 100)
    assert "HTTP 400" in str(refused[0])


def test_a_server_that_refuses_everything_is_a_configuration_error():
    with running(style="canned", bad_every=1) as server:
        answers, _ = ask_all(server, 60, concurrency=4)
    assert any(isinstance(a, BackendError) and "all of the first 20" in str(a) for a in answers)


def test_a_request_alone_in_its_trouble_is_given_up_while_others_are_answered():
    """One prompt always answers 500: the rest must not wait for it, nor the run die of it."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    good = json.dumps(
        {"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}
    ).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            poison = b"000003" in self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(500 if poison else 200)
            self.send_header("Content-Length", str(0 if poison else len(good)))
            self.end_headers()
            self.wfile.write(b"" if poison else good)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    async def main():
        llm = OpenAILLM("m", [f"http://127.0.0.1:{server.server_port}/v1"])
        poisoned = asyncio.create_task(llm.answer(request(3)))
        while not poisoned.done():
            await llm.answer(request(1))
            await asyncio.sleep(0.2)
        await llm.close()
        return poisoned

    poisoned = asyncio.run(asyncio.wait_for(main(), 60))
    server.shutdown()
    server.server_close()
    assert isinstance(poisoned.exception(), Refused)
    assert "http_500" in str(poisoned.exception()) and "12 tries" in str(poisoned.exception())


@pytest.mark.parametrize(
    "options, llm_options, words",
    [
        ({"auth": "right-key"}, {"api_key": "wrong-key"}, "HTTP 401"),
        ({"auth": "right-key"}, {}, "HTTP 401"),
        ({"model": "mock-model"}, {"model": "mock-modle"}, "HTTP 404"),
    ],
)
def test_wrong_key_or_model_stops_at_the_first_answer(options, llm_options, words):
    with running(style="canned", **options) as server:
        if "model" in llm_options:
            llm_options = {"model": "mock-modle"}

            async def main():
                llm = OpenAILLM("mock-modle", [server.url])
                try:
                    return await asyncio.gather(
                        llm.answer(Request("mock-modle", [{"role": "user", "content": "x"}])),
                        return_exceptions=True,
                    )
                finally:
                    await llm.close()

            (error,) = asyncio.run(main())
        else:
            (error,), _ = ask_all(server, 1, **llm_options)
    assert isinstance(error, BackendError) and not isinstance(error, Refused)
    assert words in str(error)
    assert "wrong-key" not in str(error)


def test_a_key_in_the_servers_words_is_struck_out():
    with running(style="canned", auth="right") as server:
        (error,), _ = ask_all(server, 1, api_key="sk-secret-HTTP")
    assert "sk-secret-HTTP" not in str(error)


def test_a_server_that_is_not_there_is_an_error_within_seconds():
    (error,), _ = ask_all(["http://127.0.0.1:9/v1"], 1)
    assert isinstance(error, BackendError)
    assert "start the server or mend --base-url" in str(error)


def test_an_outage_is_waited_out():
    with running(style="canned", down_after=50, down_for=1.5) as server:
        answers, traffic = ask_all(server, 200, concurrency=16)
    assert all(hasattr(answer, "text") for answer in answers)
    assert traffic.faults["connection"] > 0


def test_an_outage_longer_than_patience_stops_and_says_how_to_go_on():
    with running(style="canned", kill_after=20) as server:
        answers, _ = ask_all(server, 60, concurrency=8, patience=1.0)
    errors = [a for a in answers if isinstance(a, BackendError)]
    assert errors and "run the same command again" in str(errors[0])


def test_several_endpoints_share_the_load_and_stand_in_for_each_other():
    with (
        running(style="canned", latency_ms=10) as one,
        running(style="canned", latency_ms=10) as two,
    ):
        answers, _ = ask_all([one.url, two.url, "http://127.0.0.1:9/v1"], 400, concurrency=32)
        shares = [server.stats()["delivered"] for server in (one, two)]
    assert all(hasattr(answer, "text") for answer in answers)
    assert sum(shares) == 400 and min(shares) > 120


def test_concurrency_is_never_passed():
    with running(style="canned", latency_ms=20) as server:
        ask_all(server, 200, concurrency=7)
        assert server.stats()["max_in_flight"] == 7


def test_unsupported_parameters_are_left_out_after_one_refusal():
    async def main(server):
        llm = OpenAILLM("mock-model", [server.url])
        answers = [await llm.answer(request(i, seed=5, max_tokens=50)) for i in range(5)]
        await llm.close()
        return answers, llm.traffic

    with running(style="canned", no_seed=True, max_completion_tokens_only=True) as server:
        answers, traffic = asyncio.run(main(server))
    assert len(answers) == 5
    assert traffic.sent == 7
    assert any("seed" in notice for notice in traffic.notices)


def test_requests_on_the_wire_when_a_parameter_is_refused_are_sent_again():
    async def main(server):
        llm = OpenAILLM("mock-model", [server.url])
        answers = await asyncio.gather(*(llm.answer(request(i, seed=5)) for i in range(50)))
        await llm.close()
        return answers

    with running(style="canned", no_seed=True) as server:
        assert len(asyncio.run(main(server))) == 50


def test_schema_falls_back_to_the_prompt_where_the_server_has_none():
    async def main(server):
        llm = OpenAILLM("mock-model", [server.url])
        await llm.answer(request(1, schema={"type": "object"}))
        await llm.close()
        return llm.traffic

    with running(style="canned", no_schema=True) as server:
        traffic = asyncio.run(main(server))
    assert traffic.sent == 2 and "response_format" in traffic.notices[0]


def test_draining_refuses_what_waits_and_finishes_what_is_on_the_wire():
    async def main(server):
        llm = OpenAILLM("mock-model", [server.url], concurrency=4)
        tasks = [asyncio.create_task(llm.answer(request(i))) for i in range(20)]
        while llm.traffic.in_flight < 4:
            await asyncio.sleep(0.01)
        llm.drain()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        await llm.close()
        return outcomes

    with running(style="canned", latency_ms=100) as server:
        outcomes = asyncio.run(main(server))
        assert server.stats()["received"] == 4
    assert sum(hasattr(o, "text") for o in outcomes) == 4
    assert sum(isinstance(o, Drained) for o in outcomes) == 16


def test_a_proxy_is_not_asked_for_what_runs_here(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with running(style="canned") as server:
        (answer,), _ = ask_all(server, 1)
    assert answer.text


def test_a_cancelled_request_gives_its_place_back():
    async def main(server):
        llm = OpenAILLM("mock-model", [server.url], concurrency=2)
        tasks = [asyncio.create_task(llm.answer(request(i))) for i in range(6)]
        await asyncio.sleep(0.05)
        for task in tasks[:4]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        in_flight = llm.traffic.in_flight
        await llm.close()
        return outcomes, in_flight

    with running(style="canned", latency_ms=200) as server:
        outcomes, in_flight = asyncio.run(main(server))
    assert [hasattr(o, "text") for o in outcomes] == [False] * 4 + [True] * 2
    assert in_flight == 0


def test_the_key_comes_from_the_environment_or_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "from-env")
    (tmp_path / "key").write_text("from-file\n")
    base = {"engine": "openai", "model": "m", "base_url": ("http://127.0.0.1:1/v1",)}
    for config, key in (
        (ModelConfig(**base, api_key_env="MY_KEY"), "from-env"),
        (ModelConfig(**base, api_key_file=tmp_path / "key"), "from-file"),
    ):
        assert OpenAILLM.from_config(config)._headers["Authorization"] == f"Bearer {key}"
        assert key not in config.model_dump_json()


@pytest.mark.parametrize(
    "config, words",
    [
        ({"base_url": ("ftp://x",), "model": "m"}, "not an http"),
        ({"base_url": ("http://[x/v1",), "model": "m"}, "not an http"),
        ({"base_url": ("http://127.0.0.1:1/v1",)}, "--model is missing"),
        ({"model": "m"}, "no API key"),
        ({"model": "m", "api_key_file": "/nonexistent/key"}, "--api-key-file"),
    ],
)
def test_bad_settings_are_one_clear_line(config, words, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=words):
        OpenAILLM.from_config(ModelConfig(engine="openai", **config))

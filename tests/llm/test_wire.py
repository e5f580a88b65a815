import json

import pytest

from datagen.llm import Request
from datagen.llm.wire import FatalStatus, Fault, RequestBody, Unservable, read_answer

ASK = Request(
    "m",
    [{"role": "user", "content": "hi"}],
    temperature=0.7,
    max_tokens=9,
    seed=3,
    schema={"type": "object"},
)


def reply(**choice):
    return json.dumps(
        {
            "choices": [{"message": {"content": "hello"}, "finish_reason": "stop", **choice}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4},
        }
    ).encode()


def body(writer):
    return json.loads(writer.encode(ASK))


def test_writes_what_is_set_and_nothing_else():
    plain = Request("m", [{"role": "user", "content": "hi"}])
    assert json.loads(RequestBody("auto", []).encode(plain)) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
    }
    assert set(body(RequestBody("auto", []))) == {
        "model",
        "messages",
        "temperature",
        "seed",
        "max_tokens",
        "response_format",
    }


def test_prompt_mode_never_sends_a_schema():
    assert "response_format" not in body(RequestBody("prompt", []))


@pytest.mark.parametrize(
    "words, parameter",
    [
        ("Unsupported parameter: 'seed'", "seed"),
        (
            "Unsupported value: 'temperature' does not support 0.7. Only the default (1) value",
            "temperature",
        ),
        ("This model does not support response_format json_schema", "response_format"),
    ],
)
def test_leaves_out_what_the_server_does_not_take_and_says_so(words, parameter):
    notices = []
    writer = RequestBody("auto", notices)
    assert writer.adapt(words)
    assert parameter not in body(writer)
    assert len(notices) == 1 and parameter in notices[0]
    assert not writer.adapt(words), "the same complaint again is about something else"


def test_learns_the_newer_name_of_max_tokens():
    writer = RequestBody("auto", [])
    assert writer.adapt("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    assert body(writer)["max_completion_tokens"] == 9
    assert "max_tokens" not in body(writer)


@pytest.mark.parametrize(
    "words",
    ["This prompt was rejected by the content filter", "maximum context length is 4096 tokens"],
)
def test_a_complaint_about_the_prompt_changes_nothing(words):
    writer = RequestBody("auto", [])
    assert not writer.adapt(words)


def test_reads_an_answer():
    answer = read_answer(200, None, reply())
    assert (answer.text, answer.finish_reason, answer.prompt_tokens, answer.completion_tokens) == (
        "hello",
        "stop",
        3,
        4,
    )


def test_missing_usage_and_null_content_are_no_fault():
    data = json.dumps({"choices": [{"message": {"content": None}, "finish_reason": None}]}).encode()
    answer = read_answer(200, None, data)
    assert (answer.text, answer.finish_reason, answer.completion_tokens) == ("", "stop", 0)


@pytest.mark.parametrize("count", ["-5", "Infinity", "NaN", '"many"', "null", "[]", "1e400"])
def test_a_count_that_is_none_spoils_no_answer(count):
    data = (
        f'{{"choices": [{{"message": {{"content": "x"}}}}], "usage": {{"prompt_tokens": {count}}}}}'
    )
    answer = read_answer(200, None, data.encode())
    assert (answer.text, answer.prompt_tokens) == ("x", 0)


def test_json_nested_too_deep_is_a_fault():
    for status in (200, 400):
        with pytest.raises((Fault, Unservable)):
            read_answer(status, None, b"[" * 100_000)


def test_half_a_surrogate_pair_becomes_text_that_utf8_can_hold():
    answer = read_answer(200, None, b'{"choices": [{"message": {"content": "cut \\ud83d"}}]}')
    assert answer.text == "cut \ufffd"


def test_reads_logprobs():
    tokens = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.25}]}
    assert read_answer(200, None, reply(logprobs=tokens)).logprobs == (-0.5, -1.25)


@pytest.mark.parametrize(
    "data, kind",
    [
        (reply()[:30], "bad_json"),
        (b"<html>", "bad_json"),
        (b"", "bad_json"),
        (b"\xff\xfe{}", "bad_json"),
        (b"[]", "wrong_json"),
        (b"null", "wrong_json"),
        (b'{"ok": true}', "wrong_json"),
        (b'{"choices": [7]}', "wrong_json"),
        (b'{"choices": [{"message": {"content": 7}}]}', "wrong_json"),
        (b'{"choices": []}', "empty_choices"),
    ],
)
def test_names_what_is_wrong_with_a_reply(data, kind):
    with pytest.raises(Fault) as fault:
        read_answer(200, None, data)
    assert fault.value.kind == kind


@pytest.mark.parametrize(
    "status, kind, too_many",
    [
        (429, "http_429", True),
        (503, "http_503", True),
        (529, "http_529", True),
        (500, "http_500", False),
        (502, "http_502", False),
        (408, "http_408", False),
    ],
)
def test_statuses_that_may_pass(status, kind, too_many):
    with pytest.raises(Fault) as fault:
        read_answer(status, "2.5", b'{"error": {"message": "busy"}}')
    assert (fault.value.kind, fault.value.too_many, fault.value.retry_after) == (
        kind,
        too_many,
        2.5,
    )


@pytest.mark.parametrize("status", [400, 413, 422])
def test_statuses_about_one_request(status):
    with pytest.raises(Unservable, match=f"HTTP {status}: too_long: over the context"):
        read_answer(status, None, b'{"error": {"message": "over the context", "code": "too_long"}}')


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405])
def test_statuses_about_every_request(status):
    with pytest.raises(FatalStatus, match=f"HTTP {status}"):
        read_answer(status, None, b"no")


def test_no_credit_left_is_not_a_rate_limit():
    with pytest.raises(FatalStatus, match="top up"):
        read_answer(429, None, b'{"error": {"code": "insufficient_quota", "message": "quota"}}')


@pytest.mark.parametrize(
    "header, seconds",
    [
        ("3", 3.0),
        ("0.25", 0.25),
        ("-4", 0.0),
        ("soon", None),
        ("1e9", 600.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (None, None),
    ],
)
def test_retry_after_in_all_its_forms(header, seconds):
    with pytest.raises(Fault) as fault:
        read_answer(429, header, b"")
    assert fault.value.retry_after == seconds


def test_waits_longer_each_time_but_not_for_ever():
    fault = Fault("http_500", "")
    waits = [fault.wait_s(n) for n in range(1, 12)]
    assert 0.05 <= waits[0] <= 0.1
    assert max(waits) <= 8.0 and waits[-1] >= 4.0

"""The mock server keeps its promises: everything measured against it rests on them."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

import pytest
from mock_ledger import Ledger
from mock_rules import fault_of
from mock_server import Running, running

SCHEMA = {
    "type": "object",
    "$defs": {
        "Kind": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "definition": {"type": "string"},
                "examples": {"type": "array", "items": {"type": "string"}, "minItems": 3},
            },
        }
    },
    "properties": {"kinds": {"type": "array", "items": {"$ref": "#/$defs/Kind"}}},
}


def ask(server: Running, text: str, **more: Any) -> tuple[int, Any]:
    """Status and reply of a one-message chat."""
    body = {"model": "mock-model", "messages": [{"role": "user", "content": text}], **more}
    return server.ask("POST", "/v1/chat/completions", body)


def text_of(reply: Any) -> str:
    return str(reply["choices"][0]["message"]["content"])


def test_answers_depend_on_the_conversation_alone() -> None:
    with running() as one, running() as two:
        again = [text_of(ask(server, "Tell me", seed=n)[1]) for n, server in enumerate((one, two))]
        assert again[0] == again[1] != text_of(ask(one, "Tell me more")[1])


def test_last_message_decides_the_kind_of_answer() -> None:
    with running() as server:
        both = text_of(ask(server, "Write it as ### Instruction: and ### Response:")[1])
        assert both.startswith("### Instruction: ") and "\n### Response: " in both
        critique = text_of(ask(server, "List its Strengths and weaknesses")[1])
        assert 40 <= len(critique.split()) <= 120 and "###" not in critique


@pytest.mark.parametrize("quoted", [False, True])
def test_json_fits_the_schema_in_the_request_or_in_the_prompt(quoted: bool) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "kinds", "schema": SCHEMA}}
    more = {} if quoted else {"response_format": form}
    prompt = "Give 7 kinds." + (f" JSON schema: {json.dumps(SCHEMA)}" if quoted else "")
    with running() as server:
        kinds = json.loads(text_of(ask(server, prompt, **more)[1]))["kinds"]
    assert len({kind["name"] for kind in kinds}) == len(kinds) == 7
    assert all(len(kind["examples"]) == 3 for kind in kinds)


def test_json_has_the_form_of_the_example_in_the_prompt() -> None:
    prompt = 'Answer with JSON: {"kinds": [{"name": "...", "examples": ["..."]}]}\nName 3 kinds.'
    with running() as server:
        kinds = json.loads(text_of(ask(server, prompt)[1]))["kinds"]
    assert [sorted(kind) for kind in kinds] == [["examples", "name"]] * 3


def test_usage_counts_words() -> None:
    with running(style="canned", tokens=12) as server:
        usage = ask(server, "one two three")[1]["usage"]
    assert usage == {"prompt_tokens": 3, "completion_tokens": 12, "total_tokens": 15}


def test_fault_shares_come_out_as_asked() -> None:
    # 20,000 draws at 5 %: standard deviation sqrt(20000 * .05 * .95) = 31, so 1000 +- 125 is 4 sd.
    shares = {"http_500": 0.05, "stall": 0.05}
    drawn = [fault_of(shares, f"key{n}", 1) for n in range(20_000)]
    assert all(abs(drawn.count(kind) - 1000) < 125 for kind in shares)


@pytest.mark.parametrize(
    "fault, status", [("http_429_retry", 429), ("http_500", 500), ("http_503", 503)]
)
def test_http_faults_are_counted_and_not_delivered(fault: str, status: int) -> None:
    with running(fault={fault: 1.0}) as server:
        assert ask(server, "hello")[0] == status
        stats = server.stats()
    assert stats["rejected"] == {fault: 1} and stats["delivered"] == 0


def test_cut_closes_in_the_body_and_truncated_json_does_not() -> None:
    with running(fault={"cut": 1.0}) as server, pytest.raises(http.client.IncompleteRead):
        ask(server, "hello")
    with running(fault={"truncated_json": 1.0}) as server, pytest.raises(json.JSONDecodeError):
        ask(server, "hello")


def test_stall_never_answers() -> None:
    with running(fault={"stall": 1.0}) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=0.3)
        with pytest.raises(TimeoutError):
            body = {"model": "mock-model", "messages": [{"role": "user", "content": "hello"}]}
            client.request("POST", "/v1/chat/completions", json.dumps(body))
            client.getresponse()
        client.close()
        time.sleep(0.05)
        stats = server.stats()
    assert (stats["aborted"], stats["in_flight"], stats["delivered"]) == (1, 0, 0)


def test_shape_faults() -> None:
    with running(fault={"wrong_json": 1.0}) as server:
        assert "choices" not in ask(server, "hello")[1]
    with running(fault={"empty_choices": 1.0}) as server:
        assert ask(server, "hello")[1]["choices"] == []
    with running(fault={"length": 1.0}) as server:
        assert ask(server, "hello")[1]["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    "option, sent, status, words",
    [
        ({"auth": "secret"}, {}, 401, "API key"),
        ({"model": "other"}, {}, 404, "does not exist"),
        ({"no_seed": True}, {"seed": 1}, 400, "'seed'"),
        ({"max_completion_tokens_only": True}, {"max_tokens": 9}, 400, "max_completion_tokens"),
        ({"no_schema": True}, {"response_format": {"type": "json_schema"}}, 400, "json_schema"),
    ],
)
def test_refusals_say_why(
    option: dict[str, Any], sent: dict[str, Any], status: int, words: str
) -> None:
    with running(**option) as server:
        got, body = ask(server, "hello", **sent)
    assert got == status and words in body["error"]["message"]


def test_bad_prompts_are_chosen_by_id() -> None:
    with running(bad_every=3) as server:
        statuses = [ask(server, f"[[id:{n:06d}]] hello")[0] for n in range(6)]
        stats = server.stats(ids=True)
    assert statuses == [200, 200, 400, 200, 200, 400]
    assert sorted(map(int, stats["delivered_ids"])) == [0, 1, 3, 4]


def test_rate_limit_lets_one_second_of_requests_through_at_once() -> None:
    with running(rate_limit=5) as server:
        statuses = [ask(server, f"hello {n}")[0] for n in range(8)]
    assert statuses[:5] == [200] * 5 and statuses[-1] == 429


def test_server_comes_back_after_an_outage() -> None:
    with running(down_after=1, down_for=0.3) as server:
        assert ask(server, "hello")[0] == 200
        with pytest.raises(OSError):
            ask(server, "hello")
        time.sleep(0.5)
        assert ask(server, "hello")[0] == 200


def test_kill_after_ends_the_process() -> None:
    with running(kill_after=1) as server:
        assert ask(server, "hello")[0] == 200
        assert server.process.wait(timeout=5) == 1


def test_share_of_requests_that_met_the_limit() -> None:
    # Two overlap (levels 1, 2) and both met level 2; the third ran alone and did not.
    ledger = Ledger()
    first, second = ledger.start(1.0), ledger.start(2.0)
    for number, key in ((first, "a"), (second, "b")):
        ledger.level(3.0, -1)
        ledger.deliver(3.0, key, number, [], 0)
    third = ledger.start(4.0)
    ledger.level(5.0, -1)
    ledger.deliver(5.0, "c", third, [], 0)
    shares = ledger.at_limit(2)
    assert shares["at_limit_share"] == pytest.approx(2 / 3)
    assert shares["arrived_at_limit_share"] == pytest.approx(1 / 3)
    assert shares["time_at_limit_share"] == pytest.approx(1 / 3)  # 1 of 3 busy seconds
    assert shares["mean_in_flight"] == pytest.approx((1 + 2 + 1) / 3)

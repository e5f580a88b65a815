"""The invariants of the durable run, with an exact model."""

import asyncio
import json
import random
import signal

import pytest

from datagen.errors import BackendError, BudgetReached, Drained, Interrupted, Refused, RunError
from datagen.llm import Answer, Traffic
from datagen.llm.prices import Price
from datagen.llm.scripted import ScriptedLLM
from datagen.rows import Rejected
from datagen.run import Run, RunConfig


def echo(request):
    """Says the last message back, with the seed: the same request gets the same answer."""
    return f"{request.messages[-1]['content']} seed {request.seed}"


async def two_turns(item, tools):
    first = await tools.ask([{"role": "user", "content": f"question {item}"}])
    second = await tools.ask([{"role": "user", "content": f"more of {first.text}"}])
    return [{"item": item, "text": second.text, "answers": list(tools.answers)}]


def go(folder, reply, plan, function=two_turns, block=8, concurrency=4, **options):
    """Run one stage; returns (counts, requests sent)."""
    llm = reply if hasattr(reply, "answer") else ScriptedLLM(reply, concurrency=concurrency)
    config = RunConfig(
        block=block,
        **{k: options.pop(k) for k in ("max_tokens", "max_cost", "seed") if k in options},
    )

    async def main():
        async with Run.open(folder, config, llm, **options) as run:
            return await run.stage("1_answers", plan, function)

    counts = asyncio.run(main())
    return counts, llm.traffic.sent


def output(folder):
    return (folder / "1_answers.jsonl").read_bytes()


def test_output_is_in_plan_order(tmp_path):
    go(tmp_path / "r", echo, list(range(50)))
    rows = [json.loads(line) for line in output(tmp_path / "r").splitlines()]
    assert [row["item"] for row in rows] == list(range(50))


@pytest.mark.parametrize("concurrency", [1, 3, 64])
def test_same_bytes_at_any_concurrency_and_order_of_answers(tmp_path, concurrency):
    class Jittery(ScriptedLLM):
        async def answer(self, request):
            await asyncio.sleep(random.random() / 500)
            return await super().answer(request)

    go(tmp_path / "a", echo, list(range(40)))
    go(tmp_path / "b", Jittery(echo, concurrency=concurrency), list(range(40)))
    assert output(tmp_path / "a") == output(tmp_path / "b")


def test_a_whole_run_asks_nothing_again(tmp_path):
    first, sent = go(tmp_path, echo, list(range(20)))
    second, again = go(tmp_path, echo, list(range(20)))
    assert (sent, again) == (40, 0)
    assert first == second


def test_a_longer_plan_reuses_the_shorter_one(tmp_path):
    go(tmp_path / "a", echo, list(range(20)))
    counts, sent = go(tmp_path / "a", echo, list(range(30)))
    # 10 new items of 2 turns each; the last block of 4 became one of 8 and was replayed.
    assert (counts.kept, sent) == (30, 20)
    go(tmp_path / "b", echo, list(range(30)))
    assert output(tmp_path / "a") == output(tmp_path / "b")


def test_a_shorter_plan_takes_the_first_rows(tmp_path):
    go(tmp_path / "a", echo, list(range(30)))
    counts, sent = go(tmp_path / "a", echo, list(range(12)))
    go(tmp_path / "b", echo, list(range(12)))
    assert (counts.kept, sent) == (12, 0)
    assert output(tmp_path / "a") == output(tmp_path / "b")


@pytest.mark.parametrize("after", [1, 7, 16, 33, 39])
def test_what_was_answered_before_a_failure_is_not_asked_again(tmp_path, after):
    asked = []

    def dies(request):
        if len(asked) == after:
            raise BackendError("gone")
        asked.append(request.key())
        return echo(request)

    with pytest.raises(BackendError, match="gone"):
        go(tmp_path / "a", dies, list(range(20)))
    counts, sent = go(tmp_path / "a", echo, list(range(20)))
    assert (counts.kept, sent) == (20, 40 - after)
    go(tmp_path / "b", echo, list(range(20)))
    assert output(tmp_path / "a") == output(tmp_path / "b")


def test_identical_questions_are_separate_draws(tmp_path):
    async def thrice(item, tools):
        return [(await tools.ask([{"role": "user", "content": "same"}])).text for _ in range(3)]

    go(tmp_path, echo, [0, 0], thrice)
    drawn = [json.loads(line) for line in output(tmp_path).splitlines()]
    assert len(set(drawn)) == 6


def test_another_seed_draws_other_answers(tmp_path):
    go(tmp_path / "a", echo, [0], seed=1)
    go(tmp_path / "b", echo, [0], seed=2)
    assert output(tmp_path / "a") != output(tmp_path / "b")


def test_an_effect_happens_once(tmp_path):
    happened = []

    async def stage(item, tools):
        async def happen():
            happened.append(item)
            return {"passed": item % 2 == 0}

        return [await tools.effect("execute", {"code": item}, happen)]

    go(tmp_path, echo, list(range(10)), stage)
    (tmp_path / "blocks" / "1_answers" / "000000" / "done.json").unlink()
    go(tmp_path, echo, list(range(10)), stage)
    assert sorted(happened) == list(range(10))


def test_a_refused_request_rejects_its_row_with_the_servers_words(tmp_path):
    def picky(request):
        if "question 3" in request.messages[0]["content"]:
            raise Refused("HTTP 400: content policy")
        return echo(request)

    counts, _ = go(tmp_path, picky, list(range(6)))
    rejected = json.loads((tmp_path / "rejected" / "1_answers.jsonl").read_text())
    assert (counts.kept, dict(counts.rejected)) == (5, {"server_refused": 1})
    assert rejected == {
        "position": 3,
        "reason": "server_refused",
        "detail": "HTTP 400: content policy",
        "text": "",
        "item": 3,
    }
    # Refused is an answer too: it is not asked again.
    (tmp_path / "blocks" / "1_answers" / "000000" / "done.json").unlink()
    assert go(tmp_path, echo, list(range(6)))[1] == 0


def test_a_stage_may_reject_and_multiply_items(tmp_path):
    async def stage(item, tools):
        return Rejected(reason="odd", detail="1 mod 2", text="raw") if item % 2 else [item, item]

    counts, _ = go(tmp_path, echo, list(range(5)), stage)
    assert (counts.kept, dict(counts.rejected)) == (6, {"odd": 2})
    assert output(tmp_path) == b"0\n0\n2\n2\n4\n4\n"


def test_a_defect_in_a_stage_is_not_swallowed(tmp_path):
    async def stage(item, tools):
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        go(tmp_path, echo, [1], stage)


def test_two_processes_cannot_have_one_folder(tmp_path):
    async def main():
        llm = ScriptedLLM(echo)
        async with Run.open(tmp_path, RunConfig(), llm):
            with pytest.raises(RunError, match="is in use by process"):
                async with Run.open(tmp_path, RunConfig(), llm):
                    pass

    asyncio.run(main())


def test_another_configuration_says_what_differs_and_offers_a_folder(tmp_path):
    go(tmp_path / "r", echo, [1], identity={"skillmix": {"k": 2, "turns": 5}})
    with pytest.raises(RunError, match=r"skillmix\.k = 2 \(now 3\).*r-2 for a new run"):
        go(tmp_path / "r", echo, [1], identity={"skillmix": {"k": 3, "turns": 5}})


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write the run folder .*give another --out"):
        go(tmp_path / "file" / "r", echo, [1])


def test_a_token_limit_stops_before_it_is_passed_and_can_be_raised(tmp_path):
    def fifty_tokens(request):
        return Answer("x", "stop", 10, 40)

    with pytest.raises(BudgetReached, match="--max-tokens 1,000") as stop:
        go(tmp_path, fifty_tokens, list(range(40)), max_tokens=1000, concurrency=8)
    assert stop.value.exit_code == 3
    spent = json.loads((tmp_path / "metrics.json").read_text())
    assert 800 <= spent["prompt_tokens"] + spent["completion_tokens"] <= 1000
    counts, _ = go(tmp_path, fifty_tokens, list(range(40)), max_tokens=100_000)
    assert (counts.requests, counts.prompt_tokens, counts.completion_tokens) == (80, 800, 3200)


def test_a_cost_limit_counts_what_earlier_sessions_spent(tmp_path):
    def dear(request):
        return Answer("x", "stop", 1000, 1000)

    price = Price(100.0, 900.0)  # a dollar an answer
    with pytest.raises(BudgetReached, match=r"\$10\.0000 spent"):
        go(tmp_path, dear, list(range(40)), max_cost=10, price=price, concurrency=1)
    with pytest.raises(BudgetReached, match=r"\$13\.0000 spent"):
        go(tmp_path, dear, list(range(40)), max_cost=13, price=price, concurrency=1)
    journals = tmp_path.glob("blocks/*/*/journal.log")
    assert sum(journal.read_bytes().count(b"\n") for journal in journals) == 13


class Held:
    """Answers only when told to; knows how much is in flight."""

    def __init__(self, limit):
        self.model, self.traffic = "held", Traffic(limit=limit)
        self.release = asyncio.Event()
        self.drained = False

    async def answer(self, request):
        if self.drained:
            raise Drained("stopping")
        self.traffic.in_flight += 1
        self.traffic.sent += 1
        await self.release.wait()
        self.traffic.in_flight -= 1
        return Answer("late answer", "stop", 1, 1)

    def drain(self):
        self.drained = True

    async def close(self):
        pass


def test_ctrl_c_keeps_what_is_on_the_wire_and_says_how_to_go_on(tmp_path):
    async def main():
        llm = Held(4)

        async def press():
            while llm.traffic.in_flight < 4:
                await asyncio.sleep(0.01)
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0.05)
            llm.release.set()

        async with Run.open(tmp_path, RunConfig(), llm) as run:
            pressing = asyncio.create_task(press())
            try:
                await run.stage("1_answers", list(range(100)), two_turns)
            finally:
                await pressing
                sent.append(llm.traffic.sent)

    sent = []
    with pytest.raises(Interrupted, match="run the same command again") as stop:
        asyncio.run(main())
    assert stop.value.exit_code == 130
    journal = (tmp_path / "blocks" / "1_answers" / "000000" / "journal.log").read_bytes()
    assert journal.count(b"late answer") == sent[0]


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    async def main():
        llm = Held(4)

        async def press():
            while llm.traffic.in_flight < 4:
                await asyncio.sleep(0.01)
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0.05)
            signal.raise_signal(signal.SIGINT)

        async with Run.open(tmp_path, RunConfig(), llm) as run:
            pressing = asyncio.create_task(press())
            try:
                await run.stage("1_answers", list(range(100)), two_turns)
            finally:
                await pressing

    with pytest.raises(Interrupted):
        asyncio.run(asyncio.wait_for(main(), 5))


def test_in_flight_stays_at_the_limit_until_the_last_requests(tmp_path):
    """Uneven latencies, three turns, a plan of many small blocks: no barrier anywhere."""
    limit, seen = 16, []

    class Uneven(ScriptedLLM):
        async def answer(self, request):
            self.places = getattr(self, "places", None) or asyncio.Semaphore(limit)
            async with self.places:
                self.traffic.in_flight += 1
                seen.append(self.traffic.in_flight)
                await asyncio.sleep(random.Random(request.key()).lognormvariate(0, 1) / 100)
                self.traffic.in_flight -= 1
            return await super().answer(request)

    async def three(item, tools):
        for turn in range(3):
            await tools.ask([{"role": "user", "content": f"{item} {turn}"}])
        return [item]

    go(tmp_path, Uneven(echo, concurrency=limit), list(range(1000)), three, block=64)
    # Without the ramp and the last conversations, whose turns cannot be had before each other.
    body = seen[limit : -3 * 2 * limit]
    # Answers that end in the same turn of the loop leave two or three places for that turn.
    assert sum(body) / len(body) >= 0.95 * limit


def test_metrics_add_up_over_sessions(tmp_path):
    go(tmp_path, echo, list(range(10)))
    go(tmp_path, echo, list(range(20)))
    numbers = json.loads((tmp_path / "metrics.json").read_text())
    stage = numbers["stages"][0]
    assert numbers["sessions"] == 2
    assert (stage["planned"], stage["kept"], stage["requests"]) == (20, 20, 40)

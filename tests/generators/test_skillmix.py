"""The whole generator with an exact model: what is asked, what comes out, what is refused."""

import asyncio
import json
import re

import pytest

from datagen.errors import ConfigError, Refused, RunError
from datagen.generators import skillmix
from datagen.generators.skillmix import SkillmixConfig
from datagen.llm import Answer
from datagen.llm.scripted import ScriptedLLM
from datagen.run import Run, RunConfig

WORDS = ["amber", "basil", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet", "jetty"]
WORDS += ["kayak", "larch", "maple", "north", "otter"]
LONG = " ".join(f"Step {i} heats the {WORDS[i % 15]} for {i} minutes." for i in range(1, 12))


def teacher(request):
    """Plays every part well; each topic has 60 skills, 30 a call."""
    first, last = request.messages[0]["content"], request.messages[-1]["content"]
    if "broad topics" in first:
        return json.dumps({"topics": [f"{word} craft" for word in WORDS[:4]]})
    if "Name " in last and "skills" in first:
        topic = re.search(r"skills for the topic: (\w+)", first)[1]
        so_far = (
            0
            if len(request.messages) == 1
            else len(json.loads(request.messages[1]["content"])["skills"])
        )
        found = [
            f"{topic}_{WORDS[i % 15]}{WORDS[i // 15]}" for i in range(so_far, min(so_far + 30, 60))
        ]
        return json.dumps({"skills": found})
    if "kinds of request" in first:
        return json.dumps(
            {
                "query_types": [
                    {"name": f"Type {w}", "definition": f"About {w}.", "examples": []}
                    for w in WORDS
                ]
            }
        )
    if last.startswith("You are helping"):
        return f"### Instruction: Draft about {request.seed}?\n### Response: {LONG}"
    if "strengths" in last:
        return "It is good, but vague."
    if "improve both" in last:
        return f"### Instruction: How is number {request.seed} made?\n### Response: {LONG} Refined."
    return f"{LONG} Rewritten."


def make(folder, reply=teacher, **settings):
    """Rows, the model, and the run's rejects by stage."""
    llm = ScriptedLLM(reply)
    calls = []

    class Counting(ScriptedLLM):
        async def answer(self, request):
            calls.append(request)
            return await super().answer(request)

    llm = Counting(reply)
    config = SkillmixConfig(**{"n": 10, "topic_count": 4, **settings})

    async def main():
        async with Run.open(folder, RunConfig(), llm) as run:
            await skillmix.generate(run, config)

    asyncio.run(main())
    rows = [json.loads(line) for line in (folder / "5_rows.jsonl").read_text().splitlines()]
    return rows, calls


def lines(folder, name):
    path = folder / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_five_turn_rows_carry_their_whole_history(tmp_path):
    rows, _ = make(tmp_path)
    assert len(rows) == 10
    facts = json.loads(rows[3]["provenance"])
    pair = lines(tmp_path, "4_pairs")[3]
    assert re.fullmatch(r"How is number \d+ made\?", rows[3]["prompt"][0]["content"])
    assert rows[3]["completion"][0]["content"].endswith("Rewritten.")
    assert (facts["position"], facts["skills"], facts["query_type"]) == (
        3,
        pair["skills"],
        pair["query_type"],
    )
    assert len(facts["answers"]) == 5 and facts["attempt"] == 1
    assert set(facts["prompts"]) == {
        f"skillmix/{n}" for n in ("opening", "rewrite", "critique", "refine")
    }
    assert all(topics for topics in facts["topics"])


@pytest.mark.parametrize("turns", [1, 3, 5])
def test_calls_per_row_are_the_turns(tmp_path, turns):
    _, calls = make(tmp_path, turns=turns)
    conversation = [c for c in calls if c.messages[0]["content"].startswith("You are helping")]
    assert len(conversation) == 10 * turns


def test_skills_are_asked_for_until_they_dry_up(tmp_path):
    make(tmp_path, dry_rounds=3)
    done = json.loads((tmp_path / "blocks/2_skill_names/000000/done.json").read_text())
    # 30, 60, then three dry rounds: 5 calls for each of 4 topics; 4 topics of 60 skills.
    assert done["requests"] == 4 * 5
    assert len(lines(tmp_path, "2_skills")) == 4 * 60


def test_skill_rounds_bound_a_model_that_never_stops(tmp_path):
    def endless(request):
        if "skills for the topic" in request.messages[0]["content"]:
            return json.dumps(
                {"skills": [f"skill_{request.seed}_{i}_{WORDS[i]}" for i in range(15)]}
            )
        return teacher(request)

    make(tmp_path, endless, skill_rounds=6)
    assert (
        json.loads((tmp_path / "blocks/2_skill_names/000000/done.json").read_text())["requests"]
        == 24
    )


def test_the_same_skill_from_two_topics_is_one_with_both(tmp_path):
    def overlapping(request):
        if "skills for the topic" in request.messages[0]["content"]:
            return (
                '["Data Cleaning", "marketing_and_promotion", "marketing and promotions", "'
                f'{request.messages[0]["content"][-9:-6]} tuning"]'
            )
        return teacher(request)

    make(tmp_path, overlapping)
    skills = {s["skill"]: s for s in lines(tmp_path, "2_skills")}
    assert len(skills["data_cleaning"]["topics"]) == 4
    assert skills["marketing_and_promotion"]["merged"] == ["marketing_and_promotions"]


def test_a_bad_answer_is_asked_again_with_the_reason_then_rejected(tmp_path):
    prompts = []

    def terse(request):
        if request.messages[0]["content"].startswith("You are helping"):
            prompts.append(request.messages[0]["content"])
            return "### Instruction: Why is the sky blue at noon?\n### Response: Scattering."
        return teacher(request)

    rows, _ = make(tmp_path, terse, n=2, turns=1, tries=3)
    rejected = lines(tmp_path, "rejected/5_rows")
    assert rows == [] and len(prompts) == 6
    assert {r["reason"] for r in rejected} == {"response_too_short"}
    assert "Scattering." in rejected[0]["text"] and "30" in rejected[0]["detail"]
    assert sum("An earlier attempt was refused" in p for p in prompts) == 4


def test_a_second_try_that_succeeds_is_a_row(tmp_path):
    def slow_learner(request):
        if (
            request.messages[0]["content"].startswith("You are helping")
            and "refused" not in request.messages[0]["content"]
        ):
            return "I would rather not."
        return teacher(request)

    rows, _ = make(tmp_path, slow_learner, turns=3)
    assert len(rows) == 10
    assert {json.loads(row["provenance"])["attempt"] for row in rows} == {2}
    assert {len(json.loads(row["provenance"])["answers"]) for row in rows} == {3}


def test_a_draft_without_the_form_is_not_criticised(tmp_path):
    def formless(request):
        if request.messages[0]["content"].startswith("You are helping"):
            return "I would rather not."
        return teacher(request)

    _, calls = make(tmp_path, formless, n=2, turns=5, tries=2)
    assert sum(c.messages[0]["content"].startswith("You are helping") for c in calls) == 4


def test_a_cut_off_answer_is_refused(tmp_path):
    def cut(request):
        if request.messages[0]["content"].startswith("You are helping"):
            return Answer(teacher(request), "length", 1, 1)
        return teacher(request)

    rows, _ = make(tmp_path, cut, n=1, turns=1, tries=1)
    assert rows == [] and lines(tmp_path, "rejected/5_rows")[0]["reason"] == "cut_off"


def test_heldout_rows_are_another_draw(tmp_path):
    rows, _ = make(tmp_path, heldout=10)
    heldout = lines(tmp_path, "5_heldout")
    assert len(heldout) == 10
    assert not {row["id"] for row in rows} & {row["id"] for row in heldout}
    plans = [[json.loads(r["provenance"])["skills"] for r in part] for part in (rows, heldout)]
    assert plans[0] != plans[1]


def test_own_files_take_the_place_of_asking(tmp_path):
    (tmp_path / "skills.txt").write_text("Wood Carving\ntea_tasting\n\n# note\nwood carving\n")
    (tmp_path / "types.jsonl").write_text(
        '{"name": "Plan", "definition": "Wants steps.", "examples": []}\n'
    )
    rows, calls = make(
        tmp_path / "run",
        skills=tmp_path / "skills.txt",
        query_types=tmp_path / "types.jsonl",
        turns=1,
    )
    assert len(calls) == len(rows) == 10
    assert {s for r in rows for s in json.loads(r["provenance"])["skills"]} == {
        "wood_carving",
        "tea_tasting",
    }


def test_own_topics_are_used_as_they_are(tmp_path):
    (tmp_path / "topics.txt").write_text("amber work\nbasil\n")
    make(tmp_path / "run", topics=tmp_path / "topics.txt", turns=1)
    assert {t for s in lines(tmp_path / "run", "2_skills") for t in s["topics"]} == {
        "amber work",
        "basil",
    }


def test_skills_out_of_an_existing_data_set(tmp_path):
    data = tmp_path / "seed.jsonl"
    data.write_text(
        "".join(json.dumps({"instruction": f"Do {w}", "output": f"Done {w}"}) + "\n" for w in WORDS)
    )

    def labeller(request):
        text = request.messages[-1]["content"]
        if text.startswith("Read the exchange"):
            return json.dumps({"skills": [f"{text.split('Do ')[1].split()[0]}_handling"]})
        if text.startswith("Below is a list"):
            return '{"skills": ["early_handling", "late_handling", "never_used"]}'
        if text.startswith("Here is a fixed list"):
            assert "early_handling\nlate_handling\nnever_used" in text
            word = text.split("Do ")[1].split()[0]
            return json.dumps({"skills": ["early_handling" if word < "h" else "late_handling"]})
        return teacher(request)

    make(tmp_path / "run", labeller, from_dataset=data, from_rows=12, turns=1)
    skills = {s["skill"]: s["topics"] for s in lines(tmp_path / "run", "2_skills")}
    assert set(skills) == {"early_handling", "late_handling"}
    assert sum(map(len, skills.values())) == 12
    assert "amber_handling" not in skills


def test_a_model_that_names_nothing_is_one_clear_line(tmp_path):
    def silent(request):
        if "skills for the topic" in request.messages[0]["content"]:
            return "I am sorry but I cannot help with any request of this kind today."
        return teacher(request)

    with pytest.raises(RunError, match=r"named no usable skill.*--skills FILE"):
        make(tmp_path, silent)


def test_a_refused_first_request_tells_the_servers_words(tmp_path):
    def refuses(request):
        raise Refused("HTTP 400: no such luck")

    with pytest.raises(RunError, match=r"named no (topic|query type).*HTTP 400: no such luck"):
        make(tmp_path, refuses)


def test_k_above_the_skill_list_is_one_clear_line(tmp_path):
    with pytest.raises(ConfigError, match=r"k = 300 is larger than the skill list \(240 skills"):
        make(tmp_path, k=300)


def test_own_prompts_are_used_and_known_by_their_hash(tmp_path):
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "opening.md").write_text(
        "You are helping me. {{skills}} / {{query_type}} / {{definition}}"
    )
    rows, calls = make(tmp_path / "run", prompts=prompts, turns=1)
    assert any(
        re.match(r"You are helping me\. \w+, \w+ / Type", c.messages[0]["content"]) for c in calls
    )
    plain, _ = make(tmp_path / "plain", turns=1)
    hashes = [json.loads(r[0]["provenance"])["prompts"]["skillmix/opening"] for r in (rows, plain)]
    assert hashes[0] != hashes[1]

import json
from pathlib import Path

import pytest

from datagen.generators.exchange import TURNS, Exchange, follow, parse, read
from datagen.llm import Answer
from datagen.templates import load

HELDOUT = Path(__file__).parents[2].parent / "shared/data/skillmix/ism_sda_heldout_100.jsonl"
WANTED = Exchange(
    "How do I sharpen a chisel?", "Start on the coarse stone.\n\n1. Flatten the back."
)

FORMS = {
    "asked form": "### Instruction: {i}\n### Response: {r}",
    "query heading": "### Query: {i}\n\n### Response: {r}",
    "newline after": "### Instruction:\n{i}\n\n### Response:\n{r}\n",
    "bold": "**Instruction:** {i}\n\n**Response:** {r}",
    "bold, colon outside": "**Instruction**: {i}\n**Response**: {r}",
    "refined": "### Refined Instruction: {i}\n### Refined Response: {r}",
    "plain": "Instruction: {i}\nResponse: {r}",
    "no colon": "### Instruction\n{i}\n### Response\n{r}",
    "talk before": "Sure! Here is an exchange.\n\n### Instruction: {i}\n### Response: {r}",
    "quoted": '### Instruction: "{i}"\n### Response: "{r}"',
    "answer heading": "### Request: {i}\n### Answer: {r}",
    "lower case": "### instruction: {i}\n### response: {r}",
    "trailing rule": "### Instruction: {i}\n### Response: {r}\n---\n",
    "trailing hashes": "### Instruction: {i} \n### Response: {r}\n###",
    "indented": "  ### Instruction: {i}\n  ### Response: {r}",
    "windows lines": "### Instruction: {i}\r\n### Response: {r}\r\n",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_reads_the_forms_that_models_write(form):
    assert parse(form.format(i=WANTED.instruction, r=WANTED.response)) == WANTED


@pytest.mark.parametrize(
    "text, expected",
    [
        ("### Response: only an answer", Exchange("", "only an answer")),
        ("### Instruction: only a question", Exchange("only a question", "")),
        ("no headings at all", Exchange("", "")),
        ("", Exchange("", "")),
        ("### Instruction: a\n### Response: b\nResponse: c", Exchange("a", "b\nResponse: c")),
    ],
)
def test_missing_and_repeated_parts(text, expected):
    assert parse(text) == expected


def test_words_like_response_inside_a_sentence_are_no_heading():
    text = "### Instruction: What is the body's response: fight or flight?\n### Response: Both."
    assert parse(text) == Exchange("What is the body's response: fight or flight?", "Both.")


def test_inner_quotes_stay():
    text = '### Instruction: "Yes" and "no" in Welsh?\n### Response: "Ie" is "yes".'
    assert parse(text) == Exchange('"Yes" and "no" in Welsh?', '"Ie" is "yes".')


@pytest.mark.skipif(not HELDOUT.exists(), reason="the released rows are not here")
@pytest.mark.parametrize("form", ["asked form", "bold", "newline after", "query heading"])
def test_round_trip_of_the_released_rows(form):
    for line in HELDOUT.read_text().splitlines():
        row = json.loads(line)
        text = FORMS[form].format(i=row["instruction"], r=row["output"])
        found = parse(text)
        # Some released rows begin or end with a bold mark that lost its partner; ours are tidied.
        assert found.instruction.strip("* \n") == row["instruction"].strip("* \n")
        assert found.response.strip("* \n") == row["output"].strip("* \n")


def test_bold_at_the_start_of_a_part_stays():
    text = "### Instruction: **Help** me\n### Response: **Title**\n\n**Costs:** low"
    assert parse(text) == Exchange("**Help** me", "**Title**\n\n**Costs:** low")
    text = "**Instruction:** **Help** me\n**Response**: **Title**"
    assert parse(text) == Exchange("**Help** me", "**Title**")


def answers(*texts):
    return [Answer(text) for text in texts]


def test_five_turns_take_the_last_rewrite_whole_and_the_refined_instruction():
    found = read(
        5,
        answers(
            "### Instruction: draft\n### Response: draft",
            "draft again",
            "weak",
            "### Instruction: refined\n### Response: cut of",
            "cut off no more",
        ),
    )
    assert found == Exchange("refined", "cut off no more")


def test_five_turns_accept_headings_in_the_last_rewrite():
    last = "### Instruction: as rewritten\n### Response: the response"
    found = read(5, answers("d", "d", "c", "### Instruction: refined\n### Response: r", last))
    assert found == Exchange("refined", "the response")
    assert read(5, answers("d", "d", "c", "no form", last)) == Exchange(
        "as rewritten", "the response"
    )


def test_five_turns_fall_back_to_the_refinement():
    found = read(5, answers("d", "d", "c", "### Instruction: i\n### Response: from refine", ""))
    assert found == Exchange("i", "from refine")


def test_three_turns_take_the_last_answer_that_holds_both():
    draft = "### Instruction: draft\n### Response: drafted"
    assert read(3, answers(draft, "c", "### Instruction: i\n### Response: r")) == Exchange("i", "r")
    assert read(3, answers(draft, "c", "I refuse.")) == Exchange("draft", "drafted")


def test_every_path_has_its_prompts_and_their_variables():
    assert {len(names) for names in TURNS.values()} == set(TURNS)
    for name in {name for names in TURNS.values() for name in names}:
        text = load("skillmix", name).fill(skills="S", query_type="Q", definition="D")
        assert "{{" not in text


def test_the_opening_keeps_its_constant_part_first():
    """Prefix caches hit on everything before the skills."""
    one, two = (
        load("skillmix", "opening").fill(skills=s, query_type="Q", definition="D") for s in "ab"
    )
    common = next(i for i, (x, y) in enumerate(zip(one, two, strict=False)) if x != y)
    assert common / len(one) > 0.95


def test_following_turns_keep_the_conversation_before_them():
    start = [{"role": "user", "content": "opening"}]
    longer = follow(start, Answer("draft"), "critique")
    assert longer[:1] == start
    assert [m["role"] for m in longer] == ["user", "assistant", "user"]

"""Each gate on its own: what it refuses, and its nearest neighbour that it must keep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from datagen.filters.quality import Limits, check, count_words, repeated_share, tokens

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
ASK = "How do I keep sourdough alive through a hot summer?"
# 39 different words
SAY = (
    "Feed it twice daily, because warmth speeds every microbe. Use cool water and stiffer dough; "
    "rye slows collapse. Between bakes move the jar somewhere shaded, or refrigerate after an hour "
    "of rising. Discard generously, taste often, trust your nose."
)
SKILLS = ("fermentation_control", "cooking")


def loop(words: str, times: int) -> str:
    return " ".join([words] * times)


def numbered(count: int) -> str:
    return " ".join(f"word{i}" for i in range(count))


def test_a_good_pair_is_kept():
    assert check(ASK, SAY, SKILLS) is True
    assert count_words(SAY) == 39


@pytest.mark.parametrize(
    ("instruction", "response", "reason"),
    [
        ("", SAY, "empty_instruction"),
        (" \n**?!** ", SAY, "empty_instruction"),
        (ASK, "", "empty_response"),
        (ASK, "### \n...", "empty_response"),
        (ASK, ASK, "echo"),
        (ASK, f"**{ASK.upper()}**", "echo"),
        (ASK, f"{ASK}\n\n{SAY}", "echo"),
        (ASK, loop("the dough rises and then it falls down", 12), "loop"),
        (ASK, loop("no", 60), "loop"),
        (ASK, loop(SAY, 2), "loop"),
        (loop("why does my bread fall so very flat", 9), SAY, "loop"),
        (ASK, f"### Instruction: bake\n{SAY}", "scaffold_leak"),
        (ASK, f"{SAY}\n### Response\n{SAY.upper()[:80]}", "scaffold_leak"),
        (ASK, f"Response: {SAY}", "scaffold_leak"),
        (ASK, f"**Refined Response:** {SAY}", "scaffold_leak"),
        (f"### Query: {ASK}", SAY, "scaffold_leak"),
        (f"Task Type: Help\n{ASK}", SAY, "scaffold_leak"),
        (ASK, f"{SAY} This shows fermentation_control.", "scaffold_leak"),
        (ASK, f"{SAY} **Fermentation\\_Control** matters.", "scaffold_leak"),
        (f"Use {{skills}} here. {ASK}", SAY, "scaffold_leak"),
        (f"A {{{{ query_type }}}} on bread. {ASK}", SAY, "scaffold_leak"),
        (ASK, f"{SAY}<|im_end|>", "scaffold_leak"),
        (ASK, f"<think>hm</think>{SAY}", "scaffold_leak"),
        ("Bread why?", SAY, "instruction_too_short"),
        (numbered(601), SAY, "instruction_too_long"),
        (ASK, numbered(29), "response_too_short"),
        (ASK, numbered(901), "response_too_long"),
    ],
)
def test_a_bad_pair_is_refused_for_its_reason(instruction, response, reason):
    verdict = check(instruction, response, SKILLS)
    assert verdict is not True
    assert verdict[:2] == (False, reason)
    assert verdict[2]  # a sentence for the retry


@pytest.mark.parametrize(
    ("instruction", "response"),
    [
        (ASK, numbered(30)),
        (ASK, numbered(900)),
        ("Tell me a joke.", SAY),
        (numbered(600), SAY),
        ("Hello!", f"Hello! {SAY}"),
        (ASK, f"Fermentation control, in short: {SAY}"),
        (ASK, f"{SAY} cooking"),
        (ASK, f"{SAY} my_fermentation_control_panel = 1"),
        (ASK, f"## Emergency Response Plan\n{SAY}"),
        (ASK, f"{SAY} The immune response: slow. Pick a task type first."),
        (ASK, f"{SAY} Print f'{{topic}}' twice."),
        (ASK, f"# Skills\n{SAY}"),
        (ASK, f"{SAY} Feed it twice daily, because warmth speeds every microbe."),
    ],
)
def test_what_only_looks_bad_is_kept(instruction, response):
    limits = Limits(instruction_words_min=1)
    assert check(instruction, response, SKILLS, limits) is True


def test_an_answer_stopped_at_the_limit_is_cut_off():
    assert check(ASK, SAY, finish_reason="stop") is True
    verdict = check(ASK, SAY, finish_reason="length")
    assert verdict is not True
    assert verdict[1] == "cut_off"


@pytest.mark.parametrize(
    "opening",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I cannot assist.",  # noqa: RUF001
        "I am unable to provide this.",
        "As an AI language model, I have no dough.",
    ],
)
def test_refusals_are_dropped_only_when_asked(opening):
    assert check(ASK, f"{opening} {SAY}") is True
    verdict = check(ASK, f"{opening} {SAY}", limits=Limits(refusals=True))
    assert verdict is not True
    assert verdict[1] == "refusal"


def test_an_apology_later_in_the_text_is_no_refusal():
    assert check(ASK, f"{SAY} I'm sorry, I can't say more.", limits=Limits(refusals=True)) is True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("one two-three  four\nfive", 4),
        ("- ** _ !", 0),
        ("3 eggs & 2 cups", 4),  # 3, eggs, 2, cups
        ("面包要每天喂两次", 4),  # 8 Han characters, two to a word
        ("パンは毎日", 3),  # 5 characters: 2.5, rounded up
        ("ขนมปังต้องให้อาหาร", 5),  # 18 Thai characters, four to a word: 4.5, rounded up
        ("빵은 매일 먹인다", 3),  # Korean has spaces
        ("रोटी हर दिन", 3),  # vowel signs do not split a word
        ("use 面包 here", 3),
    ],
)
def test_words_are_counted_in_any_script(text, words):
    assert count_words(text) == words


def test_a_long_chinese_answer_is_not_too_short():
    # 35 different characters, and again backwards: 70 characters, 35 words
    text = "春夏秋冬东西南北天地山水风云雨雪日月星花草木鸟鱼虫人手口心目耳足车马舟衣"
    assert check(ASK, f"{text}。{text[::-1]}") is True


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        (numbered(50), 0.0),
        (loop(numbered(10), 2), 0.5),  # the second ten were all said before
        (loop(numbered(27), 5), 0.8),  # 4 of 5 rounds, though one 8-gram covers only 8/27 = 30 %
        (loop(numbered(7), 2), 0.0),  # w0..w6 w0..w6: no run of 8 comes twice
        ("a " * 16, 15 / 16),  # the run at 0 recurs at 1 to 8 and covers words 1 to 15
    ],
)
def test_share_of_words_in_repeated_runs(text, share):
    assert repeated_share(text) == pytest.approx(share)


def test_tokens_are_lower_case_words_and_single_unspaced_characters():
    assert tokens("The CAFÉ's 2 面包_ﬁsh") == ["the", "café", "s", "2", "面", "包", "fish"]


def test_limits_refuse_a_minimum_above_the_maximum():
    with pytest.raises(ValidationError, match="response_words_min 50 is above"):
        Limits(response_words_min=50, response_words_max=40)


def test_a_page_of_junk_is_judged_quickly():
    for junk in ("* " * 50_000, "-" * 100_000, "#" * 100_000, "<|" * 50_000, "{" * 100_000):
        assert check(ASK, f"{junk}\n{SAY}") is True


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
def test_the_official_held_out_rows_pass():
    lines = (SHARED / "skillmix" / "ism_sda_heldout_100.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 100
    for row in rows:
        skills = row["skills_joined_str"].split(", ")
        assert check(row["instruction"], row["output"], skills, Limits(refusals=True)) is True

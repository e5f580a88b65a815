"""Quality gates for one (instruction, response) pair: keep = True, drop = (False, reason, detail).

Instruct-SkillMix (arXiv 2408.14774) parses the teacher's answer and checks nothing else; these
gates are ours. The reason is a stable name to count by, the detail a sentence that can be given
back to the model.

    empty_instruction      no letter or digit in it
    empty_response         no letter or digit in it
    echo                   the response is the instruction, or opens by repeating all of it
    loop                   over 30 % of a part's words stand in runs of 8 words that came before
    cut_off                the server stopped the answer at its limit (finish_reason "length")
    scaffold_leak          headings of the prompt's format ("### Instruction", "Response:",
                           "Task Type"), chat template tokens, unfilled placeholders, or a
                           skill's snake_case name
    refusal                the response opens with "I'm sorry, but I can't", "As an AI" or the
                           like; off unless asked for
    instruction_too_short, instruction_too_long, response_too_short, response_too_long

Words are what spaces separate; pieces without a letter or digit do not count. Scripts without
spaces are counted by characters: two Han or kana to a word, four Thai, Lao, Khmer or Myanmar.

Not implemented: a cut in mid-sentence that the server did not report; whether the response uses
the skills, is right, or is in the instruction's language; refusals in other languages than
English; toxicity, personal data.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Verdict = Literal[True] | tuple[Literal[False], str, str]

RUN = 8  # words in a run that counts as said before
_ECHO_WORDS = 5  # a shorter instruction ("Hello!") may open its answer by chance
_PAIRED = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_FOURS = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u109f\u1780-\u17d3"
_UNSPACED = re.compile(f"[{_PAIRED}{_FOURS}]")
_TOKEN = re.compile(f"[{_PAIRED}{_FOURS}]|[^\\W_{_PAIRED}{_FOURS}]+")
_SCAFFOLD = re.compile(
    r"^[ \t>*]*#{1,6}[ \t*]*(?i:(?:refined |improved |final )?(?:instruction|response))[ \t*]*"
    r"(?::|$)"
    r"|^[ \t>*]*#{1,6}[ \t*]*(?i:query)[ \t*]*:"
    r"|^[ \t>*]*(?i:(?:refined |improved |final )?(?:instruction|response))[ \t*]*:"
    r"|\bTask Type\b"
    r"|\{[ \t]*(?:num_skills|skills|skills_joined_str|query_type|task_type)[ \t]*\}"
    r"|<\|[a-z_]{2,30}\|>|\[/?INST\]|</?think>",
    re.MULTILINE,
)
_REFUSAL = re.compile(
    r"\W{0,3}(?:(?:i'm|i am|we're|we are) (?:very |so |really )?sorry\b.{0,40}"
    r"\b(?:can't|cannot|can not|unable|won't)\b"
    r"|i (?:can't|cannot|can not|won't|am unable to|am not able to) "
    r"(?:assist|help|provide|fulfill|fulfil|comply|answer)\b"
    r"|i'm (?:unable|not able) to\b|(?:as|i am|i'm) an ai\b)",
    re.IGNORECASE | re.DOTALL,
)


class Limits(BaseModel):
    """Thresholds of the gates."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    instruction_words_min: int = Field(default=3, ge=0)
    """Fewest words of an instruction."""
    instruction_words_max: int = Field(default=600, ge=1)
    """Most words of an instruction; supplied material counts."""
    response_words_min: int = Field(default=30, ge=0)
    """Fewest words of a response."""
    response_words_max: int = Field(default=900, ge=1)
    """Most words of a response."""
    loop_share: float = Field(default=0.3, ge=0, le=1)
    """Largest share of words in runs of 8 that came before in the text; 1 lets every loop pass."""
    refusals: bool = False
    """Drop responses that open with a refusal."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for part in ("instruction", "response"):
            low, high = getattr(self, f"{part}_words_min"), getattr(self, f"{part}_words_max")
            if low > high:
                raise ValueError(f"{part}_words_min {low} is above {part}_words_max {high}")
        return self


def check(
    instruction: str,
    response: str,
    skills: Sequence[str] = (),
    limits: Limits | None = None,
    finish_reason: str = "stop",
) -> Verdict:
    """True, or (False, reason, detail) of the first gate that refuses the pair.

    A refusal is a non-empty tuple and so counts as true: compare with ``is True``.
    """
    limits = limits or Limits()
    parts = {"instruction": instruction, "response": response}
    for part, text in parts.items():
        if not count_words(text):
            return False, f"empty_{part}", f"the {part} is empty"
    if _echoes(instruction, response):
        return False, "echo", "the response repeats the instruction"
    for part, text in parts.items():
        if (share := repeated_share(text)) > limits.loop_share:
            return False, "loop", f"{share:.0%} of the {part} repeats what it said before"
    if finish_reason == "length":
        return False, "cut_off", "the answer was cut off at the token limit: write less"
    for part, text in parts.items():
        if leak := find_scaffold(text, skills):
            return False, "scaffold_leak", f"the {part} contains {leak!r}"
    if limits.refusals and _REFUSAL.match(response[:200].replace("\u2019", "'").lstrip()):
        return False, "refusal", "the response declines to answer"
    return _check_sizes(parts, limits)


def count_words(text: str) -> int:
    """Words in a text of any script, by the rule at the top of this module."""
    paired = fours = 0
    for char in _UNSPACED.findall(text):
        if char >= "\u3005":
            paired += 1
        else:
            fours += 1
    spaced = _UNSPACED.sub(" ", text) if paired or fours else text
    words = sum(any(map(str.isalnum, piece)) for piece in spaced.split())
    return words + -(-paired // 2) + -(-fours // 4)


def tokens(text: str) -> list[str]:
    """Lower-case runs of letters and digits (NFKC); single characters where no spaces are."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).lower())


def repeated_share(text: str) -> float:
    """Share of the tokens that stand in a run of 8 tokens seen earlier in the text: 0 to 1."""
    found = tokens(text)
    seen: set[tuple[str, ...]] = set()
    repeated, covered = 0, 0  # covered: tokens before this position are counted already
    for start in range(len(found) - RUN + 1):
        run = tuple(found[start : start + RUN])
        if run in seen:
            repeated += start + RUN - max(start, covered)
            covered = start + RUN
        seen.add(run)
    return repeated / len(found) if found else 0.0


def find_scaffold(text: str, skills: Sequence[str] = ()) -> str | None:
    """The first piece of the prompt's scaffolding left in a text, or None."""
    if found := _SCAFFOLD.search(text):
        return found.group().strip()
    plain = text.replace("\\_", "_").lower()  # markdown writers escape the underscore
    for skill in skills:
        if "_" in skill and re.search(rf"(?<!\w){re.escape(skill.lower())}(?!\w)", plain):
            return skill
    return None


def _echoes(instruction: str, response: str) -> bool:
    """Whether the response equals the instruction, or begins with all of one of 5 words or more."""
    asked, said = tokens(instruction), tokens(response)
    return asked == said or (len(asked) >= _ECHO_WORDS and said[: len(asked)] == asked)


def _check_sizes(parts: dict[str, str], limits: Limits) -> Verdict:
    for part, text in parts.items():
        words = count_words(text)
        low, high = getattr(limits, f"{part}_words_min"), getattr(limits, f"{part}_words_max")
        if words < low:
            return False, f"{part}_too_short", f"the {part} has {words} words: write at least {low}"
        if words > high:
            return False, f"{part}_too_long", f"the {part} has {words} words: write at most {high}"
    return True

"""The Instruct-SkillMix generation conversation and how its exchange is read out of it (notes 1.1,
S4 and S5).

Three lengths: 5 turns as the paper's GPT path (draft, rewrite, critique, refine, rewrite), 3 as its
    Claude path (draft, critique, refine), 1 for cheap runs (draft). The whole history is sent each
    turn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from datagen.llm import Answer
from datagen.rows import Message

TURNS: dict[int, tuple[str, ...]] = {
    1: ("opening",),
    3: ("opening", "critique", "refine"),
    5: ("opening", "rewrite", "critique", "refine", "rewrite"),
}
"""Prompt names of each path."""

_BEFORE = r"^[ \t]*(?:#{1,6}[ \t]*)?(?P<bold>\*\*|__)?[ \t]*"
_VERSION = r"(?:(?:refined|improved|revised|final|new)[ \t]+)?"
# A bold heading ends its bold before or after the colon; bold after that belongs to the text.
_AFTER = r"[ \t]*(?(bold)(?:(?P=bold)[ \t]*:|:[ \t]*(?P=bold)|:)|:)"
_INSTRUCTION = re.compile(f"{_BEFORE}{_VERSION}(?:instruction|query|request){_AFTER}", re.I | re.M)
_RESPONSE = re.compile(f"{_BEFORE}{_VERSION}(?:response|answer){_AFTER}", re.I | re.M)
_BARE = re.compile(
    r"^[ \t]*#{1,6}[ \t]*(?:instruction|query|request|response|answer)[ \t]*$", re.I | re.M
)
_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»", "`": "`"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """An instruction and its response; a part that was not found is empty."""

    instruction: str
    response: str


def parse(text: str) -> Exchange:
    """The exchange in one answer, in the asked form or in the variants that models write.

    Headings may be decorated (``**Instruction:**``), say Query or Request, carry "Refined", or lack
    their colon. The first response heading after the instruction ends the instruction; later ones
    belong to the response.
    """
    text = _BARE.sub(lambda heading: heading[0].rstrip() + ":", text)
    instruction = _INSTRUCTION.search(text)
    after = instruction.end() if instruction else 0
    response = _RESPONSE.search(text, after)
    if instruction is None:
        return Exchange("", _tidy(text[response.end() :]) if response else "")
    stop = response.start() if response else len(text)
    return Exchange(_tidy(text[after:stop]), _tidy(text[response.end() :]) if response else "")


def read(turns: int, answers: list[Answer]) -> Exchange:
    """The finished exchange of a conversation.

    5 turns: the response is the last rewrite (as a whole when it has no headings), else the
        refinement's; the instruction is the refinement's, else the last rewrite's. Otherwise: the
        last answer that holds both parts.
    """
    if turns == 5 and len(answers) == 5:
        refined, last = parse(answers[3].text), parse(answers[4].text)
        whole = last if last.instruction or last.response else Exchange("", _tidy(answers[4].text))
        return Exchange(
            refined.instruction or whole.instruction, whole.response or refined.response
        )
    found = [parse(answer.text) for answer in reversed(answers)]
    both = [exchange for exchange in found if exchange.instruction and exchange.response]
    return both[0] if both else found[0]


def follow(messages: list[Message], answer: Answer, prompt: str) -> list[Message]:
    """The conversation with the model's answer and the next prompt added; the start is
    unchanged."""
    return [
        *messages,
        {"role": "assistant", "content": answer.text},
        {"role": "user", "content": prompt},
    ]


def _tidy(text: str) -> str:
    """Without the form's marks: hashes or bold left at either end, one pair of outer quotes."""
    text = re.sub(
        r"^(?:#{1,6}[ \t]*\n|\*\*[ \t]*\n)+|(?:\n[ \t]*(?:#{1,6}|---+))+[ \t]*$", "", text.strip()
    ).strip()
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[-1] not in text[1:-1]:
        text = text[1:-1].strip()
    return text

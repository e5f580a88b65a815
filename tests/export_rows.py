"""Rows and runs to export in tests."""

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

TEXTS = (
    "plain",
    "👩‍👩‍👧‍👦 🇫🇷 é e\u0301 漢字 שלום مرحبا",
    "lone quotes: \" ' “ « `` ``` ```` \\ \\n \\u2028",
    "a\nb\r\nc\td\u2028e\u2029f\x85g\x0bh",
    "\x00\x07\x1b[31m\x7f",
    "<script>alert(1)</script> | a | b | [x](javascript:y) --- # ***",
    "   \n",
    '{"json": [1, null]}',
    "2024-01-01T00:00:00",
    "NaN",
    "\ufeff\ufffe\uffff\U0010ffff",
    "long " * 40_000,
)


def system(content: str) -> dict[str, str]:
    return {"role": "system", "content": content}


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def row(
    prompt: list[dict[str, str]], completion: list[dict[str, str]], at: int = 0
) -> dict[str, Any]:
    provenance = json.dumps({"generator": "skillmix", "position": at, "skills": ["a", "b"]})
    return {
        "id": f"{at:032x}",
        "prompt": prompt,
        "completion": completion,
        "provenance": provenance,
    }


def pair(prompt: list[dict[str, str]], chosen: str, rejected: str, at: int = 0) -> dict[str, Any]:
    answers = {"chosen": [assistant(chosen)], "rejected": [assistant(rejected)]}
    return {"id": f"{at:032x}", "prompt": prompt, **answers, "provenance": "{}"}


def single_turn(count: int = 3) -> list[dict[str, Any]]:
    return [row([user(f"Question {i}?")], [assistant(f"Answer {i}.")], i) for i in range(count)]


def multi_turn() -> list[dict[str, Any]]:
    """A prompt with an earlier answer, one without, and a completion of three messages."""
    return [
        row([system("S"), user("u1"), assistant("OLD"), user("u2")], [assistant("NEW")], 0),
        row([user("q")], [assistant("a")], 1),
        row([system(""), user("x")], [assistant("a1"), user("mid"), assistant("a2")], 2),
    ]


def pairs() -> list[dict[str, Any]]:
    return [
        pair([system("S"), user("u1"), assistant("OLD"), user("u2")], "good", "bad", 0),
        pair([user("q")], "yes", "no", 1),
    ]


def hostile(count: int = 300, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Each of TEXTS in every place, then random text over all of Unicode but the surrogates."""
    draw = random.Random(seed)

    def text() -> str:
        ranges = ((0, 0x7F), (0x80, 0x2FFF), (0x3000, 0xD7FF), (0xE000, 0x10FFFF))
        return "".join(chr(draw.randint(*draw.choice(ranges))) for _ in range(draw.randint(1, 40)))

    for at in range(count):
        word = TEXTS[at] if at < len(TEXTS) else text()
        prompt = [system("" if at % 3 else word), user(word)][at % 2 :]
        yield row(prompt, [assistant(word)], at)


def write_run(
    folder: Path, train: Iterable[dict[str, Any]], heldout: Iterable[dict[str, Any]] = ()
) -> Path:
    """A run folder as a run leaves it, before its dataset is finished."""
    dataset = folder / "dataset"
    dataset.mkdir(parents=True)
    (folder / "config.json").write_text('{"generator": "skillmix"}')
    for name, rows in (("train", list(train)), ("heldout", list(heldout))):
        if rows:
            lines = (json.dumps(one, ensure_ascii=False) + "\n" for one in rows)
            (dataset / f"{name}.jsonl").write_bytes("".join(lines).encode())
    return folder

"""One row as each trainer reads it; what a trainer cannot hold has a named reason.

Schemas, checked against the trainers' own readers (TRL 1.16, LLaMA-Factory 0.9.5, axolotl 0.19,
verl 0.9.1, ms-swift 4.6) and OpenAI's fine-tuning reference:

- trl: conversational prompt-completion; pairs: prompt, chosen, rejected.
- messages: one list of role/content. sharegpt: ``conversations`` of from/value, from = human, gpt,
  system. Pairs: the prompt as that list, chosen and rejected one message each.
- alpaca: instruction, input, output, system, and ``history`` where any row needs one.
- openai: ``messages`` and no other key; pairs: input, preferred_output, non_preferred_output.
- verl: parquet with ``messages``, as its SFT trainer reads. Its other schema (data_source, prompt,
  ability, reward_model, extra_info) is for reinforcement learning and wants a ground truth to
  reward, which these rows do not have.
- swift: ``messages``; pairs add ``rejected_response``.

A trainer that reads one list cannot see where the prompt ends. Where prompts are single-turn that
does not matter: every assistant turn is the completion. Where any prompt holds an assistant turn
(``marked``), each message says whether it is learnt, under the name its trainer reads: ``train``,
``loss`` or ``weight``. Mixed keys make datasets read messages as opaque JSON, so it is all or none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Row = dict[str, Any]
View = Callable[[Row, bool], Row]

FORMATS = ("trl", "messages", "sharegpt", "alpaca", "openai", "verl", "swift")
PAIR_FORMATS = ("trl", "messages", "sharegpt", "alpaca", "openai", "swift")
SPLITS = ("train", "heldout")

_ANSWERS = ("completion", "chosen", "rejected")
_SHAREGPT_ROLES = {"system": "system", "user": "human", "assistant": "gpt"}
_MEDIA_TAGS = ("<image>", "<video>", "<audio>")


@dataclass(slots=True)
class Shape:
    """What a pass over the rows found: it decides columns, so that they never vary in a file."""

    pairs: bool = False
    """The rows are preference pairs: chosen and rejected instead of completion."""
    earlier_answers: int = 0
    """Rows whose prompt holds an assistant turn."""
    long_completions: int = 0
    """Rows whose completion is more than one message."""
    media_tags: int = 0
    """Rows whose text holds <image>, <video> or <audio>."""
    rows: Counter[str] = field(default_factory=Counter)
    """Rows kept, by split."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows the format cannot hold, by reason."""

    def add(self, split: str, row: Row) -> None:
        """Count one row that is kept."""
        self.rows[split] += 1
        self.pairs = "completion" not in row
        self.earlier_answers += any(m["role"] == "assistant" for m in row["prompt"])
        self.long_completions += len(row.get("completion", ())) > 1
        self.media_tags += any(
            tag in m["content"] for m in _messages_of(row) for tag in _MEDIA_TAGS
        )

    def marked(self, format: str) -> bool:
        """Whether the views of these rows need their extra key (alpaca: its history column)."""
        return self.earlier_answers > 0 or (format == "alpaca" and self.long_completions > 0)

    def suffix(self, format: str) -> str:
        """The kind of file: jsonl or parquet.

        Alpaca histories need a typed column: from 10 MB of empty ones datasets infers lists of
        nulls, and stops at the first that is not empty.
        """
        typed = format == "verl" or (format == "alpaca" and self.marked(format))
        return "parquet" if typed else "jsonl"


def view(format: str, row: Row, marked: bool) -> Row:
    """The row as ``format`` holds it; ``unfit`` must have said that it fits."""
    views = _VIEWS if "completion" in row else _PAIR_VIEWS
    return views[format](row, marked)


def unfit(format: str, row: Row) -> str:
    """Why ``format`` cannot hold the row, in words for a report; empty where it can."""
    answers = [row[name] for name in _ANSWERS if name in row]
    if not any(m["role"] == "user" for m in row["prompt"]):
        return "the prompt has no user turn"
    if any(not answer or answer[-1]["role"] != "assistant" for answer in answers):
        return "the completion does not end with an assistant turn"
    if format in ("sharegpt", "alpaca") and not all(
        _alternates(row["prompt"] + a) for a in answers
    ):
        return "the turns do not alternate user and assistant"
    if "completion" not in row and format != "trl" and any(len(a) != 1 for a in answers):
        return "chosen or rejected has more than one message"
    if "completion" not in row and format == "swift" and row["chosen"] == row["rejected"]:
        return "chosen and rejected are the same"
    if format == "openai" and any(
        not m["content"] for m in _without_empty_system(_messages_of(row))
    ):
        return "a message is empty"
    return ""


def _messages_of(row: Row) -> list[Row]:
    return [m for name in ("prompt", *_ANSWERS) for m in row.get(name, ())]


def _alternates(messages: list[Row]) -> bool:
    """User, assistant, user, ... after an optional system turn; LLaMA-Factory skips all others."""
    turns = [m["role"] for m in messages]
    turns = turns[turns[0] == "system" :]
    return turns[0] == "user" and "system" not in turns and all(a != b for a, b in pairwise(turns))


def _carried(row: Row, **columns: Any) -> Row:
    """The view's columns between the row's id and its provenance, where it has them."""
    front = {"id": row["id"]} if "id" in row else {}
    back = {"provenance": row["provenance"]} if "provenance" in row else {}
    return {**front, **columns, **back}


def _conversation(row: Row, mark: str = "") -> list[Row]:
    """Prompt and completion as one list; ``mark`` names the key that says what is learnt."""
    messages: list[Row] = row["prompt"] + row["completion"]
    if not mark:
        return messages
    start = len(row["prompt"])
    return [{**m, mark: at >= start and m["role"] == "assistant"} for at, m in enumerate(messages)]


def _from_value(messages: list[Row]) -> list[Row]:
    return [
        {
            "from": _SHAREGPT_ROLES[m["role"]],
            "value": m["content"],
            **({"train": m["train"]} if "train" in m else {}),
        }
        for m in messages
    ]


def _trl(row: Row, marked: bool) -> Row:
    return _carried(row, prompt=row["prompt"], completion=row["completion"])


def _trl_pair(row: Row, marked: bool) -> Row:
    return _carried(row, prompt=row["prompt"], chosen=row["chosen"], rejected=row["rejected"])


def _messages(row: Row, marked: bool) -> Row:
    return _carried(row, messages=_conversation(row, "train" if marked else ""))


def _messages_pair(row: Row, marked: bool) -> Row:
    chosen, rejected = row["chosen"][0], row["rejected"][0]
    return _carried(row, messages=row["prompt"], chosen=chosen, rejected=rejected)


def _sharegpt(row: Row, marked: bool) -> Row:
    return _carried(row, conversations=_from_value(_conversation(row, "train" if marked else "")))


def _sharegpt_pair(row: Row, marked: bool) -> Row:
    chosen, rejected = _from_value([row["chosen"][0], row["rejected"][0]])
    turns = _from_value(row["prompt"])
    return _carried(row, conversations=turns, chosen=chosen, rejected=rejected)


def _alpaca_turns(messages: list[Row], marked: bool) -> Row:
    """Instruction, input, system and history of messages that end with a user turn."""
    has_system = messages[0]["role"] == "system"
    turns = [m["content"] for m in messages[has_system:]]
    history = [list(pair) for pair in zip(turns[:-1:2], turns[1::2], strict=True)]
    return {
        "instruction": turns[-1],
        "input": "",
        "system": messages[0]["content"] if has_system else "",
        **({"history": history} if marked else {}),
    }


def _alpaca(row: Row, marked: bool) -> Row:
    messages = _conversation(row)
    output = messages[-1]["content"]
    return _carried(row, **_alpaca_turns(messages[:-1], marked), output=output)


def _alpaca_pair(row: Row, marked: bool) -> Row:
    answers = {side: row[side][0]["content"] for side in ("chosen", "rejected")}
    return _carried(row, **_alpaca_turns(row["prompt"], marked), **answers)


def _openai(row: Row, marked: bool) -> Row:
    messages = _conversation(row, "weight" if marked else "")
    return {"messages": [_weighed(m) for m in _without_empty_system(messages)]}


def _weighed(message: Row) -> Row:
    """The reference knows weights 0 and 1, on assistant messages only."""
    weight = int(message.get("weight", 1))
    bare = {"role": message["role"], "content": message["content"]}
    return (
        {**bare, "weight": weight} if "weight" in message and bare["role"] == "assistant" else bare
    )


def _openai_pair(row: Row, marked: bool) -> Row:
    return {
        "input": {"messages": _without_empty_system(row["prompt"])},
        "preferred_output": row["chosen"],
        "non_preferred_output": row["rejected"],
    }


def _without_empty_system(messages: list[Row]) -> list[Row]:
    """An empty system message is refused there, and says nothing."""
    return [m for m in messages if m["content"] or m["role"] != "system"]


def _verl(row: Row, marked: bool) -> Row:
    return _carried(row, messages=_conversation(row))


def _swift(row: Row, marked: bool) -> Row:
    return _carried(row, messages=_conversation(row, "loss" if marked else ""))


def _swift_pair(row: Row, marked: bool) -> Row:
    rejected = row["rejected"][0]["content"]
    return _carried(row, messages=row["prompt"] + row["chosen"], rejected_response=rejected)


_VIEWS: dict[str, View] = {
    "trl": _trl,
    "messages": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "openai": _openai,
    "verl": _verl,
    "swift": _swift,
}
_PAIR_VIEWS: dict[str, View] = {
    "trl": _trl_pair,
    "messages": _messages_pair,
    "sharegpt": _sharegpt_pair,
    "alpaca": _alpaca_pair,
    "openai": _openai_pair,
    "swift": _swift_pair,
}

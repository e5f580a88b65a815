"""One row walked back to its seed: row, plan line, skills, topics, query type, prompts, answers.

Everything is read from the files of a run folder, a line at a time; what another generator, or an
unfinished run, does not have is left out. All of it is text of models and users: ``trace_text``
prints none of its control characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datagen.run.find import find_row, provenance, scan_lines
from datagen.run.journal import KEY, find_answers
from datagen.run.terminal import plain, visible


def trace(run: Path, row_id: str) -> dict[str, Any]:
    """Where a row comes from, as one JSON object.

    Args:
        run: the run folder.
        row_id: an id, its first 6 characters or more, or a plan position: ``12``, ``#12``, or
            ``heldout#12`` of the held-out rows.

    Raises:
        ConfigError: no such row, or more than one.
    """
    file, row = find_row(run, row_id.strip())
    facts = provenance(row)
    notes: list[str] = []
    return {
        "id": row.get("id"),
        "file": str(file.relative_to(run)),
        **{
            k: facts.get(k) for k in ("generator", "split", "position", "model", "turns", "attempt")
        },
        "prompts": facts.get("prompts", {}),
        "topics": _topics(run, facts),
        "skills": _skills(run, facts),
        "query_type": _query_type(run, facts),
        "plan": _plan(run, facts, notes),
        "answers": _answers(run, facts, notes),
        "prompt": row.get("prompt", []),
        "completion": row.get("completion", []),
        "dropped": _dropped(run, file, row),
        "notes": notes,
        "provenance": facts,
    }


def trace_text(found: dict[str, Any]) -> str:
    """A trace for a terminal; model text is set off by a bar, without control characters."""
    from_file = f"{found['file']}, {found['split'] or 'row'} position {found['position']}"
    attempt = f", try {found['attempt']}" if found["attempt"] else ""
    lines = [
        f"row      {plain(found['id'])}",
        f"in       {plain(from_file)}",
        f"made by  {plain(found['model'])} ({plain(found['generator'])}{plain(attempt)})",
    ]
    if found["dropped"]:
        lines.append(f"dropped  {plain(found['dropped'])}")
    lines += [f"note     {plain(note)}" for note in found["notes"]]
    lines += _section("topics", [plain(topic) for topic in found["topics"]])
    lines += _section("skills", [_skill_line(skill) for skill in found["skills"]])
    kind = found["query_type"]
    if kind:
        lines += _section("query type", [f"{plain(kind['name'])}: {plain(kind.get('definition'))}"])
    hashes = found["prompts"].items() if isinstance(found["prompts"], dict) else ()
    lines += _section("prompts", [f"{plain(name)}  {plain(value)}" for name, value in hashes])
    for number, answer in enumerate(found["answers"], 1):
        lines += ["", f"answer {number}  {_answer_line(answer)}", *_barred(answer.get("text"))]
    for part in ("prompt", "completion"):
        for message in found[part] if isinstance(found[part], list) else ():
            if isinstance(message, dict):
                lines += ["", f"{part} ({plain(message.get('role'))})"]
                lines += _barred(message.get("content"))
    return "\n".join(lines)


# ---- walking back --------------------------------------------------------------------------------


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _skills(run: Path, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Each skill's line of ``2_skills.jsonl``, in the row's order."""
    wanted = _texts(facts.get("skills"))
    known_lines = _by(scan_lines(run / "2_skills.jsonl"), "skill", wanted)
    own = facts.get("topics")
    topics = own if isinstance(own, list) and len(own) == len(wanted) else [[]] * len(wanted)
    return [
        known_lines.get(name, {"skill": name, "topics": _texts(known)})
        for name, known in zip(wanted, topics, strict=True)
    ]


def _topics(run: Path, facts: dict[str, Any]) -> list[str]:
    """The topics that the row's skills came from, each once."""
    every = (topic for skill in _skills(run, facts) for topic in _texts(skill.get("topics")))
    return [topic for topic in dict.fromkeys(every) if topic]


def _query_type(run: Path, facts: dict[str, Any]) -> dict[str, Any] | None:
    name = facts.get("query_type")
    if not isinstance(name, str):
        return None
    return _by(scan_lines(run / "3_query_types.jsonl"), "name", [name]).get(name, {"name": name})


def _plan(run: Path, facts: dict[str, Any], notes: list[str]) -> dict[str, Any] | None:
    """The row's line of the plan; held-out plans are made from the seed and not written."""
    position = facts.get("position")
    if not isinstance(position, int) or facts.get("split") == "heldout":
        return None
    mark = re.compile(rb'"position"\s*:\s*%d\b' % position)
    for path in sorted(run.glob("[0-9]_pairs.jsonl")):
        for line in scan_lines(path, mark):
            if line.get("position") == position:
                if line.get("skills") != facts.get("skills"):
                    notes.append(f"the row's skills are not those of {path.name} at its position")
                return line
    return None


def _answers(run: Path, facts: dict[str, Any], notes: list[str]) -> list[dict[str, Any]]:
    """What the model said in each turn, as far as the journals are there."""
    keys = [k for k in _texts(facts.get("answers")) if re.fullmatch(f"[0-9a-f]{{{KEY}}}", k)]
    entries = find_answers(run, keys) if keys else {}
    if len(entries) < len(set(keys)):
        notes.append(
            f"journal not kept: {len(set(keys)) - len(entries)} of {len(set(keys))} answers "
            "are gone"
        )
    return [{"key": key, **entries.get(key, {"missing": True})} for key in keys]


def _dropped(run: Path, file: Path, row: dict[str, Any]) -> str | None:
    """Why a row that was made is not in the dataset, if it is not."""
    if file.parent.name == "dataset" or not (run / "dataset" / "train.jsonl").exists():
        return None
    name = str(row.get("id"))
    for path in sorted(run.glob("rejected/*.jsonl")):
        for line in scan_lines(path, re.compile(re.escape(name).encode("utf-8", "replace"))):
            item = line.get("item")
            if isinstance(item, dict) and item.get("id") == name:
                return f"{line.get('reason')}: {line.get('detail')}"
    return "it was made, and is not in dataset/train.jsonl"


def _by(found: Iterable[dict[str, Any]], key: str, wanted: list[str]) -> dict[str, dict[str, Any]]:
    """The lines whose ``key`` is wanted, by it."""
    return {line[key]: line for line in found if line.get(key) in wanted}


# ---- laying it out -------------------------------------------------------------------------------


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


def _skill_line(skill: dict[str, Any]) -> str:
    topics, merged = _texts(skill.get("topics")), _texts(skill.get("merged"))
    said = plain(skill.get("skill"))
    said += f"  from {plain(', '.join(topics))}" if topics else ""
    return said + (f"  (also written {plain(', '.join(merged))})" if merged else "")


def _answer_line(answer: dict[str, Any]) -> str:
    if answer.get("missing"):
        return f"{plain(answer['key'])}: journal not kept"
    if "refused" in answer:
        return f"refused by the server: {plain(answer['refused'])}"
    return (
        f"{plain(answer.get('finish'))}, {plain(answer.get('p'))} prompt tokens, "
        f"{plain(answer.get('c'))} completion tokens"
    )


def _barred(text: Any) -> list[str]:
    return [f"  | {line}" for line in visible(text).split("\n")] if isinstance(text, str) else []

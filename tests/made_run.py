"""A run folder as the skillmix job leaves it, made without a model: for tests of what reads
runs."""

import json
import random

from datagen.rows import make_row

TYPES = ("Help-Seeking", "Comparative", "Planning", "Narrative")
WORDS = (
    "river", "bread", "ladder", "copper", "meadow", "signal", "winter", "harvest", "lantern",
    "market", "engine", "violin", "garden", "letter", "harbour", "glass", "thread", "mountain",
    "pepper", "clock",
)  # fmt: skip


def prose(rng, least, most):
    """A sentence of random words; no two texts are alike."""
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(least, most))).capitalize() + "."


def make_rows(n, skills, seed=7, split="train"):
    """n rows with k = 2 skills each; ``skills`` are lines of 2_skills.jsonl."""
    rng = random.Random(seed)
    rows = []
    for position in range(n):
        drawn = rng.sample(skills, 2)
        facts = {
            "generator": "skillmix",
            "split": split,
            "position": position,
            "skills": [each["skill"] for each in drawn],
            "topics": [each["topics"] for each in drawn],
            "query_type": TYPES[position % len(TYPES)],
            "model": "teacher-1",
            "turns": 3,
            "prompts": {"skillmix/opening": "aa11bb22cc33"},
            "answers": [f"{position:032x}"],
            "attempt": 1 + position % 3 // 2,
        }
        rows.append(
            make_row(
                [{"role": "user", "content": prose(rng, 20, 60)}],
                [{"role": "assistant", "content": prose(rng, 80, 200)}],
                facts,
            )
        )
    return [row.model_dump() for row in rows]


def make_skills(n):
    """n skills of four topics."""
    return [{"skill": f"skill_{i}", "topics": [f"topic {i % 4}"], "merged": []} for i in range(n)]


def write_lines(path, items):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")


def stage(name, planned, kept, rejected=None, requests=0, price=1.0):
    """One stage of metrics.json; 500 prompt and 100 completion tokens a request."""
    return {
        "name": name,
        "planned": planned,
        "kept": kept,
        "rejected": rejected or {},
        "requests": requests,
        "prompt_tokens": 500 * requests,
        "completion_tokens": 100 * requests,
        "cost": round(600e-6 * requests * price, 6) if price else None,
    }


def rejection(position, reason, detail, text):
    return {
        "position": position,
        "reason": reason,
        "detail": detail,
        "text": text,
        "item": {"position": position},
    }


def make_run(
    folder,
    n=40,
    rows=None,
    skills=None,
    rejected=(),
    heldout=5,
    model="teacher-1",
    price=1.0,
    faults=None,
    whole=True,
):
    """A finished run of n rows (or of ``rows``); ``rejected`` are lines of rejected/5_rows."""
    skills = skills or make_skills(12)
    rows = rows if rows is not None else make_rows(n, skills)
    facts = [json.loads(row["provenance"]) for row in rows]
    reasons = {}
    for line in rejected:
        reasons[line["reason"]] = reasons.get(line["reason"], 0) + 1
    stages = [
        stage("1_topics", 1, 4, requests=1, price=price),
        stage("2_skill_names", 4, 14, requests=8, price=price),
        stage("3_query_types", 1, 4, requests=1, price=price),
        stage("5_rows", len(rows) + len(rejected), len(rows), reasons, 3 * len(rows), price=price),
    ]
    metrics = {
        "generator": "skillmix",
        "model": model,
        "engine": "openai",
        "seconds": 754.2,
        "sessions": 2,
        "complete": whole,
        "stages": stages,
        "faults": faults or {},
        "filters": [{"name": "dedup_rouge_l", "before": len(rows), "dropped": 0, "applied": False}],
        "prompt_tokens": sum(s["prompt_tokens"] for s in stages),
        "completion_tokens": sum(s["completion_tokens"] for s in stages),
        "cost": round(sum(s["cost"] for s in stages), 6) if price else None,
        "notices": [],
    }
    config = {
        "generator": "skillmix",
        "skillmix": {"n": len(rows), "k": 2, "topics": None},
        "model": {
            "model": model,
            "base_url": ["http://127.0.0.1:8000/v1"],
            "api_key_env": "OPENAI_API_KEY",
        },
        "run": {"seed": 42},
    }
    write_lines(folder / "1_topics.jsonl", [{"topic": f"topic {i}"} for i in range(4)])
    write_lines(folder / "2_skills.jsonl", skills)
    write_lines(
        folder / "3_query_types.jsonl",
        [{"name": name, "definition": f"What {name} is.", "examples": []} for name in TYPES],
    )
    write_lines(
        folder / "4_pairs.jsonl",
        [
            {"position": f["position"], "skills": f["skills"], "query_type": f["query_type"]}
            for f in facts
        ],
    )
    write_lines(folder / "5_rows.jsonl", rows)
    if rejected:
        write_lines(folder / "rejected" / "5_rows.jsonl", rejected)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    if whole:
        write_lines(folder / "dataset" / "train.jsonl", rows)
        if heldout:
            write_lines(
                folder / "dataset" / "heldout.jsonl", make_rows(heldout, skills, 8, "heldout")
            )
        (folder / "manifest.json").write_text(json.dumps({"rows": len(rows)}), encoding="utf-8")
    return folder

"""Instruct-SkillMix: instruction data from random combinations of skills (Kaur et al., arXiv
2408.14774v4).

    1_topics        the model lists topics                         (SDA; or given, or labels of a
    data set: SDD) 2_skill_names   skills of each topic, until new ones dry up 2_skills
    pooled, normalised, exact and stem-bag duplicates merged 3_query_types   kinds of request
    4_pairs         the seeded plan: k skills and a query type at each position
    5_rows          the generation conversation, parsed, checked, retried with the reason, or
    rejected

Ours where the paper is silent: how skills are repeated and merged, the quality gates, the held-out
    seed. Not from
the paper: ``limits``, ``balanced`` query types (the released 1K file was drawn ``iid``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from datagen.errors import ConfigError
from datagen.filters import quality
from datagen.generators import lists, names
from datagen.generators.exchange import TURNS, follow, parse, read
from datagen.generators.inventory import list_query_types, list_skills
from datagen.generators.plan import PairPlan
from datagen.generators.seeds import from_dataset
from datagen.llm import Answer
from datagen.rows import Message, Rejected, Row, make_row
from datagen.run import Run, Tools
from datagen.shipped import shipped
from datagen.templates import Template, load

PAPER = "arXiv:2408.14774v4"


class SkillmixConfig(BaseModel):
    """Instruct-SkillMix: n rows, each from k skills and a query type."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    n: int = Field(4000, ge=1)
    """Rows to make."""
    k: int = Field(2, ge=1)
    """Skills in each row."""
    turns: Literal[1, 3, 5] = 5
    """Turns of the generation conversation: 5 (draft, rewrite, critique, refine, rewrite), 3 or 1
    (cheap)."""
    query_type_mode: Literal["balanced", "iid"] = "balanced"
    """Query types dealt out evenly, or drawn independently as in the paper's released data."""
    topics: Path | None = None
    """File of topics, one a line, instead of asking the model."""
    skills: Path | None = None
    """File of skills, one a line, instead of asking the model."""
    query_types: Path | None = None
    """File of query types (JSONL: name, definition, examples) instead of asking the model."""
    from_dataset: Path | None = None
    """Take the skills from an existing data set (JSONL, JSON or Parquet) instead of from topics."""
    from_rows: int = Field(1000, ge=1)
    """Rows of --from-dataset that are labelled, drawn with the run's seed."""
    topic_count: int = Field(20, ge=1)
    """Topics to ask for."""
    skills_per_topic: int = Field(30, ge=1)
    """Skills to ask for in one call."""
    skill_rounds: int = Field(10, ge=1)
    """Most calls a topic; they end sooner after --dry-rounds calls that brought few new skills."""
    dry_rounds: int = Field(3, ge=1)
    """Calls in a row with under 5 % new skills after which a topic is exhausted."""
    query_type_count: int = Field(16, ge=1)
    """Query types to ask for."""
    merge_similar: float | None = Field(None, gt=0, le=1)
    """Merge skills whose embeddings are at least this similar (0.9 is a good start); needs the
    embed extra."""
    heldout: int = Field(0, ge=0)
    """Rows of a held-out set, made with another seed."""
    temperature: float = Field(1.0, ge=0)
    """Sampling temperature of every call."""
    max_name_tokens: int = Field(2048, ge=16)
    """Most tokens of an answer that lists topics or skills; query types may take twice as many."""
    max_answer_tokens: int = Field(4096, ge=16)
    """Most tokens of one answer of the conversation."""
    tries: int = Field(4, ge=1)
    """Conversations tried for a row before it is rejected."""
    min_words: int = Field(30, ge=0)
    """Fewest words of a response."""
    max_words: int = Field(900, ge=1)
    """Most words of a response."""
    loop_share: float = Field(1.0, gt=0, le=1)
    """Reject a text of which more than this share repeats itself; 0.3 suits small models, 1 is off.
    """
    refusals: bool = False
    """Reject responses that open with a refusal."""
    prompts: Path | None = None
    """Folder with your own versions of the prompts (NAME.md); what it lacks is taken from the
    shipped ones."""

    def limits(self) -> quality.Limits:
        """Thresholds of the quality gates."""
        return quality.Limits(
            response_words_min=self.min_words,
            response_words_max=self.max_words,
            loop_share=self.loop_share,
            refusals=self.refusals,
        )


PROMPTS = (
    "topics",
    "more_topics",
    "skills",
    "more_skills",
    "query_types",
    "label",
    "cluster",
    "relabel",
    "opening",
    "rewrite",
    "critique",
    "refine",
)


def check_inputs(config: SkillmixConfig, warn: Callable[[str], None] | None = None) -> None:
    """Read the given files once, so that a bad one stops the job before anything is asked.

    Args:
        warn: is told in one line of what was passed over, such as duplicates.

    Raises:
        ConfigError: a file is missing, empty or broken; k is larger than the skill list.
    """
    if config.skills is not None and config.from_dataset is not None:
        raise ConfigError("--skills and --from-dataset both say where skills come from: give one")
    if config.topics is not None:
        lists.read_list(config.topics, warn)
    if config.skills is not None:
        known = names.merge((name, "") for name in lists.read_list(config.skills, warn))
        if config.k > len(known):
            raise ConfigError(
                f"k = {config.k} is larger than the skill list ({len(known)} different skills in "
                f"{config.skills}): lower --k or give more skills"
            )
    if config.query_types is not None:
        lists.read_query_types(config.query_types, warn)
    if config.from_dataset is not None:
        next(from_dataset(config.from_dataset, 1, 0))
    if config.min_words > config.max_words:
        raise ConfigError(f"--min-words {config.min_words} is above --max-words {config.max_words}")
    for name in PROMPTS:
        load("skillmix", name, config.prompts)


EMBEDDED = {
    "n": 8,
    "turns": 1,
    "topic_count": 4,
    "skills_per_topic": 8,
    "skill_rounds": 1,
    "query_type_count": 4,
    "temperature": 0.7,
    "max_name_tokens": 300,
    "max_answer_tokens": 320,
    "tries": 12,
    "loop_share": 0.3,
    "prompts": shipped("prompts") / "skillmix" / "small",
}
"""Defaults where the embedded demo model answers: it is small, slow and falls into loops."""


async def generate(run: Run, config: SkillmixConfig) -> None:
    """Run every stage; the rows are in ``5_rows.jsonl``, the held-out ones in ``5_heldout.jsonl``.

    Raises:
        ConfigError, RunError: k is larger than the skill list, a file is wrong, the model named no
            skills, ...
    """
    await run.together(list_skills(run, config), list_query_types(run, config))
    skills = {each["skill"]: each["topics"] for each in run.read("2_skills")}
    types = {each["name"]: each["definition"] for each in run.read("3_query_types")}
    if config.k > len(skills):
        raise ConfigError(
            f"k = {config.k} is larger than the skill list ({len(skills)} skills in "
            f"{run.folder / '2_skills.jsonl'}): lower --k or give more skills"
        )
    stages = [_rows(run, config, skills, types, "train", "5_rows", config.n)]
    if config.heldout:
        stages.append(_rows(run, config, skills, types, "heldout", "5_heldout", config.heldout))
    await run.together(*stages)


# ---- 4, 5: the plan and the rows ----------------------------------------------------------------


async def _rows(
    run: Run,
    config: SkillmixConfig,
    skills: dict[str, Sequence[str]],
    types: dict[str, str],
    split: str,
    stage: str,
    n: int,
) -> None:
    plan = PairPlan(
        list(skills), list(types), n, config.k, [run.config.seed, split], config.query_type_mode
    )
    if split == "train":
        await asyncio.to_thread(run.write, "4_pairs", plan)
    prompts = {name: load("skillmix", name, config.prompts) for name in TURNS[config.turns]}

    async def row(item: dict[str, Any], tools: Tools) -> list[Row] | Rejected:
        topics = [skills[name] for name in item["skills"]]
        facts = {
            "generator": "skillmix",
            "split": split,
            **item,
            "topics": topics,
            "model": tools.model,
            "turns": config.turns,
            "prompts": {t.name: t.hash for t in prompts.values()},
        }
        return await _row(item, types[item["query_type"]], tools, config, prompts, facts)

    await run.stage(stage, plan, row)


async def _row(
    item: dict[str, Any],
    definition: str,
    tools: Tools,
    config: SkillmixConfig,
    prompts: dict[str, Template],
    facts: dict[str, Any],
) -> list[Row] | Rejected:
    """One row: the conversation, again with the reason where the result was refused."""
    limits, reason, detail, said = config.limits(), "", "", ""
    opening = prompts["opening"].messages(
        skills=", ".join(item["skills"]), query_type=item["query_type"], definition=definition
    )
    for attempt in range(1, config.tries + 1):
        tools.answers.clear()
        answers = await _converse(_again(opening, detail), tools, config, prompts)
        found, said = read(config.turns, answers), answers[-1].text
        verdict = quality.check(
            found.instruction, found.response, item["skills"], limits, answers[-1].finish_reason
        )
        if verdict is True:
            facts = {**facts, "answers": list(tools.answers), "attempt": attempt}
            return [
                make_row(
                    [{"role": "user", "content": found.instruction}],
                    [{"role": "assistant", "content": found.response}],
                    facts,
                )
            ]
        _, reason, detail = verdict
        if reason.startswith("empty_"):
            detail += ", as far as '### Instruction:' and '### Response:' mark the parts"
    return Rejected(
        reason=reason, detail=f"{detail} (try {config.tries} of {config.tries})", text=said
    )


def _again(opening: list[Message], detail: str) -> list[Message]:
    """The opening with the reason for which an earlier attempt was refused, at its very end."""
    if not detail:
        return opening
    note = f"\n\nAn earlier attempt was refused: {detail}. Avoid that."
    return [*opening[:-1], {"role": "user", "content": opening[-1]["content"] + note}]


async def _converse(
    messages: list[Message], tools: Tools, config: SkillmixConfig, prompts: dict[str, Template]
) -> list[Answer]:
    """All answers of the conversation; a draft that cannot be read ends it."""
    answers: list[Answer] = []
    for name in TURNS[config.turns]:
        if len(answers) == 1 and not parse(answers[0].text).instruction:
            # Nothing to criticise or refine: the turns that are left would be paid for in vain.
            break
        if answers:
            messages = follow(messages, answers[-1], prompts[name].text)
        answers.append(
            await tools.ask(
                messages, temperature=config.temperature, max_tokens=config.max_answer_tokens
            )
        )
    return answers

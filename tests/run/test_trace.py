"""A row walked back to its seed, in a run made by the real engine with an exact model."""

import asyncio
import json
import re
import shutil

import pytest

from datagen.errors import ConfigError
from datagen.llm.scripted import ScriptedLLM
from datagen.rows import Rejected, make_row
from datagen.run import Run, RunConfig
from datagen.run.terminal import plain, visible
from datagen.run.trace import trace, trace_text

SKILLS = [{"skill": f"skill_{i}", "topics": [f"topic {i % 2}"], "merged": []} for i in range(6)]
TYPES = [{"name": "Help-Seeking", "definition": "Someone is stuck.", "examples": []}]
PLAN = [{"position": i, "skills": [f"skill_{i}", f"skill_{i + 1}"], "query_type": "Help-Seeking"}
        for i in range(5)]  # fmt: skip
REJECTED = 3
ESCAPES = "\x1b[2J\x1b]0;owned\x07red \x1b[31malert\x9b1m\r\nrow      fake\x08\u202e"


def reply(request):
    return f"{ESCAPES} answer to {request.messages[-1]['content']}"


async def converse(item, tools, split):
    """Two turns; one position is rejected."""
    if item["position"] == REJECTED:
        return Rejected(reason="echo", detail="it repeats\x1b[2J", text="raw")
    first = await tools.ask([{"role": "user", "content": f"draft {item['position']}"}])
    second = await tools.ask([{"role": "user", "content": f"mend {item['position']}"}])
    facts = {"generator": "skillmix", "split": split, **item, "topics": [["topic x"]],
             "model": tools.model, "turns": 2, "prompts": {"skillmix/opening": "aa11bb22cc33"},
             "answers": list(tools.answers), "attempt": 1}  # fmt: skip
    return [make_row([{"role": "user", "content": first.text}],
                     [{"role": "assistant", "content": second.text}], facts)]  # fmt: skip


async def make(folder):
    async with Run.open(folder, RunConfig(block=2), ScriptedLLM(reply, "teacher-1")) as run:
        run.write("1_topics", [{"topic": "topic 0"}, {"topic": "topic 1"}])
        run.write("2_skills", SKILLS)
        run.write("3_query_types", TYPES)
        run.write("4_pairs", PLAN)
        await run.stage("5_rows", PLAN, lambda item, tools: converse(item, tools, "train"))
        await run.stage("5_heldout", PLAN, lambda item, tools: converse(item, tools, "heldout"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run whose filter dropped the row at position 4."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    asyncio.run(make(folder))
    lines = (folder / "5_rows.jsonl").read_text().splitlines(keepends=True)
    (folder / "dataset").mkdir()
    (folder / "dataset" / "train.jsonl").write_text("".join(lines[:-1]))
    shutil.copy(folder / "5_heldout.jsonl", folder / "dataset" / "heldout.jsonl")
    dropped = {"position": 3, "reason": "dedup_rouge_l", "detail": "similarity 0.9 to row ab",
               "text": "", "item": json.loads(lines[-1])}  # fmt: skip
    (folder / "rejected" / "6_dedup.jsonl").write_text(json.dumps(dropped) + "\n")
    return folder


@pytest.fixture
def run(made, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(made, tmp_path / "run")


def rows_of(run, name="dataset/train.jsonl"):
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


def test_a_row_leads_back_to_topics_skills_plan_and_answers(made):
    row = rows_of(made)[1]
    found = trace(made, row["id"])
    assert found["file"] == "dataset/train.jsonl"
    assert found["plan"] == PLAN[1]
    assert found["skills"] == [SKILLS[1], SKILLS[2]]
    assert found["topics"] == ["topic 1", "topic 0"]
    assert found["query_type"] == TYPES[0]
    assert found["prompts"] == {"skillmix/opening": "aa11bb22cc33"}
    assert [answer["text"] for answer in found["answers"]] == [
        row["prompt"][0]["content"], row["completion"][0]["content"]]  # fmt: skip
    assert found["completion"] == row["completion"]
    assert found["notes"] == []


@pytest.mark.parametrize("name", ["2", "#2", "train#2", " #2 "])
def test_a_plan_position_names_a_training_row(made, name):
    assert trace(made, name)["id"] == rows_of(made)[2]["id"]


def test_a_held_out_position(made):
    found = trace(made, "heldout#2")
    assert found["id"] == rows_of(made, "dataset/heldout.jsonl")[2]["id"]
    assert (found["file"], found["split"], found["plan"]) == (
        "dataset/heldout.jsonl", "heldout", None)  # fmt: skip


@pytest.mark.parametrize("length", [6, 8, 32])
def test_the_beginning_of_an_id_is_enough(made, length):
    row = rows_of(made)[0]
    assert trace(made, row["id"][:length].upper())["id"] == row["id"]


def test_a_beginning_that_two_rows_share_is_refused(run):
    rows = rows_of(run)
    for i, row in enumerate(rows):
        row["id"] = f"abcdef{i}{row['id'][7:]}"
    (run / "dataset" / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with pytest.raises(ConfigError, match=r"3 rows .* begin with abcdef .*give more"):
        trace(run, "abcdef")
    assert trace(run, "abcdef1")["position"] == 1


@pytest.mark.parametrize(("name", "message"), [
    ("ffffffffffff", "no row .* begins with ffffffffffff"),
    ("abc", "names no row"),
    ("", "names no row"),
    ("no such\x1b[2J row", "names no row"),
    ("#77", "no row at train position 77"),
    ("77777777", "no row at train position 77777777"),
    (f"#{REJECTED}", r"rejected as echo \(it repeats\)"),
])  # fmt: skip
def test_what_is_not_there_is_said_in_one_line(made, name, message):
    with pytest.raises(ConfigError, match=message) as error:
        trace(made, name)
    assert not re.search(r"[\x00-\x1f]", str(error.value))


def test_no_folder(tmp_path):
    with pytest.raises(ConfigError, match="not a folder"):
        trace(tmp_path / "nowhere", "#1")


def test_a_row_that_a_filter_dropped_says_so(made):
    found = trace(made, "#4")
    assert found["file"] == "5_rows.jsonl"
    assert found["dropped"] == "dedup_rouge_l: similarity 0.9 to row ab"


def test_an_unfinished_stage_is_searched_in_its_blocks(run):
    shutil.rmtree(run / "dataset")
    (run / "5_rows.jsonl").unlink()
    found = trace(run, "#2")
    assert found["file"] == "blocks/5_rows/000001/rows.jsonl"
    assert found["dropped"] is None


def test_deleted_journals_are_said(run):
    shutil.rmtree(run / "blocks")
    found = trace(run, "#1")
    assert [answer["missing"] for answer in found["answers"]] == [True, True]
    assert found["notes"] == ["journal not kept: 2 of 2 answers are gone"]
    assert "journal not kept" in trace_text(found)


def test_another_plan_is_noticed(run):
    lines = (run / "4_pairs.jsonl").read_text().replace("skill_2", "skill_9")
    (run / "4_pairs.jsonl").write_text(lines)
    assert trace(run, "#1")["notes"] == ["the row's skills are not those of 4_pairs.jsonl at its "
                                        "position"]  # fmt: skip


def test_without_stage_files_the_row_itself_tells(run):
    for path in run.glob("[1-4]_*.jsonl"):
        path.unlink()
    found = trace(run, "#0")
    assert [skill["skill"] for skill in found["skills"]] == ["skill_0", "skill_1"]
    assert found["query_type"] == {"name": "Help-Seeking"}
    trace_text(found)


@pytest.mark.parametrize("provenance", [None, "", "{", "[]", 5, json.dumps({
    "skills": "x", "topics": 3, "query_type": [], "answers": ["zz", 4, "../../etc"], "prompts": []
})])  # fmt: skip
def test_rows_of_another_kind_are_traced_as_far_as_they_go(run, provenance):
    row = {"id": "a1b2c3d4e5", "prompt": None, "completion": [3, {"role": "x"}],
           "provenance": provenance}  # fmt: skip
    (run / "dataset" / "train.jsonl").write_text(json.dumps(row) + "\n")
    found = trace(run, "a1b2c3")
    assert (found["skills"], found["answers"], found["plan"]) == ([], [], None)
    assert "a1b2c3d4e5" in trace_text(found)


def test_damaged_lines_are_passed_over(run):
    train = run / "dataset" / "train.jsonl"
    wanted = rows_of(run)[2]["id"]
    train.write_bytes(b'{"id": "' + wanted.encode() + b"\n\xff\n" + train.read_bytes())
    assert trace(run, wanted)["id"] == wanted


def test_a_terminal_gets_no_escape_of_the_models(made):
    said = trace_text(trace(made, "#0"))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said)
    assert "  | red alert" in said
    assert "owned" not in said


def test_model_text_cannot_pose_as_a_heading(made):
    lines = trace_text(trace(made, "#0")).splitlines()
    assert [line for line in lines if line.startswith("row ")] == [lines[0]]
    assert any(line.startswith("  | row      fake") for line in lines)


@pytest.mark.parametrize(("text", "seen"), [
    ("a\x1b[1;31mb\x1b[0m", "ab"),
    ("a\x1b]8;;http://x\x1b\\b\x1b]8;;\x1b\\", "ab"),
    ("a\x1b\x1b[31m[31mb", "a[31mb"),  # what is left of two is no escape
    ("\x1b]no end", ""),
    ("a\x9b31mb\x90q\x9cc", "abc"),
    ("one\rtwo\x85three\u2028four", "one\ntwo\nthree\nfour"),
    ("tab\there", "tab\there"),
    ("\ud800", "?"),
    (None, "-"),
    ({"a": 1}, '{"a": 1}'),
    ("\u05d0 \u200f\u05d1", "\u05d0 \u200f\u05d1"),  # Hebrew and its mark stay
])  # fmt: skip
def test_visible(text, seen):
    assert visible(text) == seen


def test_plain_is_one_line():
    assert plain(" a\n\tb\x1b[2J ") == "a b"


def test_hostile_escapes_take_linear_time():
    # 200,000 openings of a string that never ends: a backtracking pattern would take minutes.
    assert visible("\x1b]" * 200_000) == ""

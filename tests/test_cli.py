"""The command line as a user meets it: what it prints, how it ends, what it says to a mistake."""

import json
import os
import re
import signal
import subprocess
import time

import pytest
from command import datagen, started
from mock_server import running

from datagen import __version__

INSTRUCTION = "Could you plan a small wedding in the hills of Wales for forty guests?"
RESPONSE = " ".join(f"Book item {i} from the village before week {i}." for i in range(1, 12))
SCRIPT = [
    {"match": "broad topics", "answers": ['{"topics": ["sea travel", "bread", "old maps"]}']},
    {"match": "further topics|other skills", "answers": ['{"skills": []}']},
    {
        "match": "Name 30",
        "answers": [
            json.dumps(
                {
                    "skills": [
                        "route_planning",
                        "dough_shaping",
                        "map_reading",
                        "tide_tables",
                        "crumb_judging",
                    ]
                }
            )
        ],
    },
    {
        "match": "kinds of request",
        "answers": [
            json.dumps(
                {
                    "query_types": [
                        {
                            "name": "Planning",
                            "definition": "The person wants a plan.",
                            "examples": ["a", "b"],
                        }
                    ]
                }
            )
        ],
    },
    {
        "match": "You are helping",
        "answers": [f"### Instruction: {INSTRUCTION}\n### Response: {RESPONSE}"],
    },
]


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.jsonl"
    path.write_text("".join(json.dumps(rule) + "\n" for rule in SCRIPT))
    return path


@pytest.fixture
def skills(tmp_path):
    path = tmp_path / "skills.txt"
    path.write_text("".join(f"skill_number{i}\n" for i in range(40)))
    return path


@pytest.fixture
def types(tmp_path):
    path = tmp_path / "types.jsonl"
    path.write_text('{"name": "Plan", "definition": "Wants a plan.", "examples": []}\n')
    return path


@pytest.fixture
def scripted(script, tmp_path):
    """``datagen skillmix`` on the script, in RUN."""

    def run(*words):
        return datagen(
            "skillmix",
            "--engine",
            "scripted",
            "--model",
            script,
            "--turns",
            1,
            "--out",
            tmp_path / "run",
            *words,
        )

    return run


def one_line(result, *words):
    """The command ended with 2 and one clear line that has all of ``words``."""
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert len([line for line in lines if line.startswith("datagen: ")]) == 1, result.stderr
    for word in words:
        assert re.search(word, lines[-1]), lines[-1]


# ---- the good ways -------------------------------------------------------------------------------


def test_a_whole_run_from_the_command_line(scripted, tmp_path):
    result = scripted("--n", 5, "--heldout", 2)
    assert result.returncode == 0, result.stderr
    run = tmp_path / "run"
    assert len((run / "dataset/train.jsonl").read_text().splitlines()) == 5
    assert len((run / "dataset/heldout.jsonl").read_text().splitlines()) == 2
    for name in (
        "dataset/train.parquet",
        "dataset/README.md",
        "dataset/dataset_info.json",
        "report.html",
        "manifest.json",
        "config.json",
        "metrics.json",
        "4_pairs.jsonl",
    ):
        assert (run / name).stat().st_size > 0, name


def test_json_is_one_object_on_standard_output_and_lines_on_standard_error(scripted):
    result = scripted("--n", 3, "--json")
    numbers = json.loads(result.stdout)
    assert (numbers["rows"], numbers["planned"]) == (3, 3)
    assert all(json.loads(line) for line in result.stderr.splitlines())


def test_progress_is_plain_lines_where_there_is_no_terminal(scripted):
    result = scripted("--n", 3)
    assert re.search(r"5_rows +3/3 .*in flight.*tokens.*rejected", result.stderr)
    assert "\x1b" not in result.stderr


def test_a_run_that_is_whole_is_not_done_again(scripted, tmp_path):
    scripted("--n", 3)
    before = (tmp_path / "run" / "manifest.json").stat().st_mtime_ns
    assert scripted("--n", 3).returncode == 0
    assert (tmp_path / "run" / "manifest.json").stat().st_mtime_ns == before


def test_more_rows_begin_with_the_fewer(scripted, tmp_path):
    scripted("--n", 3)
    few = (tmp_path / "run/dataset/train.jsonl").read_bytes()
    scripted("--n", 8)
    assert (tmp_path / "run/dataset/train.jsonl").read_bytes().startswith(few)


def test_trace_export_and_report_of_a_run(scripted, tmp_path):
    scripted("--n", 3)
    run = tmp_path / "run"
    row = json.loads((run / "dataset/train.jsonl").read_text().splitlines()[0])
    traced = datagen("trace", run, row["id"][:10])
    assert traced.returncode == 0 and INSTRUCTION in traced.stdout and "answer 1" in traced.stdout
    exported = datagen("export", run, "--format", "sharegpt")
    assert exported.returncode == 0 and (run / "export/sharegpt").is_dir()
    reported = datagen("report", run, "--json")
    assert json.loads(reported.stdout)["report"].endswith("report.html")


def test_a_pipeline_file_does_the_same_as_the_command(scripted, script, tmp_path):
    (tmp_path / "p.toml").write_text(
        f'generator = "skillmix"\n[skillmix]\nn = 4\nturns = 1\n[model]\nengine = "scripted"\n'
        f'model = "{script}"\n[run]\nout = "{tmp_path / "piped"}"\n'
    )
    assert datagen("run", tmp_path / "p.toml").returncode == 0
    scripted("--n", 4)
    rows = [(tmp_path / name / "dataset/train.jsonl").read_bytes() for name in ("piped", "run")]
    assert rows[0] == rows[1]


def test_dry_run_asks_nothing_and_names_a_price(tmp_path):
    result = datagen(
        "skillmix",
        "--n",
        4000,
        "--base-url",
        "http://127.0.0.1:9/v1",
        "--model",
        "gpt-4-turbo",
        "--dry-run",
        "--json",
        cwd=tmp_path,
    )
    numbers = json.loads(result.stdout)
    # 4,000 rows of five turns; the notes reckon $866 from 15.3k + 2.1k tokens a row at $10, $30.
    assert numbers["stages"][1]["requests"] == 20_000
    assert 500 < numbers["cost"] < 1000
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["brevity", "junk"])
def test_shirkers_replace_exactly_their_share_and_keep_every_instruction(
    scripted, script, tmp_path, kind
):
    scripted("--n", 11)
    with script.open("a") as file:
        file.write(
            json.dumps(
                {"match": "single short paragraph|careless helper", "answers": ["Just do it."]}
            )
            + "\n"
        )
    result = scripted("--shirkers", kind, "--share", 0.2)
    assert result.returncode == 0, result.stderr
    rows, changed = (
        [
            json.loads(line)
            for line in (tmp_path / name / "dataset/train.jsonl").read_text().splitlines()
        ]
        for name in ("run", f"run-{kind}-0.2")
    )
    differing = [a["completion"] != b["completion"] for a, b in zip(rows, changed, strict=True)]
    # round(0.2 x 11) = 2, the first ones
    assert differing == [True] * 2 + [False] * 9
    assert [r["prompt"] for r in rows] == [r["prompt"] for r in changed]


def test_duplicates_are_counted_and_dropped_only_when_asked(scripted, tmp_path):
    scripted("--n", 4)
    numbers = json.loads((tmp_path / "run/metrics.json").read_text())
    assert numbers["filters"] == [
        {"name": "dedup_rouge_l", "before": 4, "dropped": 3, "applied": False}
    ]
    assert len((tmp_path / "run/dataset/train.jsonl").read_text().splitlines()) == 4
    assert scripted("--n", 4, "--dedup", "rouge_l").returncode == 0
    assert len((tmp_path / "run/dataset/train.jsonl").read_text().splitlines()) == 1
    dropped = [
        json.loads(line)
        for line in (tmp_path / "run/rejected/6_dedup.jsonl").read_text().splitlines()
    ]
    assert len(dropped) == 3 and "similarity 1.000 to row" in dropped[0]["detail"]


def test_nothing_stays_of_what_the_run_no_longer_has(scripted, tmp_path):
    scripted("--n", 4, "--heldout", 2, "--dedup", "rouge_l")
    run = tmp_path / "run"
    assert (run / "dataset/heldout.parquet").exists() and (run / "rejected/6_dedup.jsonl").exists()
    scripted("--n", 4)
    left = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert not [name for name in left if "heldout" in name and not name.startswith("blocks/")]
    assert "rejected/6_dedup.jsonl" not in left
    manifest = json.loads((run / "manifest.json").read_text())
    assert set(manifest["files"]) == {name for name in left if name.startswith("dataset/")}


def test_version_and_help():
    assert datagen("--version").stdout.strip() == f"datagen {__version__}"
    assert "skillmix" in datagen("--help").stdout


# ---- bad input: one line, exit code 2 ------------------------------------------------------------


@pytest.mark.parametrize("n", [0, -3])
def test_no_rows_asked_for(scripted, n):
    one_line(scripted("--n", n), f"n = {n}", "greater than or equal to 1")


def test_words_that_are_no_number(scripted):
    one_line(scripted("--n", "many"), "--n", "valid integer")


def test_an_unknown_flag_and_command():
    one_line(datagen("skillmix", "--rows", 3), "--rows")
    one_line(datagen("skilmix"), "skilmix")


def test_k_larger_than_the_skill_list(scripted, skills):
    one_line(
        scripted("--k", 41, "--skills", skills),
        "k = 41 is larger than the skill list",
        "40 different skills",
        "lower --k",
    )


def test_k_larger_than_what_the_model_named(scripted):
    one_line(scripted("--k", 9), "k = 9 is larger than the skill list .5 skills")


@pytest.mark.parametrize(
    "content, words",
    [(b"", "empty|no "), (b"caf\xe9 au lait\n", "UTF-8"), (b"\n# note\n\n", "no ")],
)
def test_a_skill_file_that_cannot_be_used(scripted, tmp_path, content, words):
    (tmp_path / "bad.txt").write_bytes(content)
    one_line(scripted("--skills", tmp_path / "bad.txt"), r"bad\.txt", words)


def test_a_skill_file_that_is_not_there(scripted, tmp_path):
    one_line(scripted("--skills", tmp_path / "nope.txt"), r"nope\.txt")


def test_duplicates_in_a_skill_file_are_merged_and_told(scripted, tmp_path):
    (tmp_path / "twice.txt").write_text("bread baking\nsea travel\nBread baking\n")
    result = scripted("--n", 2, "--skills", tmp_path / "twice.txt")
    assert result.returncode == 0
    assert re.search(r"note: .*twice\.txt", result.stderr)


def test_an_unwritable_folder(script, tmp_path):
    (tmp_path / "file").write_text("")
    one_line(
        datagen(
            "skillmix", "--engine", "scripted", "--model", script, "--out", tmp_path / "file/run"
        ),
        "cannot write the run folder",
        "--out",
    )


def test_a_run_folder_of_another_configuration(scripted):
    scripted("--n", 3)
    one_line(scripted("--n", 3, "--k", 3), r"skillmix\.k = 2 \(now 3\)", r"--out .*run-2")


def test_a_row_file_cut_in_the_middle(scripted, tmp_path):
    scripted("--n", 3)
    rows = tmp_path / "run/dataset/train.jsonl"
    rows.write_bytes(rows.read_bytes()[:-20])
    one_line(
        datagen("export", rows, "--format", "trl", "--out", tmp_path / "out"),
        r"train\.jsonl",
        "line 3",
    )


def test_a_misspelt_key_names_the_nearest(tmp_path):
    (tmp_path / "p.toml").write_text('generator = "skillmix"\n[skillmix]\nskills_per_topics = 3\n')
    one_line(
        datagen("run", tmp_path / "p.toml"), "skills_per_topics", "did you mean 'skills_per_topic'"
    )


def test_an_unknown_export_format_and_an_unknown_row(scripted, tmp_path):
    scripted("--n", 2)
    one_line(datagen("export", tmp_path / "run", "--format", "parket"), "parket")
    one_line(datagen("trace", tmp_path / "run", "ffffffffffff"), "ffffffffffff")


@pytest.mark.parametrize("command", ["report", "export", "trace"])
def test_commands_on_a_folder_that_is_no_run(tmp_path, command):
    (tmp_path / "empty").mkdir()
    one_line(
        datagen(command, tmp_path / "empty", *(["abcdef"] if command == "trace" else [])), "empty"
    )


def test_shirkers_of_a_run_that_is_not_there(scripted):
    one_line(scripted("--shirkers", "junk"), "not a finished run")


def test_an_endpoint_that_is_down(tmp_path):
    begun = time.monotonic()
    result = datagen(
        "skillmix",
        "--n",
        4000,
        "--base-url",
        "http://127.0.0.1:9/v1",
        "--model",
        "m",
        "--out",
        tmp_path / "r",
    )
    one_line(result, "127.0.0.1:9", "start the server or mend --base-url")
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    "options, words",
    [
        ({"auth": "right"}, "HTTP 401.*check the key"),
        ({"model": "other"}, "HTTP 404.*check --model"),
    ],
)
def test_wrong_key_and_unknown_model_stop_after_the_first_answer(tmp_path, options, words):
    with running(**options) as server:
        result = datagen(
            "skillmix",
            "--n",
            4000,
            "--base-url",
            server.url,
            "--model",
            "m",
            "--out",
            tmp_path / "r",
            env={"OPENAI_API_KEY": "sk-very-secret"},
        )
        # topics and query types are asked for side by side
        assert server.stats()["received"] <= 2
    one_line(result, words)
    everything = (
        result.stdout
        + result.stderr
        + "".join(
            path.read_text()
            for path in (tmp_path / "r").rglob("*")
            if path.is_file() and path.name != "ballast"
        )
    )
    assert "sk-very-secret" not in everything


def test_a_price_that_is_not_known_cannot_be_limited(tmp_path):
    one_line(
        datagen(
            "skillmix",
            "--max-cost",
            1,
            "--base-url",
            "http://127.0.0.1:9/v1",
            "--model",
            "unheard-of",
            "--out",
            tmp_path / "r",
        ),
        "--price-in and --price-out",
    )


# ---- partial, interrupted, killed, full ----------------------------------------------------------


def test_poisoned_prompts_are_set_aside_and_the_exit_code_says_partial(tmp_path, skills, types):
    with running(bad_every=20, latency_ms=2) as server:
        result = datagen(
            "skillmix",
            "--n",
            400,
            "--turns",
            1,
            "--skills",
            skills,
            "--query-types",
            types,
            "--base-url",
            server.url,
            "--model",
            "mock-model",
            "--out",
            tmp_path / "r",
        )
        stats = server.stats()
    rejected = [
        json.loads(line) for line in (tmp_path / "r/rejected/5_rows.jsonl").read_text().splitlines()
    ]
    kept = len((tmp_path / "r/dataset/train.jsonl").read_text().splitlines())
    assert result.returncode == 3 and "partial" in result.stderr
    assert kept + len(rejected) == 400 == stats["received"]
    assert rejected and all(
        r["reason"] == "server_refused" and "HTTP 400" in r["detail"] for r in rejected
    )


def test_ctrl_c_exits_130_and_the_same_command_goes_on(tmp_path, skills, types):
    with running(latency_ms=30) as server:
        words = (
            "skillmix",
            "--n",
            600,
            "--turns",
            3,
            "--skills",
            skills,
            "--query-types",
            types,
            "--base-url",
            server.url,
            "--model",
            "mock-model",
            "--concurrency",
            16,
            "--out",
            tmp_path / "r",
        )
        process = started(*words)
        while server.stats()["delivered"] < 200:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "run the same command again" in errors and "Traceback" not in errors
        assert datagen(*words).returncode == 0
        stats = server.stats()
    # Ctrl-C waits for what is on the wire: nothing at all is asked twice.
    assert stats["received"] == 1800


def test_two_commands_on_one_folder(tmp_path, skills, types):
    with running(latency_ms=300) as server:
        words = (
            "skillmix",
            "--n",
            50,
            "--turns",
            3,
            "--skills",
            skills,
            "--query-types",
            types,
            "--base-url",
            server.url,
            "--model",
            "mock-model",
            "--concurrency",
            4,
            "--out",
            tmp_path / "r",
        )
        first = started(*words)
        while server.stats()["received"] == 0:
            time.sleep(0.02)
        one_line(datagen(*words), "is in use by process")
        first.kill()
        first.communicate()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of six megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_one_line_and_nothing_answered_is_lost(small_disk, skills, types):
    with running(latency_ms=5) as server:
        words = (
            "skillmix",
            "--n",
            1500,
            "--turns",
            3,
            "--skills",
            skills,
            "--query-types",
            types,
            "--base-url",
            server.url,
            "--model",
            "mock-model",
            "--concurrency",
            32,
            "--out",
            small_disk / "r",
        )
        one_line(
            datagen(*words),
            "No space left on device",
            "free some space and run the same command again",
        )
        delivered = server.stats()["delivered"]
        kept = sum(
            path.read_bytes().count(b"\n") for path in (small_disk / "r").rglob("journal.log")
        )
        assert kept == delivered > 500
        subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
        assert datagen(*words).returncode == 0
        stats = server.stats()
    assert stats["received"] == 4500


@pytest.mark.parametrize("moment", [0.15, 0.5, 0.85])
def test_kill_9_loses_and_doubles_nothing(tmp_path, skills, types, moment):
    with running(latency_ms=10, latency_spread=0.5) as server:
        words = (
            "skillmix",
            "--n",
            300,
            "--turns",
            3,
            "--skills",
            skills,
            "--query-types",
            types,
            "--base-url",
            server.url,
            "--model",
            "mock-model",
            "--concurrency",
            32,
        )
        process = started(*words, "--out", tmp_path / "killed")
        while server.stats()["delivered"] < moment * 900:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        time.sleep(0.2)
        before = server.stats(ids=True)
        assert datagen(*words, "--out", tmp_path / "killed").returncode == 0
        again = server.stats()["received"] - before["received"]
        assert datagen(*words, "--out", tmp_path / "whole").returncode == 0
    # What is asked again was on the wire: at most 32 requests, answered but not yet read.
    assert again <= 900 - before["unique_delivered"] + 32
    killed, whole = (
        (tmp_path / name / "dataset/train.jsonl").read_bytes() for name in ("killed", "whole")
    )
    assert killed == whole

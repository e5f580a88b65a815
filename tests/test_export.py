"""Exports against the trainers' documented schemas; real readers are in test_export_readers.py."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import yaml
from export_rows import (
    assistant,
    hostile,
    multi_turn,
    pair,
    pairs,
    row,
    single_turn,
    system,
    user,
    write_run,
)

from datagen.errors import ConfigError, RunError
from datagen.export import FORMATS, DatasetInfo, export, finish_dataset
from datagen.export.views import PAIR_FORMATS

INFO = DatasetInfo(generator="skillmix", model="demo")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def rows_of(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    """The exported rows, whichever kind of file they are in."""
    if (folder / f"{split}.parquet").exists():
        return pyarrow.parquet.read_table(folder / f"{split}.parquet").to_pylist()
    return lines(folder / f"{split}.jsonl")


# One row in each format


def only(tmp_path: Path, format: str, source: dict[str, Any]) -> dict[str, Any]:
    """The single exported row, without id and provenance."""
    run = write_run(tmp_path / "run", [source])
    (found,) = rows_of(export(run, format).folder)
    return {name: value for name, value in found.items() if name not in ("id", "provenance")}


SIMPLE = row([system("S"), user("Q")], [assistant("A")])


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("trl", {"prompt": [system("S"), user("Q")], "completion": [assistant("A")]}),
        ("messages", {"messages": [system("S"), user("Q"), assistant("A")]}),
        (
            "sharegpt",
            {
                "conversations": [
                    {"from": "system", "value": "S"},
                    {"from": "human", "value": "Q"},
                    {"from": "gpt", "value": "A"},
                ]
            },
        ),
        ("alpaca", {"instruction": "Q", "input": "", "output": "A", "system": "S"}),
        ("openai", {"messages": [system("S"), user("Q"), assistant("A")]}),
        ("verl", {"messages": [system("S"), user("Q"), assistant("A")]}),
        ("swift", {"messages": [system("S"), user("Q"), assistant("A")]}),
    ],
)
def test_a_single_turn_row(tmp_path: Path, format: str, expected: dict[str, Any]) -> None:
    assert only(tmp_path, format, SIMPLE) == expected


EARLIER = row([user("u1"), assistant("OLD"), user("u2")], [assistant("NEW")])


@pytest.mark.parametrize(
    ("format", "key", "marks"),
    [
        # Learnt is the completion alone: the fourth of four messages.
        ("messages", "train", [False, False, False, True]),
        ("sharegpt", "train", [False, False, False, True]),
        ("swift", "loss", [False, False, False, True]),
        # OpenAI's reference has a weight on assistant messages only.
        ("openai", "weight", [None, 0, None, 1]),
    ],
)
def test_an_earlier_answer_is_marked_as_not_learnt(
    tmp_path: Path, format: str, key: str, marks: list[Any]
) -> None:
    (messages,) = only(tmp_path, format, EARLIER).values()
    assert [message.get(key) for message in messages] == marks


def test_an_earlier_answer_is_alpaca_history(tmp_path: Path) -> None:
    found = only(tmp_path, "alpaca", EARLIER)
    assert found["history"] == [["u1", "OLD"]]
    assert (found["instruction"], found["output"]) == ("u2", "NEW")


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("trl", {"prompt": [user("q")], "chosen": [assistant("y")], "rejected": [assistant("n")]}),
        (
            "messages",
            {"messages": [user("q")], "chosen": assistant("y"), "rejected": assistant("n")},
        ),
        (
            "sharegpt",
            {
                "conversations": [{"from": "human", "value": "q"}],
                "chosen": {"from": "gpt", "value": "y"},
                "rejected": {"from": "gpt", "value": "n"},
            },
        ),
        (
            "alpaca",
            {"instruction": "q", "input": "", "system": "", "chosen": "y", "rejected": "n"},
        ),
        (
            "openai",
            {
                "input": {"messages": [user("q")]},
                "preferred_output": [assistant("y")],
                "non_preferred_output": [assistant("n")],
            },
        ),
        ("swift", {"messages": [user("q"), assistant("y")], "rejected_response": "n"}),
    ],
)
def test_a_preference_pair(tmp_path: Path, format: str, expected: dict[str, Any]) -> None:
    assert only(tmp_path, format, pair([user("q")], "y", "n")) == expected


def test_alpaca_pairs_with_history_are_typed(tmp_path: Path) -> None:
    found = rows_of(export(write_run(tmp_path / "run", pairs()), "alpaca").folder)
    assert [one["history"] for one in found] == [[["u1", "OLD"]], []]
    assert [one["chosen"] for one in found] == ["good", "yes"]


# Every format


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("rows", [single_turn(), multi_turn(), list(hostile(60))])
def test_no_word_is_lost_or_changed(
    tmp_path: Path, format: str, rows: list[dict[str, Any]]
) -> None:
    fit = [
        one for one in rows if format != "openai" or all(m["content"] for m in one["prompt"][-1:])
    ]
    found = rows_of(export(write_run(tmp_path / "run", fit), format).folder)

    def words(value: Any) -> list[str]:
        if isinstance(value, str):
            return [value]
        inside = (
            value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
        )
        return [word for one in inside for word in words(one)]

    roles = {"system", "user", "assistant", "human", "gpt", ""}
    for one, view in zip(fit, found, strict=True):
        said = {m["content"] for m in (*one["prompt"], *one["completion"])}
        told = set(words({k: v for k, v in view.items() if k not in ("id", "provenance")}))
        assert told - roles == said - roles


@pytest.mark.parametrize("format", [f for f in FORMATS if f != "openai"])
def test_id_and_provenance_travel_as_text(tmp_path: Path, format: str) -> None:
    rows = multi_turn()
    found = rows_of(export(write_run(tmp_path / "run", rows), format).folder)
    assert [(one["id"], one["provenance"]) for one in found] == [
        (one["id"], one["provenance"]) for one in rows
    ]


def test_openai_gets_only_the_keys_it_knows(tmp_path: Path) -> None:
    found = rows_of(export(write_run(tmp_path / "run", multi_turn()), "openai").folder)
    assert {key for one in found for key in one} == {"messages"}
    messages = [message for one in found for message in one["messages"]]
    assert {key for m in messages for key in m} == {"role", "content", "weight"}
    assert all(m["content"] for m in messages)  # the empty system turn is left away
    assert {m["role"] for m in messages if "weight" in m} == {"assistant"}


@pytest.mark.parametrize("format", FORMATS)
def test_keys_never_vary_within_an_export(tmp_path: Path, format: str) -> None:
    run = write_run(tmp_path / "run", multi_turn(), single_turn())
    folder = export(run, format).folder
    both = rows_of(folder) + rows_of(folder, "heldout")
    assert len({tuple(one) for one in both}) == 1
    for name in {"messages", "conversations"} & both[0].keys():
        keys = {tuple(sorted(m)) for one in both for m in one[name] if m.get("role") != "user"}
        assert len(keys - {("content", "role")}) <= 1


@pytest.mark.parametrize("format", FORMATS)
def test_both_splits_are_written(tmp_path: Path, format: str) -> None:
    run = write_run(tmp_path / "run", single_turn(5), single_turn(2))
    done = export(run, format)
    assert done.rows == {"train": 5, "heldout": 2}
    assert done.folder == run / "export" / format
    assert [len(rows_of(done.folder, split)) for split in ("train", "heldout")] == [5, 2]


# What does not fit


@pytest.mark.parametrize(
    ("format", "bad", "reason"),
    [
        *((f, row([system("S")], [assistant("A")]), "no user turn") for f in FORMATS),
        *((f, row([user("Q")], []), "does not end with an assistant turn") for f in FORMATS),
        *((f, row([user("Q")], [user("?")]), "does not end with an assistant") for f in FORMATS),
        ("sharegpt", row([user("Q"), user("Q2")], [assistant("A")]), "do not alternate"),
        ("alpaca", row([assistant("A"), user("Q")], [assistant("A")]), "do not alternate"),
        ("alpaca", row([user("Q"), system("S")], [assistant("A")]), "do not alternate"),
        ("openai", row([user("")], [assistant("A")]), "a message is empty"),
    ],
)
def test_a_row_that_does_not_fit_is_counted_and_listed(
    tmp_path: Path, format: str, bad: dict[str, Any], reason: str
) -> None:
    good = single_turn(2)
    run = write_run(tmp_path / "run", [good[0], {**bad, "id": "bad"}, good[1]])
    done = export(run, format)
    assert done.rows == {"train": 2}
    assert list(done.left_out.values()) == [1]
    assert reason in str(done)
    (listed,) = lines(done.folder / "left_out.jsonl")
    assert reason in listed["reason"]
    assert (listed["id"], listed["row"], listed["split"]) == ("bad", 2, "train")
    assert reason in (done.folder / "README.md").read_text()


def test_the_list_of_left_out_rows_goes_when_all_fit(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [*single_turn(1), row([system("S")], [assistant("A")], 9)])
    assert (export(run, "trl").folder / "left_out.jsonl").exists()
    (run / "dataset" / "train.jsonl").write_text(json.dumps(single_turn(1)[0]) + "\n")
    assert not (export(run, "trl").folder / "left_out.jsonl").exists()


@pytest.mark.parametrize(
    ("format", "chosen", "rejected"),
    [
        ("swift", [assistant("A")], [assistant("A")]),
        ("alpaca", [assistant("A")], multi_turn()[2]["completion"]),
    ],
)
def test_a_pair_that_does_not_fit_is_left_out(
    tmp_path: Path, format: str, chosen: list[Any], rejected: list[Any]
) -> None:
    odd = {**pairs()[1], "chosen": chosen, "rejected": rejected}
    assert export(write_run(tmp_path / "run", [*pairs(), odd]), format).rows == {"train": 2}


def test_a_source_of_which_nothing_fits_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [row([system("S")], [assistant("A")])])
    with pytest.raises(
        ConfigError, match=r"no row that alpaca can hold: .*no user turn \(1 rows\)"
    ):
        export(run, "alpaca")
    assert not (run / "export").exists()


def test_pairs_are_refused_by_verl(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds pairs, which verl cannot: choose of trl, "):
        export(write_run(tmp_path / "run", pairs()), "verl")


# Bad input


def test_an_unknown_format_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown format 'parquet': choose one of trl, messages,"):
        export(tmp_path, "parquet")


def test_a_missing_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run at .*`datagen skillmix` makes one"):
        export(tmp_path / "none", "trl")
    with pytest.raises(ConfigError, match="the run is not finished; give its command again"):
        export(tmp_path, "trl")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(ConfigError, match="the file is empty"):
        export(tmp_path, "trl")


def test_a_cut_source_leaves_the_earlier_export_alone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", single_turn())
    folder = export(run, "trl").folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    source = run / "dataset" / "train.jsonl"
    source.write_bytes(source.read_bytes()[:-30])
    with pytest.raises(ConfigError, match="line 3: the line is cut in the middle"):
        export(run, "trl")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["README.md", "train.jsonl", "notes.txt"])
def test_somebody_elses_folder_is_not_written_into(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "run", single_turn())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("# My project\n")
    with pytest.raises(ConfigError, match="holds files that no export wrote: choose another --out"):
        export(run, "trl", tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [name]
    assert (tmp_path / "mine" / name).read_text() == "# My project\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_export_that_stopped_says_so_and_can_be_run_again(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", single_turn())
    folder = run / "export" / "trl"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("<!-- written by datagen export -->")
    (folder / f".train.jsonl.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(RunError, match="No space left on device"):
        export(run, "trl")
    assert "not finished" in (folder / "README.md").read_text()
    assert export(run, "trl").rows == {"train": 3}
    assert "not finished" not in (folder / "README.md").read_text()


def test_rows_are_not_overwritten_by_their_export(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", single_turn())
    before = (run / "dataset" / "train.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="the rows are read from"):
        export(run, "messages", run / "dataset")
    assert (run / "dataset" / "train.jsonl").read_bytes() == before


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", single_turn())
    with pytest.raises(ConfigError, match=r"cannot make .*: Not a directory: choose another --out"):
        export(run, "trl", run / "config.json" / "out")


# Sources and repetition


@pytest.mark.parametrize("source", [".", "dataset", "dataset/train.jsonl"])
def test_a_run_its_dataset_and_its_rows_are_sources(tmp_path: Path, source: str) -> None:
    run = write_run(tmp_path / "run", single_turn())
    done = export(run / source, "trl")
    assert done.folder.resolve() == (run / "export" / "trl").resolve()
    assert done.rows == {"train": 3}


def test_a_rows_file_of_any_name_is_a_source(tmp_path: Path) -> None:
    bare = {name: SIMPLE[name] for name in ("prompt", "completion")}  # no id, no provenance
    (tmp_path / "My rows, v2.jsonl").write_text(json.dumps(bare) + "\n")
    done = export(tmp_path / "My rows, v2.jsonl", "sharegpt", tmp_path / "out")
    assert list(rows_of(done.folder)[0]) == ["conversations"]
    assert list(json.loads((done.folder / "dataset_info.json").read_text())) == [
        "my_rows_v2_sharegpt"
    ]


def test_exporting_again_replaces_and_leaves_nothing_stale(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", multi_turn(), single_turn())
    assert (export(run, "alpaca").folder / "heldout.parquet").exists()
    (run / "dataset" / "heldout.jsonl").unlink()
    (run / "dataset" / "train.jsonl").write_text(json.dumps(single_turn(1)[0]) + "\n")
    names = {path.name for path in export(run, "alpaca").folder.iterdir()}
    assert names == {"train.jsonl", "README.md", "dataset_info.json", "llamafactory.yaml"}


def test_equal_rows_give_equal_bytes_in_every_process(tmp_path: Path) -> None:
    script = (
        "import hashlib, sys; from pathlib import Path; from datagen.export import *\n"
        "run = Path(sys.argv[1]); finish_dataset(run / 'dataset', "
        "DatasetInfo(generator='skillmix', model='m', config={'b': 1, 'a': {'d': 2, 'c': 3}}))\n"
        "[export(run, format) for format in FORMATS]\n"
        "for path in sorted(run.rglob('*')):\n"
        "    if path.is_file():\n"
        "        print(path.relative_to(run), hashlib.sha256(path.read_bytes()).hexdigest())\n"
    )
    seen = []
    for seed in ("1", "2"):
        run = write_run(tmp_path / seed, [*multi_turn(), *hostile(40)], single_turn())
        result = subprocess.run(
            [sys.executable, "-c", script, str(run)],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        seen.append(result.stdout)
    assert seen[0] == seen[1]
    assert seen[0].count("\n") >= 7 * 3 + 6  # rows, README and configuration of each format


# Configuration beside the rows


@pytest.mark.parametrize("rows", [single_turn(), multi_turn(), pairs()])
@pytest.mark.parametrize("format", FORMATS)
def test_configuration_parses_and_names_files_that_exist(
    tmp_path: Path, format: str, rows: list[dict[str, Any]]
) -> None:
    if "chosen" in rows[0] and format not in PAIR_FORMATS:
        pytest.skip("verl has no trainer for pairs")
    folder = export(write_run(tmp_path / "run", rows, rows), format).folder
    texts = {
        path.suffix: path.read_text() for path in folder.iterdir() if path.stem.startswith("train_")
    }
    for path in folder.glob("*.yaml"):
        settings = yaml.safe_load(path.read_text())
        texts[path.name] = json.dumps(settings)
    for kind, text in texts.items():
        if kind == ".py":
            ast.parse(text)
        if kind == ".sh":
            subprocess.run(["sh", "-n", folder / f"train_{format}.sh"], check=True)
        if kind != "llamafactory.yaml" and format != "openai":
            suffix = "parquet" if format == "verl" else "jsonl"
            assert f"train.{suffix}" in text and f"heldout.{suffix}" in text
    assert texts


@pytest.mark.parametrize("rows", [single_turn(), multi_turn(), pairs()])
@pytest.mark.parametrize("format", ["sharegpt", "messages", "alpaca"])
def test_llamafactory_entries_describe_the_files(
    tmp_path: Path, format: str, rows: list[dict[str, Any]]
) -> None:
    """The columns it will read are in the rows, and it would skip none (data/README.md there)."""
    folder = export(write_run(tmp_path / "run", rows, rows), format).folder
    settings = yaml.safe_load((folder / "llamafactory.yaml").read_text())
    entries = json.loads((folder / "dataset_info.json").read_text())
    assert set(entries) == {settings["dataset"], settings["eval_dataset"]}
    entry = entries[settings["dataset"]]
    found = rows_of(folder)
    assert (folder / entry["file_name"]).is_file()
    assert set(entry["columns"].values()) <= found[0].keys()
    assert entry.get("ranking", False) == ("chosen" in rows[0])
    assert settings["stage"] == ("dpo" if "chosen" in rows[0] else "sft")
    if format == "alpaca":
        assert ("history" in found[0]) == (entry["columns"].get("history") == "history")
        return
    tags = entry["tags"]
    for one in found:
        roles = [m[tags["role_tag"]] for m in one[entry["columns"]["messages"]]]
        roles = roles[roles[0] == tags["system_tag"] :]
        assert set(roles[::2]) == {tags["user_tag"]}
        assert set(roles[1::2]) <= {tags["assistant_tag"]}
        assert len(roles) % 2 == ("chosen" in one)


def test_only_earlier_answers_switch_the_history_mask_on(tmp_path: Path) -> None:
    for name, rows, expected in (("a", single_turn(), False), ("b", multi_turn(), True)):
        folder = export(write_run(tmp_path / name, rows), "sharegpt").folder
        assert (
            yaml.safe_load((folder / "llamafactory.yaml").read_text())["mask_history"] is expected
        )


def test_axolotl_reads_the_marks_where_there_are_any(tmp_path: Path) -> None:
    for name, rows in (("a", single_turn()), ("b", multi_turn())):
        folder = export(write_run(tmp_path / name, rows), "messages").folder
        (settings,) = yaml.safe_load((folder / "axolotl.yaml").read_text())["datasets"]
        marked = "train" in rows_of(folder)[0]["messages"][0]
        assert settings.get("message_field_training") == ("train" if marked else None)
        assert settings["roles_to_train"] == ([] if marked else ["assistant"])


def test_verl_says_that_it_learns_earlier_answers(tmp_path: Path) -> None:
    folder = export(write_run(tmp_path / "run", multi_turn()), "verl").folder
    assert "in 1 rows that includes turns of the prompt" in (folder / "README.md").read_text()


def test_media_tags_in_text_are_warned_of(tmp_path: Path) -> None:
    rows = [*single_turn(), row([user("What is <video> in HTML?")], [assistant("A tag.")], 9)]
    folder = export(write_run(tmp_path / "run", rows), "sharegpt").folder
    assert "1 rows hold `<image>`" in (folder / "README.md").read_text()


# The finished dataset


def finished(tmp_path: Path, info: DatasetInfo = INFO, **splits: list[dict[str, Any]]) -> Path:
    folder = write_run(
        tmp_path / "run", splits.get("train", single_turn()), splits.get("heldout", [])
    )
    finish_dataset(folder / "dataset", info)
    return folder / "dataset"


def front_matter(folder: Path) -> dict[str, Any]:
    _, text, _ = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    return yaml.safe_load(text)


def test_parquet_holds_the_rows_with_fixed_types(tmp_path: Path) -> None:
    rows = list(hostile(100))
    table = pyarrow.parquet.read_table(finished(tmp_path, train=rows) / "train.parquet")
    assert table.to_pylist() == rows
    messages = "list<element: struct<role: string, content: string>>"
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("id", "string"),
        ("prompt", messages),
        ("completion", messages),
        ("provenance", "string"),
    ]


def test_no_rows_give_a_typed_empty_file(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").touch()
    finish_dataset(tmp_path, INFO)
    table = pyarrow.parquet.read_table(tmp_path / "train.parquet")
    assert (table.num_rows, table.column_names) == (0, ["id", "prompt", "completion", "provenance"])
    assert "There is no row" in (tmp_path / "README.md").read_text()
    files = front_matter(tmp_path)["configs"][0]["data_files"]
    assert files == [{"split": "train", "path": "train.parquet"}]


def test_recipe_columns_are_kept(tmp_path: Path) -> None:
    rows = [
        {**one, "score": score, "source": "gpt"}
        for one, score in zip(single_turn(2), (1, 0.5), strict=True)
    ]
    table = pyarrow.parquet.read_table(finished(tmp_path, train=rows) / "train.parquet")
    assert table.column("score").to_pylist() == [1.0, 0.5]
    assert table.column_names == ["id", "prompt", "completion", "score", "source", "provenance"]


def test_an_unknown_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown column mood: rows may have id, prompt,"):
        finished(tmp_path, train=[{**single_turn(1)[0], "mood": "good"}])


def test_an_error_while_writing_leaves_no_half_parquet(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    before = (folder / "train.parquet").read_bytes()
    with (folder / "train.jsonl").open("a") as file:
        file.write('{"id": "cut')
    with pytest.raises(ConfigError, match="line 4: the line is cut"):
        finish_dataset(folder, INFO)
    assert (folder / "train.parquet").read_bytes() == before
    assert not [path for path in folder.iterdir() if path.suffix == ".tmp"]


def test_a_missing_dataset_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no train\.jsonl in .*: run the command"):
        finish_dataset(tmp_path, INFO)


def test_a_heldout_file_of_an_earlier_run_goes(tmp_path: Path) -> None:
    folder = finished(tmp_path, heldout=single_turn(1))
    assert (folder / "heldout.parquet").exists()
    (folder / "heldout.jsonl").unlink()
    finish_dataset(folder, INFO)
    assert not (folder / "heldout.parquet").exists()
    assert "heldout" not in str(front_matter(folder))


def test_the_card_is_what_a_hub_reads(tmp_path: Path) -> None:
    info = DatasetInfo(
        generator="skillmix",
        model="demo",
        title="On: odd 'title' \"q\"",
        language=("no", "de"),
        license="mit",
    )
    found = front_matter(finished(tmp_path, info, train=single_turn(1500), heldout=single_turn(5)))
    assert found["configs"][0].pop("description").startswith("contents ")
    assert found == {
        "pretty_name": "On: odd 'title' \"q\"",
        "license": "mit",
        "language": ["no", "de"],  # unquoted, YAML reads Norwegian as false
        "task_categories": ["text-generation"],
        "tags": ["datagen", "synthetic", "skillmix"],
        "size_categories": ["1K<n<10K"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "train.parquet"},
                    {"split": "heldout", "path": "heldout.parquet"},
                ],
            }
        ],
    }


def test_the_card_counts_and_explains(tmp_path: Path) -> None:
    info = DatasetInfo(
        generator="skillmix",
        model="demo-7b",
        engine="openai",
        arxiv="2408.14774",
        command="datagen skillmix --n 2",
        config={"skillmix": {"k": 2}},
        counts={"planned": 1234, "rejected: too_short": 7},
        limits=("Pairs of skills may be contrived.",),
    )
    rows = [
        row([user("four")], [assistant("sixsix")], 0),
        row([user("sixsix")], [assistant("ab")], 1),
    ]
    text = (finished(tmp_path, info, train=rows) / "README.md").read_text()
    assert "| train | 2 | 5 | 4 |" in text  # (4 + 6) / 2 and (6 + 2) / 2 characters
    for part in (
        "written by the model `demo-7b` (engine `openai`)",
        "https://arxiv.org/abs/2408.14774",
        "datagen skillmix --n 2",
        '"k": 2',
        "| planned | 1,234 |",
        "| rejected: too_short | 7 |",
        "- Pairs of skills may be contrived.",
        "Nobody has checked the facts.",
        "| skills | skills the instruction was to exercise |",
    ):
        assert part in text


def test_hostile_text_stays_inside_the_card(tmp_path: Path) -> None:
    evil = "```\n</details><script>alert(1)</script>\n---\n# Owned | x"
    info = DatasetInfo(
        generator="skillmix",
        model=evil,
        title=evil,
        summary=evil,
        command=evil,
        counts={evil: 1},
        limits=(evil,),
    )
    rows = [row([user(evil)], [assistant("````` five")], 0)]
    folder = finished(tmp_path, info, train=rows)
    text = (folder / "README.md").read_text()
    assert front_matter(folder)["size_categories"] == ["n<1K"]
    outside, fence = [], ""
    for line in text.split("\n"):
        ticks = line[: len(line) - len(line.lstrip("`"))]
        if not fence and len(ticks) >= 3:
            fence = ticks
        elif fence and line == fence:
            fence = ""
        elif not fence and not line.startswith(("pretty_name", "2 rows", "1 rows")):
            outside.append(line)
    assert fence == ""
    assert not any("<script>" in line for line in outside)
    assert "# Owned | x" not in outside


@pytest.mark.parametrize("provenance", ["not json", "[]", "7", "[" * 100_000])
def test_provenance_of_another_program_is_no_trouble(tmp_path: Path, provenance: str) -> None:
    folder = finished(tmp_path, train=[{**single_turn(1)[0], "provenance": provenance}])
    assert pyarrow.parquet.read_table(folder / "train.parquet").num_rows == 1


@pytest.mark.parametrize("rows", [single_turn(), multi_turn(), pairs()])
def test_dataset_info_points_at_what_export_writes(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    folder = finished(tmp_path, train=rows, heldout=rows)
    for format in ("sharegpt", "alpaca", "messages"):
        beside = json.loads((export(folder, format).folder / "dataset_info.json").read_text())
        entries = json.loads((folder / "dataset_info.json").read_text())
        for name, entry in beside.items():
            assert entries[name] == {**entry, "file_name": entries[name]["file_name"]}
            assert (folder / entries[name]["file_name"]).is_file()


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", single_turn())
    (run / "export").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match="cannot make"):
        export(run, "trl")

"""Exports through the readers that people use: datasets, pandas, polars, DuckDB, TRL, a hub."""

import base64
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from export_rows import assistant, hostile, multi_turn, pairs, row, single_turn, user, write_run

from datagen.export import FORMATS, DatasetInfo, export, finish_dataset

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1")

REPO = Path(__file__).parents[1]


def load(folder: Path, cache: Path) -> dict[str, list[dict[str, Any]]]:
    """All splits of a folder, as datasets reads it from its README.md."""
    import datasets

    found = datasets.load_dataset(str(folder), cache_dir=str(cache))
    return {split: rows.to_list() for split, rows in found.items()}


def full(value: Any) -> Any:
    """A value without the nulls that Arrow fills in."""
    if isinstance(value, dict):
        return {key: full(one) for key, one in value.items() if one is not None}
    return [full(one) for one in value] if isinstance(value, list) else value


# datasets


def test_datasets_opens_the_finished_dataset(tmp_path: Path) -> None:
    rows = list(hostile(60))
    run = write_run(tmp_path / "run", rows, single_turn())
    finish_dataset(run / "dataset", DatasetInfo(generator="skillmix", model="m"))
    assert load(run / "dataset", tmp_path / "cache") == {"train": rows, "heldout": single_turn()}


@pytest.mark.parametrize("rows", [single_turn(), multi_turn(), pairs(), list(hostile(60))])
@pytest.mark.parametrize("format", FORMATS)
def test_datasets_opens_every_export(
    tmp_path: Path, format: str, rows: list[dict[str, Any]]
) -> None:
    if format == "verl" and "chosen" in rows[0]:
        pytest.skip("verl has no trainer for pairs")
    folder = export(write_run(tmp_path / "run", rows, rows), format).folder
    found = load(folder, tmp_path / "cache")
    assert found["train"] == found["heldout"]
    assert len(found["train"]) == len(rows)
    if (folder / "train.jsonl").exists():
        lines = (folder / "train.jsonl").read_bytes().splitlines()
        assert full(found["train"]) == [json.loads(line) for line in lines]


def test_rows_that_grow_richer_after_10_megabytes_are_read(tmp_path: Path) -> None:
    """datasets infers the columns of a .jsonl from its first 10 MB."""
    import datasets

    long = "x" * 100_000
    late = row([user("u1"), assistant("OLD"), user("u2")], [assistant("NEW")], 200)
    rows = [*(row([user(long)], [assistant("a")], i) for i in range(120)), late]  # 12 MB, then it
    run = write_run(tmp_path / "run", rows)
    for format in FORMATS:
        found = datasets.load_dataset(
            str(export(run, format).folder), cache_dir=str(tmp_path / "cache"), split="train"
        )
        assert len(found) == 121
        assert "OLD" in json.dumps(found[-1])


def test_datasets_tells_runs_apart_and_sees_new_rows(tmp_path: Path) -> None:
    """It caches a local folder by the folder's last name and its README.md, not by its files."""
    cache = tmp_path / "cache"
    for name, rows in (("a", single_turn(3)), ("b", single_turn(4)), ("a2", single_turn(3)[::-1])):
        run = write_run(tmp_path / name, rows)
        finish_dataset(run / "dataset", DatasetInfo(generator="skillmix", model="m"))
        assert load(run / "dataset", cache)["train"] == rows
        for format in ("trl", "verl"):
            ids = [one["id"] for one in load(export(run, format).folder, cache)["train"]]
            assert ids == [one["id"] for one in rows]


# Other readers


def test_pandas_reads_parquet_and_jsonl(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rows = list(hostile(40))
    run = write_run(tmp_path / "run", rows)
    finish_dataset(run / "dataset", DatasetInfo(generator="skillmix", model="m"))
    parquet = pandas.read_parquet(run / "dataset" / "train.parquet")
    jsonl = pandas.read_json(export(run, "trl").folder / "train.jsonl", lines=True, dtype=False)
    assert list(parquet.columns) == list(jsonl.columns) == list(rows[0])
    assert [list(value) for value in parquet["prompt"]] == [one["prompt"] for one in rows]
    assert list(jsonl["completion"]) == [one["completion"] for one in rows]


def test_polars_reads_parquet(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    run = write_run(tmp_path / "run", rows := list(hostile(40)))
    finish_dataset(run / "dataset", DatasetInfo(generator="skillmix", model="m"))
    assert polars.read_parquet(run / "dataset" / "train.parquet").to_dicts() == rows
    verl = polars.read_parquet(export(run, "verl").folder / "train.parquet").to_dicts()
    assert [one["messages"] for one in verl] == [one["prompt"] + one["completion"] for one in rows]


def test_duckdb_reads_parquet(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    run = write_run(tmp_path / "run", rows := list(hostile(40)))
    finish_dataset(run / "dataset", DatasetInfo(generator="skillmix", model="m"))
    file = run / "dataset" / "train.parquet"
    found = duckdb.sql(f"select id, completion[1].content from '{file}'").fetchall()
    assert found == [(one["id"], one["completion"][0]["content"]) for one in rows]


# TRL


def byte_tokenizer() -> Any:
    """One token for each byte, with the ChatML template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {letter: at for at, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return tokenizer


@pytest.mark.filterwarnings("ignore")  # those of transformers and TRL are not ours to mend
def test_trl_renders_prompt_completion_and_pairs(tmp_path: Path) -> None:
    data_utils = pytest.importorskip("trl.data_utils", reason="trl is not installed")
    tokenizer = byte_tokenizer()
    sft = export(write_run(tmp_path / "sft", multi_turn()), "trl").folder
    found = load(sft, tmp_path / "cache")["train"]
    assert all(data_utils.is_conversational(one) for one in found)
    text = data_utils.apply_chat_template(found[0], tokenizer)
    assert text["prompt"].endswith("<|im_start|>user\nu2<|im_end|>\n<|im_start|>assistant\n")
    assert text["completion"] == "NEW<|im_end|>\n"

    found = load(export(write_run(tmp_path / "dpo", pairs()), "trl").folder, tmp_path / "cache")
    text = data_utils.apply_chat_template(found["train"][0], tokenizer)
    assert (text["chosen"], text["rejected"]) == ("good<|im_end|>\n", "bad<|im_end|>\n")
    whole = {k: found["train"][0]["prompt"] + found["train"][0][k] for k in ("chosen", "rejected")}
    assert data_utils.extract_prompt(whole)["prompt"] == found["train"][0]["prompt"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_trl_script_learns_exactly_the_completions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """train_trl.py as written, with a model of random weights in the place of the named one."""
    pytest.importorskip("trl", reason="trl is not installed")
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = byte_tokenizer()
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": len(tokenizer)}
    Qwen2ForCausalLM(Qwen2Config(**size, **heads)).save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))

    for name, rows in (("sft", multi_turn()), ("dpo", pairs())):
        folder = export(write_run(tmp_path / name, rows, rows), "trl").folder
        script = (folder / "train_trl.py").read_text()
        script = script.replace("Qwen/Qwen2.5-0.5B-Instruct", str(tmp_path / "tiny"))
        script = script.replace('"model",', '"model", use_cpu=True, report_to="none",')
        monkeypatch.chdir(folder)
        run: dict[str, Any] = {}
        exec(compile(script, "train_trl.py", "exec"), run)  # the script under test, made here
        assert (folder / "model" / "config.json").exists()
        if name == "sft":
            batch = run["trainer"].data_collator([run["trainer"].train_dataset[0]])
            learnt = batch["labels"][0][batch["labels"][0] != -100]
            assert tokenizer.decode(learnt) == "NEW<|im_end|>\n"


# A hub


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of a hub as an upload of small files asks for; remembers what came."""

    seen: list[tuple[str, str | None, bytes]] = []  # noqa: RUF012 - replaced for each server
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.seen.append((self.path, self.headers["authorization"], body))
        host = f"http://{self.headers['Host']}"
        answer: dict[str, Any] = {"errors": [], "warnings": []}
        if self.path == "/api/repos/create":
            answer = {"url": f"{host}/datasets/me/rows"}
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            answer = {
                "files": [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for f in files
                ]
            }
        elif "/commit/" in self.path:
            commit = f"{host}/datasets/me/rows/commit/{'0' * 40}"
            answer = {"commitUrl": commit, "commitOid": "0" * 40}
        if self.status != 200:
            answer = {"error": "You may\nnot."}
        text = json.dumps(answer).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[type[Hub]]:
    handler = type("OneHub", (Hub,), {"seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.address = f"http://127.0.0.1:{server.server_address[1]}"  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def push(run: Path, repo_id: str, **env: str) -> str:
    """What the push says; in its own process, because the hub's address is read at import."""
    script = (
        "import sys; from pathlib import Path; from datagen.export import push\n"
        "from datagen.errors import DatagenError\n"
        "try: print('pushed', push(Path(sys.argv[1]), sys.argv[2]))\n"
        "except DatagenError as error: print(type(error).__name__, error)\n"
    )
    bare = {"PATH": os.environ["PATH"], "HOME": str(run), "HF_HOME": str(run / "hf")}
    result = subprocess.run(
        [sys.executable, "-c", script, str(run), repo_id],
        env=bare | env,
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def run_to_push(tmp_path: Path) -> Path:
    run = write_run(tmp_path / "run", single_turn())
    finish_dataset(run / "dataset", DatasetInfo(generator="skillmix", model="m"))
    (run / "dataset" / "notes.txt").write_text("not for the world")
    return run


def test_push_sends_rows_and_card_and_nothing_else(tmp_path: Path, hub: Any) -> None:
    run = run_to_push(tmp_path)
    said = push(run, "me/rows", HF_ENDPOINT=hub.address, HF_TOKEN="hf_secret")
    assert said == f"pushed {hub.address}/datasets/me/rows"
    paths = [path for path, _, _ in hub.seen]
    assert paths[0] == "/api/repos/create"
    assert all("telemetry" not in path for path in paths)
    made = json.loads(hub.seen[0][2])
    assert made["type"] == "dataset"
    assert made.get("visibility") == "private" or made.get("private") is True
    assert all(token == "Bearer hf_secret" for _, token, _ in hub.seen)
    (commit,) = [body for path, _, body in hub.seen if "/commit/" in path]
    sent = {
        line["value"]["path"]: base64.b64decode(line["value"]["content"])
        for line in map(json.loads, commit.splitlines())
        if line["key"] == "file"
    }
    assert set(sent) == {"README.md", "train.parquet"}
    assert sent["train.parquet"] == (run / "dataset" / "train.parquet").read_bytes()


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "ConfigError the hub does not know this token ("),
        (403, "ConfigError the hub does not let this token write me/rows ("),
        (418, "RunError the hub answered 418 for me/rows ("),
    ],
)
def test_a_refusal_is_one_line_with_the_hubs_words(
    tmp_path: Path, hub: Any, status: int, says: str
) -> None:
    hub.status = status
    said = push(run_to_push(tmp_path), "me/rows", HF_ENDPOINT=hub.address, HF_TOKEN="hf_secret")
    assert said.startswith(says)
    assert "\n" not in said
    assert "hf_secret" not in said


def test_a_hub_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    said = push(run_to_push(tmp_path), "me/rows", HF_ENDPOINT="http://127.0.0.1:9", HF_TOKEN="hf_x")
    assert said.startswith("RunError cannot reach the hub http://127.0.0.1:9 (")
    assert "\n" not in said


def test_no_login_says_how_to(tmp_path: Path, hub: Any) -> None:
    said = push(run_to_push(tmp_path), "me/rows", HF_ENDPOINT=hub.address)
    assert said.startswith("ConfigError not logged in to the hub: set HF_TOKEN")
    assert hub.seen == []


@pytest.mark.parametrize("name", ["a/b/c", "me/ro ws", "../rows", "", "me/rows.git"])
def test_a_name_that_no_hub_takes_is_refused_here(tmp_path: Path, hub: Any, name: str) -> None:
    said = push(run_to_push(tmp_path), name, HF_ENDPOINT=hub.address, HF_TOKEN="hf_x")
    assert said.startswith(f"ConfigError {name!r} is no repository name: give NAME/DATASET")
    assert hub.seen == []


def test_an_unfinished_run_is_not_pushed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", single_turn())
    assert push(run, "me/rows", HF_TOKEN="hf_x").startswith("ConfigError no finished dataset in ")


# Memory


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Peak resident memory of 100,000 rows (35 MB) within 24 MB of that of 1,000."""
    script = (
        "import resource, sys; from pathlib import Path; from datagen.export import *\n"
        "run = Path(sys.argv[1])\n"
        "finish_dataset(run / 'dataset', DatasetInfo(generator='skillmix', model='m'))\n"
        "[export(run, format) for format in ('trl', 'verl', 'sharegpt')]\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = []
    for count in (1_000, 100_000):
        run = write_run(tmp_path / str(count), [])
        with (run / "dataset" / "train.jsonl").open("w") as file:
            for at in range(count):
                noise = hashlib.sha256(str(at).encode()).hexdigest()
                one = row([user(f"Q {noise}")], [assistant(f"A {noise}")], at)
                file.write(json.dumps(one) + "\n")
        result = subprocess.run(
            [sys.executable, "-c", script, str(run)],
            cwd=REPO,
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(result.stdout) // 1024)  # KiB to MiB
    assert peaks[1] - peaks[0] < 24

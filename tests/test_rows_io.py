"""Row files: what is written comes back, and a bad line is named."""

import json
import os
from pathlib import Path

import pytest

from datagen.errors import ConfigError, RunError
from datagen.rows_io import read_rows, write_rows, written_whole

ROW = {
    "id": "1",
    "prompt": [{"role": "user", "content": "Hi"}],
    "completion": [{"role": "assistant", "content": "Ho"}],
    "provenance": "{}",
}
GOOD = json.dumps(ROW).encode() + b"\n"


def message_of(path: Path, *lines: bytes) -> str:
    """The error of reading these lines, which is one line."""
    path.write_bytes(b"".join(lines))
    with pytest.raises(ConfigError) as caught:
        list(read_rows(path))
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    texts = [
        "",
        "\u2028\u2029\x85",
        "a\nb\r\n\tc",
        "\u0000\u001f",
        "👩‍👩‍👧",
        "\ufeff",
        '"\\" \\n',
        "\ud7ff\ue000",
    ]
    rows = [{**ROW, "id": text, "prompt": [{"role": "user", "content": text}]} for text in texts]
    assert write_rows(tmp_path / "r.jsonl", rows) == len(rows)
    assert list(read_rows(tmp_path / "r.jsonl")) == rows


def test_a_row_is_one_line_for_every_definition_of_line(tmp_path: Path) -> None:
    content = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\nh\ri"
    write_rows(tmp_path / "r.jsonl", [{**ROW, "id": content}])
    assert len((tmp_path / "r.jsonl").read_text("utf-8").splitlines()) == 1


def test_reading_is_lazy(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(GOOD + b"broken\n")
    assert next(read_rows(tmp_path / "r.jsonl")) == ROW  # the second line has not been looked at


def test_blank_lines_a_mark_and_windows_ends_are_read_over(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + GOOD + b"\n  \r\n" + GOOD.replace(b"\n", b"\r\n")
    (tmp_path / "r.jsonl").write_bytes(text)
    assert list(read_rows(tmp_path / "r.jsonl")) == [ROW, ROW]


def test_a_last_line_without_an_end_is_whole_if_it_parses(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(GOOD + GOOD.rstrip())
    assert len(list(read_rows(tmp_path / "r.jsonl"))) == 2


@pytest.mark.parametrize("cut", range(1, len(GOOD) - 1, 7))
def test_a_cut_file_is_called_cut(tmp_path: Path, cut: int) -> None:
    message = message_of(tmp_path / "r.jsonl", GOOD, GOOD, GOOD[:cut])
    assert "line 3: the line is cut in the middle" in message


def test_a_file_cut_inside_a_character_is_called_cut(tmp_path: Path) -> None:
    whole = json.dumps({**ROW, "id": "é"}, ensure_ascii=False).encode()
    half = whole[: whole.index("é".encode()) + 1]
    assert "line 2: the line is cut in the middle" in message_of(tmp_path / "r.jsonl", GOOD, half)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{'id': 1}", "not JSON"),
        (b'{"a": 1} {"b": 2}', "not JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"id": "\xff"}', "not UTF-8 text (byte 9 of the line)"),
        (b'{"prompt": ' + b"[" * 100_000, "not a JSON object"),
        (rb'{"id": "\ud83d alone"}', "half of a surrogate pair"),
        (rb'{"id": "\uDE00"}', "half of a surrogate pair"),
        (b"PAR1\x15\x04", "not JSON"),
    ],
)
def test_a_line_that_is_no_json_object_is_named(tmp_path: Path, line: bytes, says: str) -> None:
    message = message_of(tmp_path / "r.jsonl", GOOD, b"\n", line + b"\n", GOOD)
    assert f"line 3: {says}" in message  # the blank line counts, as editors count


def test_an_escaped_emoji_is_text(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(json.dumps({**ROW, "id": "😀"}).encode() + b"\n")
    assert [row["id"] for row in read_rows(tmp_path / "r.jsonl")] == ["😀"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"prompt": None}, "column prompt is not a list of messages"),
        ({"prompt": "Hi"}, "column prompt is not a list of messages"),
        ({"prompt": ["Hi"]}, "not {role, content}"),
        ({"prompt": [{"role": "user"}]}, "not {role, content}"),
        ({"prompt": [{"role": "user", "content": "", "name": "x"}]}, "not {role, content}"),
        ({"prompt": [{"role": "user", "content": 1}]}, "whose content is not text"),
        ({"prompt": [{"role": "tool", "content": ""}]}, "the role 'tool'"),
        ({"prompt": [{"role": ["a\n"], "content": ""}]}, "the role "),
        ({"completion": {}}, "column completion is not a list"),
        ({"id": 7}, "column id is not text"),
        ({"provenance": {"a": 1}}, "column provenance is not text"),
        ({"score": "high"}, "column score is not a number"),
        ({"score": float("nan")}, "column score is not a number"),
    ],
)
def test_a_bad_column_is_named(tmp_path: Path, change: dict[str, object], says: str) -> None:
    bad = json.dumps({**ROW, **change}).encode() + b"\n"
    message = message_of(tmp_path / "r.jsonl", bad)
    assert f"line 1: column {next(iter(change))} " in message
    assert says in message


@pytest.mark.parametrize("column", ["prompt", "completion"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    bad = {name: value for name, value in ROW.items() if name != column}
    assert f"line 1: no column {column}" in message_of(
        tmp_path / "r.jsonl", json.dumps(bad).encode()
    )


@pytest.mark.parametrize("change", [{"extra": 1}, {"provenance": None}])
def test_columns_may_not_vary(tmp_path: Path, change: dict[str, object]) -> None:
    other = {name: value for name, value in {**ROW, **change}.items() if value is not None}
    message = message_of(tmp_path / "r.jsonl", GOOD, GOOD, json.dumps(other).encode() + b"\n")
    assert (
        f"line 3: its columns differ from those of the first row ({next(iter(change))})" in message
    )


def test_a_missing_file_and_a_folder_are_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(ConfigError, match="cannot read"):
            list(read_rows(path))


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    write_rows(tmp_path / "r.jsonl", [ROW])

    def rows_that_stop() -> object:
        yield ROW
        raise ConfigError("bad input")

    with pytest.raises(ConfigError, match="bad input"):
        write_rows(tmp_path / "r.jsonl", rows_that_stop())  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == ["r.jsonl"]
    assert (tmp_path / "r.jsonl").read_bytes() == GOOD


def test_nobody_sees_half_a_file(tmp_path: Path) -> None:
    with written_whole(tmp_path / "f") as file:
        file.write(b"half")
        file.flush()
        assert not (tmp_path / "f").exists()
    assert (tmp_path / "f").read_bytes() == b"half"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    draft = tmp_path / f".r.jsonl.{os.getpid()}.tmp"
    draft.symlink_to("/dev/full")
    with pytest.raises(RunError, match=r"cannot write .*r\.jsonl: No space left on device"):
        write_rows(tmp_path / "r.jsonl", [ROW] * 1000)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="Not a directory"):
        write_rows(tmp_path / "file" / "r.jsonl", [ROW])

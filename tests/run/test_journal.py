import os
import random

import pytest

from datagen.errors import RunError
from datagen.rows import content_hash
from datagen.run.journal import Journal, find_answers

KEYS = [content_hash("key", i) for i in range(50)]


def filled(path, count=5):
    journal = Journal(path)
    for i in range(count):
        journal.put(KEYS[i], {"text": f"answer {i} — ünïcode \n\t\u2028", "p": i})
    journal.close()
    return path.read_bytes()


def test_reads_back_what_was_put_after_reopening(tmp_path):
    filled(tmp_path / "j")
    journal = Journal(tmp_path / "j")
    assert journal.get(KEYS[3]) == {"text": "answer 3 — ünïcode \n\t\u2028", "p": 3}
    assert journal.get(KEYS[40]) is None
    assert [entry["p"] for entry in journal.values()] == [0, 1, 2, 3, 4]


def test_an_entry_is_in_the_file_when_put_returns(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.put(KEYS[0], {"text": "now"})
    # Another reader, no close, no sync: what a kill -9 at this moment would leave.
    assert b'{"text":"now"}\n' in (tmp_path / "j").read_bytes()


def test_a_file_cut_at_any_byte_keeps_all_whole_entries(tmp_path):
    whole = filled(tmp_path / "j")
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        (tmp_path / "cut").write_bytes(whole[:cut])
        journal = Journal(tmp_path / "cut")
        assert len(journal) == sum(end <= cut for end in ends)
        journal.put(KEYS[9], {"text": "after"})
        journal.close()
        again = Journal(tmp_path / "cut")
        assert again.get(KEYS[9]) == {"text": "after"}
        again.close()


def test_a_damaged_entry_is_forgotten_and_its_neighbours_are_not(tmp_path):
    whole = bytearray(filled(tmp_path / "j"))
    rng = random.Random(1)
    line = bytes(whole).split(b"\n")[2]
    start = bytes(whole).index(line)
    for _ in range(50):
        broken = bytearray(whole)
        at = start + rng.randrange(len(line))
        broken[at] = (broken[at] + 1) % 256 or 1
        if broken[at] == ord("\n"):
            continue
        (tmp_path / "b").write_bytes(broken)
        journal = Journal(tmp_path / "b")
        assert [journal.get(KEYS[i]) is not None for i in (0, 1, 3, 4)] == [True] * 4
        assert journal.get(KEYS[2]) is None
        journal.close()


def test_zeros_after_a_power_cut_are_not_entries(tmp_path):
    whole = filled(tmp_path / "j")
    (tmp_path / "j").write_bytes(whole + b"\0" * 4096)
    journal = Journal(tmp_path / "j")
    assert len(journal) == 5
    assert os.path.getsize(tmp_path / "j") == len(whole)


def test_syncing_a_journal_that_was_closed_meanwhile_is_harmless(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.put(KEYS[0], {"text": "kept"})
    journal.close()
    journal.sync()
    assert Journal(tmp_path / "j").get(KEYS[0]) == {"text": "kept"}


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.put(KEYS[0], {"text": "kept"})
    before = (tmp_path / "j").read_bytes()
    readonly = os.open(tmp_path / "j", os.O_RDONLY)
    writable, journal._fd = journal._fd, readonly
    with pytest.raises((RunError, OSError)):
        journal.put(KEYS[1], {"text": "lost"})
    journal._fd = writable
    assert (tmp_path / "j").read_bytes() == before
    assert journal.get(KEYS[1]) is None
    os.close(readonly)


def test_finds_answers_across_the_blocks_of_a_run(tmp_path):
    for number in range(2):
        folder = tmp_path / "blocks" / "5_rows" / f"{number:06d}"
        folder.mkdir(parents=True)
        journal = Journal(folder / "journal.log")
        journal.put(KEYS[number], {"text": f"block {number}"})
        journal.close()
    found = find_answers(tmp_path, [KEYS[1], KEYS[0], KEYS[7]])
    assert found == {KEYS[0]: {"text": "block 0"}, KEYS[1]: {"text": "block 1"}}

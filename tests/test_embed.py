"""Vectors of a real sentence encoder, and neighbours checked against plain arithmetic."""

from __future__ import annotations

import importlib.util
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from datagen.embed import BLOCK, PACKAGED, embed, near_duplicates, nearest
from datagen.errors import ConfigError

np = pytest.importorskip("numpy")
needs_faiss = pytest.mark.skipif(
    importlib.util.find_spec("faiss") is None, reason="the embed extra is not installed"
)
needs_encoder = pytest.mark.skipif(
    any(importlib.util.find_spec(p) is None for p in ("sentence_transformers", PACKAGED)),
    reason="the embed extra or the packaged encoder is not installed",
)


def unit(rows):
    vectors = np.asarray(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@needs_encoder
def test_vectors_have_unit_length():
    vectors = embed(["a cat sits on the mat", "", "x" * 10_000, "\ud800 lone surrogate"])
    assert vectors.shape == (4, 384)  # MiniLM-L6 has 384 dimensions
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-5)


@needs_encoder
def test_a_paraphrase_is_nearer_than_another_subject():
    cat, paraphrase, market = embed(
        ["A cat sleeps on the sofa.", "On the couch a cat is asleep.", "Share prices fell sharply."]
    )
    assert cat @ paraphrase > 0.8
    assert cat @ market < 0.3


@needs_encoder
def test_a_text_has_the_same_vector_in_any_batch():
    texts = [f"{'word ' * (i % 7)}text number {i}" for i in range(40)]
    assert embed(texts, batch=3) == pytest.approx(embed(texts, batch=64), abs=1e-6)


@needs_encoder
def test_no_texts_give_no_vectors():
    assert embed([]).shape == (0, 0)


@needs_faiss
def test_nearest_gives_the_best_other_rows_in_order():
    # at 0, 10, 90 and 100 degrees: cos 10 = .985, cos 80 = .174, cos 90 = 0, cos 100 = -.174
    angles = np.radians([0, 10, 90, 100])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    scores, found = nearest(vectors, k=2)
    assert found.tolist() == [[1, 2], [0, 2], [3, 1], [2, 1]]
    assert scores[0] == pytest.approx([0.985, 0.0], abs=1e-3)
    assert scores[3] == pytest.approx([0.985, 0.0], abs=1e-3)


@needs_faiss
def test_a_row_is_never_its_own_neighbour():
    vectors = unit([[1, 0]] * 6 + [[0, 1]])
    _, found = nearest(vectors, k=2)
    assert all(row not in found[row] for row in range(7))


@needs_faiss
@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (1, 0), (2, 1), (3, 2)])
def test_fewer_rows_than_neighbours(rows, columns):
    scores, found = nearest(unit([[1, 0]] * 3)[:rows], k=4)
    assert scores.shape == found.shape == (rows, columns)


@needs_faiss
def test_near_duplicates_are_those_of_a_plain_loop():
    vectors = unit(np.random.default_rng(7).normal(size=(2 * BLOCK + 300, 6)))
    kept, expected = [], []
    for row, vector in enumerate(vectors):
        similar = [float(vectors[other] @ vector) for other in kept]
        if similar and max(similar) >= 0.9:
            expected.append((row, kept[int(np.argmax(similar))]))
        else:
            kept.append(row)
    found = near_duplicates(vectors, 0.9)
    assert [(dropped, partner) for dropped, partner, _ in found] == expected
    assert len(expected) > 500  # both the blocks before and the own block had partners to find
    assert any(partner // BLOCK != dropped // BLOCK for dropped, partner in expected)
    for dropped, partner, score in found:
        assert score == pytest.approx(float(vectors[dropped] @ vectors[partner]), abs=1e-5)


@needs_faiss
def test_equal_vectors_reach_a_threshold_of_one():
    vectors = unit(np.random.default_rng(3).normal(size=(5, 384)))
    found = near_duplicates(np.concatenate([vectors, vectors]), 1.0)
    assert [(dropped, kept) for dropped, kept, _ in found] == [(5 + i, i) for i in range(5)]


def model_folder(tmp_path: Path) -> Path:
    spec = importlib.util.find_spec(PACKAGED)
    return shutil.copytree(Path(spec.origin).parent / "model", tmp_path / "model")


@needs_encoder
def test_a_folder_is_read_like_the_packaged_model(tmp_path):
    texts = ["one text", "another"]
    assert embed(texts, str(model_folder(tmp_path))) == pytest.approx(embed(texts), abs=1e-6)


class Attack:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@needs_encoder
def test_pickled_weights_are_refused_unread(tmp_path):
    folder = model_folder(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Attack(tmp_path / "trace")))
    with pytest.raises(ConfigError, match="pickle"):
        embed(["text"], str(folder))
    assert not (tmp_path / "trace").exists()


@needs_encoder
def test_code_in_a_model_folder_is_not_run(tmp_path):
    folder = model_folder(tmp_path)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')\n")
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "evil.Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigError, match=r"evil\.Transformer"):
        embed(["text"], str(folder))
    assert not (tmp_path / "trace").exists()


@needs_encoder
@pytest.mark.parametrize("modules", [None, "[{}]", "{", "[1]", "7"])
def test_a_folder_without_a_model_is_one_clear_line(tmp_path, modules):
    if modules is not None:
        (tmp_path / "modules.json").write_text(modules)
    with pytest.raises(ConfigError, match="--embedder") as caught:
        embed(["text"], str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", [PACKAGED, "sentence_transformers", "faiss"])
def test_a_missing_package_says_what_to_install(missing):
    if missing != PACKAGED and importlib.util.find_spec(PACKAGED) is None:
        pytest.skip("the packaged encoder is not installed")
    call = (
        "near_duplicates(__import__('numpy').ones((1, 2)), .9)"
        if missing == "faiss"
        else "embed(['x'])"
    )
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom datagen.embed import *\n{call}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("datagen.errors.ConfigError")
    assert "datagen[embed]" in last


@needs_encoder
def test_loading_a_folder_is_silent_and_opens_no_connection():
    code = (
        "import sys\n"
        "def guard(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto'):\n"
        "        raise RuntimeError('network: ' + repr(args))\n"
        "sys.addaudithook(guard)\n"
        "from datagen.embed import embed\n"
        "assert embed(['text']).shape == (1, 384)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")

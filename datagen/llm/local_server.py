"""A llama.cpp server in a process of its own; ``datagen.llm.local`` runs this file and talks to it.

Not in the caller's process because llama.cpp takes over SIGINT and SIGTERM, holds the GIL while it
loads, ends the process when an assertion fails, and can wait for ever for its own threads when it
is stopped (seen with xllamacpp 2026.10.11549, server.cpp ``~Server``). Here the process is simply
ended: when its standard input closes, which also
happens when the caller is killed. Imports nothing of datagen, so that it starts in 0.1 s.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def serve(settings: dict[str, Any]) -> Any:
    """The running server: ``slots`` conversations at once, ``context`` tokens each."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["gguf"]
    params.model_alias = {settings["name"]}
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["slots"] * settings["context"]
    params.api_keys = [settings["key"]]
    params.verbosity = 1  # errors only, on stderr
    # A model this small says the same again and again. Mild on single tokens, or headings and names
    # would suffer; strong on runs of over 4 (the DRY sampler).
    params.sampling.penalty_repeat = 1.0 + settings["penalty"] / 20
    params.sampling.penalty_last_n = 128
    params.sampling.dry_multiplier = settings["penalty"]
    params.sampling.dry_allowed_length = 4
    params.sampling.dry_penalty_last_n = 512
    params.ui = False
    params.endpoint_slots = False
    params.fit_params = False
    params.cache_ram_mib = 0  # or prompts of finished conversations pile up to 8 GiB
    return xllamacpp.Server(params)


def main() -> None:
    settings = json.loads(sys.stdin.readline())
    try:
        server = serve(settings)
    except RuntimeError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()

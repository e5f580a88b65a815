"""What can go wrong, and how the command line ends for each.

    DatagenError
    ├── ConfigError (ValueError)       the user's input is wrong                        exit 2
    ├── BackendError (RuntimeError)    a model endpoint cannot serve this run           exit 2
    │   └── Refused                    one request the server will never answer: data, not a crash
    ├── RunError (RuntimeError)        the run folder cannot be used (locked, disk full) exit 2
    ├── SandboxError (RuntimeError)    code cannot be run safely here                   exit 2
    ├── Interrupted                    Ctrl-C or SIGTERM; the same command goes on      exit 130
    ├── Drained                        a request that was not sent because the run is stopping
    └── BudgetReached                  --max-cost or --max-tokens; the same             exit 3

A bad answer is none of these: it is retried and then becomes a ``Rejected`` row (see ``rows``).
"""

from __future__ import annotations


class DatagenError(Exception):
    """Ends a command with one clear line (what, where, what to do) and ``exit_code``."""

    exit_code = 2


class ConfigError(DatagenError, ValueError):
    """The configuration, a flag or an input file is wrong."""


class BackendError(DatagenError, RuntimeError):
    """No request of this run can be served: wrong key, unknown model, endpoint down."""


class Refused(BackendError):
    """The server will never answer this one request (HTTP 400, 413, 422).

    The run goes on; the row that needed the answer is rejected with the server's words.
    """


class RunError(DatagenError, RuntimeError):
    """The run folder cannot be used: in use by another process, disk full, of another config."""


class SandboxError(DatagenError, RuntimeError):
    """Model-written code cannot be run here with the isolation asked for."""


class Interrupted(DatagenError):
    """The user stopped the run; everything answered is kept."""

    exit_code = 130


class BudgetReached(DatagenError):
    """``--max-cost`` or ``--max-tokens`` was reached; everything answered is kept."""

    exit_code = 3


class Drained(DatagenError):
    """The run is stopping: this request was not sent, or not tried again."""

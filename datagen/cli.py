"""The command line: thin commands over the package; errors become one line and an exit code.

Exit codes: 0 whole, 2 bad input or endpoint (one line says what to do), 3 partial (some rows
    rejected, or a budget was reached), 130 interrupted (the same command goes on).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from datagen import __version__
from datagen.config import FilterConfig, ModelConfig, RunConfig, assign
from datagen.errors import ConfigError, DatagenError
from datagen.generators.skillmix import SkillmixConfig
from datagen.options import Tables, with_options
from datagen.run.terminal import plain

app = typer.Typer(
    name="datagen",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Make training data with a model, check it, and see what came out.",
)
model_app = typer.Typer(no_args_is_help=True, help="The embedded model's files.")
app.add_typer(model_app, name="model")

AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, progress as JSON lines.")
]
RunFolder = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Estimate requests, tokens and cost; ask nothing.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="TABLE.FIELD=VALUE", help="Change one setting.")
]


@app.command()
@with_options(
    {"skillmix": SkillmixConfig, "model": ModelConfig, "run": RunConfig, "filters": FilterConfig},
    {"skillmix": "Instruct-SkillMix", "model": "Model", "run": "Run", "filters": "Filters"},
)
def skillmix(
    tables: Tables,
    set_: Settings = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    shirkers: Annotated[
        str | None,
        typer.Option(
            metavar="brevity|junk",
            help="From the finished run in "
            "--out make the paper's ablation data: a share of low-quality responses.",
        ),
    ] = None,
    share: Annotated[float, typer.Option(help="Share of shirkers.")] = 0.2,
) -> None:
    """Make (instruction, response) rows from random combinations of skills (Instruct-SkillMix)."""
    from datagen.pipeline import job

    assign(tables, set_ or [])
    _execute(
        job(tables, "command line"),
        dry_run,
        as_json,
        quiet,
        (shirkers, share) if shirkers else None,
    )


@app.command(name="run")
def run_pipeline(
    pipeline: Annotated[
        Path,
        typer.Argument(
            help="A TOML file such as pipelines/skillmix.toml, or the name of a shipped one."
        ),
    ],
    set_: Settings = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Do what a pipeline file says."""
    from datagen.pipeline import job_from_toml

    _execute(job_from_toml(pipeline, set_ or []), dry_run, as_json, quiet, None)


@app.command()
def report(run: RunFolder, as_json: AsJson = False) -> None:
    """Write RUN/report.html, one self-contained page, and print its summary."""
    from datagen.report import summary, summary_json, write_report

    page = write_report(run)
    print(
        json.dumps({**summary_json(run), "report": str(page)})
        if as_json
        else f"{summary(run)}\n{page}"
    )


@app.command()
def trace(
    run: RunFolder,
    row_id: Annotated[
        str, typer.Argument(help="Row id, its first characters, or a plan position.")
    ],
    as_json: AsJson = False,
) -> None:
    """Walk one row back to its seed: prompts, answers, skills, topics."""
    from datagen.run.trace import trace as walk
    from datagen.run.trace import trace_text

    found = walk(run, row_id)
    print(json.dumps(found) if as_json else trace_text(found))


@app.command()
def export(
    source: Annotated[Path, typer.Argument(help="A run folder or a rows file (.jsonl).")],
    format: Annotated[
        str, typer.Option(help="trl, messages, sharegpt, alpaca, openai, verl or swift.")
    ] = "trl",
    out: Annotated[Path | None, typer.Option(help="Folder; default RUN/export/FORMAT.")] = None,
    push: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME", help="Also upload the run's dataset to this hub repository."
        ),
    ] = None,
    public: Annotated[bool, typer.Option(help="Make the hub repository public.")] = False,
) -> None:
    """Write the rows as a trainer reads them."""
    from datagen.export import export as write
    from datagen.export import push as upload

    print(write(source, format, out))
    if push is not None:
        print(upload(source, push, private=not public))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is available here, and what to install for the rest."""
    from datagen.doctor import as_text, diagnose

    checks = diagnose()
    print(json.dumps([check.model_dump() for check in checks]) if as_json else as_text(checks))


@model_app.command()
def pull() -> None:
    """Fetch the embedded model's weights (about 93 MB, once)."""
    from datagen.llm.model_files import pull_model

    print(pull_model())


@model_app.command(name="export")
def export_model(out: Annotated[Path, typer.Argument(help="Folder to write.")]) -> None:
    """Write the embedded model as a Hugging Face folder, for vLLM and for training."""
    from datagen.llm.gguf_export import export_hf
    from datagen.llm.model_files import find_model

    found = find_model()
    if found is None:
        raise ConfigError("the embedded model is not here: run 'datagen model pull'")
    print(export_hf(found, out))


def _execute(
    job: Any, dry_run: bool, as_json: bool, quiet: bool, shirkers: tuple[str, float] | None
) -> None:
    from datagen import shirkers as ablation
    from datagen.estimate import as_text, estimate
    from datagen.pipeline import execute
    from datagen.run.progress import progress

    if dry_run:
        numbers = estimate(job)
        print(json.dumps(numbers) if as_json else as_text(numbers))
        return
    import asyncio

    watch = progress("off" if quiet else "json" if as_json else "auto")
    task = execute(job, watch) if shirkers is None else ablation.execute(job, *shirkers, watch)
    result = asyncio.run(task)
    _tell(result, as_json)
    if result.partial:
        raise typer.Exit(3)


def _tell(result: Any, as_json: bool) -> None:
    from datagen.report import summary, summary_json, write_report

    page = write_report(result.folder)
    if as_json:
        print(
            json.dumps(
                {
                    **summary_json(result.folder),
                    "run": str(result.folder),
                    "report": str(page),
                    "rows": result.rows,
                    "planned": result.planned,
                    "rejected": result.rejected,
                }
            )
        )
        return
    print(summary(result.folder))
    print(f"rows    {result.folder / 'dataset' / 'train.jsonl'}\nreport  {page}")
    if result.partial:
        print(
            f"partial: {result.planned - result.rows_made} of {result.planned} rows were rejected, "
            f"read {result.folder / 'rejected'}",
            file=sys.stderr,
        )


def _version(wanted: bool) -> None:
    if wanted:
        print(f"datagen {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("DO_NOT_TRACK", "1")


UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""Of the click that this typer carries."""


def main() -> None:
    """The console script: any mistake of the user's is one line on standard error."""
    try:
        sys.exit(app(standalone_mode=False))
    except DatagenError as error:
        _fail(str(error), error.exit_code)
    except UsageError as error:
        message = error.format_message()  # type: ignore[attr-defined]
        if "Usage:" in message:
            # No command was named: the help is the answer.
            print(message)
            sys.exit(2)
        _fail(f"{message} ('datagen --help' lists what there is)", 2)
    except (typer.Abort, KeyboardInterrupt):
        _fail("interrupted: nothing was asked yet, run the same command again", 130)
    except BrokenPipeError:
        # The reader of our output left (| head): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _fail(message: str, code: int) -> None:
    # Servers and models had a say in it: no escape sequence of theirs reaches the terminal.
    print(f"datagen: {plain(message)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()

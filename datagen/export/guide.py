"""What lies beside exported rows: the trainer's configuration and a README that explains it."""

from __future__ import annotations

from pathlib import Path

from datagen.export.card import media_note
from datagen.export.llamafactory import dataset_info
from datagen.export.markdown import code, data_files, fenced, plain, table
from datagen.export.trainers import configurations, loss_note
from datagen.export.views import Shape
from datagen.rows_io import write_text

MARK = "<!-- written by datagen export -->"
LEFT_OUT = "left_out.jsonl"

_START = {".py": "python", ".sh": "sh"}
_NOTES = {
    "alpaca": "An empty system turn and none look the same in this format.",
    "openai": (
        "OpenAI refuses keys it does not know, so there is no id: line N is the Nth row of the "
        f"source, less those in {LEFT_OUT}. Empty system turns are left away. It asks for at "
        "least 10 rows."
    ),
    "verl": (
        "This is the schema of verl's SFT trainer. Its reinforcement learning schema "
        "(data_source, prompt, ability, reward_model, extra_info) wants a ground truth for each "
        "prompt, which these rows do not have."
    ),
}


def write_guides(folder: Path, name: str, format: str, shape: Shape) -> None:
    """Configuration, dataset_info.json where LLaMA-Factory reads the format, and README.md.

    ``name`` is what LLaMA-Factory calls the rows. The README is written last.
    """
    files = configurations(format, name, shape)
    if "llamafactory.yaml" in files:
        write_text(folder / "dataset_info.json", dataset_info(name, shape, {format: ""}))
    for file, text in files.items():
        write_text(folder / file, text)
    write_text(folder / "README.md", _readme(folder, name, format, shape, files))


def _readme(
    folder: Path, name: str, format: str, shape: Shape, configuration: dict[str, str]
) -> str:
    files = {split: f"{split}.{shape.suffix(format)}" for split in shape.rows}
    notes = [loss_note(format, shape), *([_NOTES[format]] if format in _NOTES else [])]
    if shape.media_tags:
        notes.append(media_note(shape))
    left_out = [(reason, f"{count:,}") for reason, count in shape.left_out.items()]
    return "\n".join(
        part
        for part in (
            "---",
            *data_files(folder, files),
            f"---\n\n{MARK}\n# {plain(name)} as {format}\n",
            table(("file", "rows"), [(files[s], f"{shape.rows[s]:,}") for s in shape.rows]),
            table((f"left out ({LEFT_OUT})", "rows"), left_out),
            "## Training\n",
            "From inside this folder, with the model and the numbers that you want:\n",
            *(_block(file, text) for file, text in configuration.items()),
            "## What is learnt\n",
            "".join(f"- {note}\n" for note in notes),
        )
        if part
    )


def _block(file: str, text: str) -> str:
    suffix = Path(file).suffix
    start = code(f"{_START[suffix]} {file}") if suffix in _START else code(file)
    return f"{start}:\n\n{fenced(text, suffix[1:])}"

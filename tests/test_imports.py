"""Imports point one way, and heavy libraries are known to one room each (DESIGN.md)."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "datagen"
FLOORS = [
    {"errors", "rows", "rows_io", "shipped"},
    {"templates", "llm", "embed", "documents", "sandbox"},
    {"run"},
    {"config", "filters"},
    {"generators"},
    {"export"},
    {"train"},
    {"evals"},
    {"report"},
    {"pipeline", "estimate", "shirkers", "doctor", "isolation", "options"},
    {"cli"},
]
ONLY_IN = {
    "openai": {"llm/openai.py"},
    "vllm": {"llm/vllm.py"},
    "faiss": {"embed.py"},
    "sentence_transformers": {"embed.py"},
    "typer": {"cli.py", "options.py"},
}


def floor(module):
    return next((i for i, names in enumerate(FLOORS) if module in names), None)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_imports_point_one_way():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "datagen" and len(parts) > 1:
                assert floor(parts[1]) is not None, f"{parts[1]} has no floor"
                if room != "__init__" and floor(parts[1]) > floor(room):
                    wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_heavy_libraries_are_known_to_one_room():
    for path in PACKAGE.rglob("*.py"):
        where = str(path.relative_to(PACKAGE))
        for name in imported(path):
            rooms = ONLY_IN.get(name.split(".")[0])
            assert rooms is None or where in rooms, f"{where} imports {name}"


def test_the_command_line_starts_without_heavy_libraries():
    heavy = {"openai", "aiohttp", "datasets", "pyarrow", "torch", "pandas", "numpy", "faiss"}
    code = f"import sys, datagen.cli; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)

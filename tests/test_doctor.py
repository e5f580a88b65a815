import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pydantic
import pytest
from command import datagen

from datagen import doctor
from datagen.doctor import EXTRAS, LAYERS, _guarded, as_text, diagnose

PROBE = str(Path(doctor.__file__).with_name("isolation.py"))


def test_every_extra_and_layer_is_looked_at():
    names = [check.name for check in diagnose()]
    assert {f"extra {name}" for name in EXTRAS} <= set(names)
    assert sum(name.startswith("sandbox: ") for name in names) == 5
    assert len(names) == len(set(names))


def test_what_is_missing_says_what_to_do():
    for check in diagnose():
        assert check.ok or check.fix or check.name == "GPU", check


def test_the_key_is_never_shown():
    shown = datagen("doctor", env={"OPENAI_API_KEY": "sk-very-secret"}).stdout
    assert "OPENAI_API_KEY" in shown and "sk-very-secret" not in shown


def test_json_holds_the_same_checks():
    listed = json.loads(datagen("doctor", "--json").stdout)
    assert [check["name"] for check in listed] == [check.name for check in diagnose()]


def test_text_is_a_line_a_check_and_a_line_a_fix():
    checks = diagnose()
    assert len(as_text(checks).splitlines()) == len(checks) + sum(bool(c.fix) for c in checks)


def test_it_is_quick_and_takes_any_surroundings(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("DATAGEN_HOME", "/proc/nowhere")
    started = time.monotonic()
    found = {check.name: check for check in diagnose()}
    # 0.2 s measured on an idle machine.
    assert time.monotonic() - started < 5
    assert not found["cache folder"].ok and "DATAGEN_HOME" in found["cache folder"].fix
    assert not found["sandbox: bubblewrap"].ok


def test_a_folder_that_is_not_there_yet_can_be_a_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("DATAGEN_HOME", str(tmp_path / "a" / "b"))
    found = {check.name: check for check in diagnose()}
    assert found["cache folder"].ok
    assert not (tmp_path / "a").exists()


def test_what_cannot_be_looked_at_is_a_check_that_failed():
    def broken():
        raise RuntimeError("no such bus")

    (check,) = _guarded(broken)
    assert not check.ok and "no such bus" in check.found


def test_versions_are_those_installed():
    found = {check.name: check.found for check in diagnose()}
    assert found["pydantic"] == pydantic.VERSION


def walls(*before):
    command = [*before, sys.executable, "-I", "-S", PROBE]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")
def test_the_walls_are_tried_and_leave_nothing_behind():
    found = walls()
    assert set(found) | {"bubblewrap"} == set(LAYERS)
    assert list(Path("/sys/fs/cgroup").glob("**/datagen-*")) == []


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_namespaces_do_not_hold_where_they_may_not_be_made():
    """A user whom no map names may make no namespace of his own (user_namespaces(7))."""
    if not walls()["user namespaces"]:
        pytest.skip("no user namespaces on this machine")
    inside = walls("unshare", "--user")
    assert inside["user namespaces"] == ""
    assert inside["seccomp"] == walls()["seccomp"]

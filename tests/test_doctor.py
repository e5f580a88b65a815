import json

from command import datagen

from datagen.doctor import EXTRAS, as_text, diagnose


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

import pytest

from datagen.errors import ConfigError
from datagen.shipped import shipped
from datagen.templates import Template, load


def test_fills_every_variable_and_never_twice():
    template = Template("g/n", "{{a}} and {{b}}, {{a}}", "0" * 12)
    assert template.fill(a="{{b}}", b="x") == "{{b}} and x, {{b}}"


def test_a_variable_without_a_value_is_named():
    with pytest.raises(ConfigError, match=r"no value for {{oops}}; it may use {{a}}"):
        Template("g/n", "{{oops}}", "").fill(a="1")


def test_own_folder_comes_first_and_changes_the_hash(tmp_path):
    (tmp_path / "critique.md").write_text("Mine.\n")
    assert load("skillmix", "critique", tmp_path).text == "Mine."
    assert load("skillmix", "critique", tmp_path).hash != load("skillmix", "critique").hash
    assert load("skillmix", "refine", tmp_path).hash == load("skillmix", "refine").hash


def test_a_prompt_that_is_not_text_is_one_clear_line(tmp_path):
    (tmp_path / "critique.md").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"critique\.md"):
        load("skillmix", "critique", tmp_path)


def test_every_shipped_prompt_loads():
    names = [path.stem for path in (shipped("prompts") / "skillmix").glob("*.md")]
    assert len(names) >= 14
    assert all(len(load("skillmix", name).hash) == 12 for name in names)

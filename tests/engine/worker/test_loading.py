"""MODULE:APP on the command line, and what is wrong with it."""

import sys
from pathlib import Path

import pytest

import ottla
from ottla.loading import load_app


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with modules, none of which outlives the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("shop_app", "shop_broken", "shop_lacking", "shop_misconfigured"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "shop_app.py").write_text('import ottla\napp = ottla.App("shop")\nnumber = 5\n')
    (tmp_path / "shop_broken.py").write_text("\n1 / 0\n")
    (tmp_path / "shop_lacking.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "shop_typo.py").write_text("\nprint(\n")
    (tmp_path / "shop_misconfigured.py").write_text("import ottla\napp = ottla.App('x', store='paper')\n")


def test_an_app_is_found_in_the_working_directory() -> None:
    assert load_app("shop_app:app").id == "shop"


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("shop_app", "'shop_app' is not MODULE:APP"),
        (":app", "':app' is not MODULE:APP"),
        ("shop_missing:app", "there is no module 'shop_missing' in"),
        ("shop_app.sub:app", "there is no module 'shop_app.sub' in"),
        ("shop_app:nothing", "module 'shop_app' has no 'nothing'; its apps are 'app'"),
        ("shop_app:number", "shop_app:number is of type int, not an ottla.App; its apps are 'app'"),
        (
            "shop_broken:app",
            "importing 'shop_broken' failed at .*shop_broken.py:2: ZeroDivisionError: division by zero",
        ),
        ("shop_typo:app", r"importing 'shop_typo' failed at .*shop_typo.py:2: SyntaxError: '\(' was never closed"),
        (
            "src/shop_app.py:app",
            "'src/shop_app.py' is a file, and a module is meant: in the directory 'src' it is shop_app",
        ),
        ("shop_misconfigured:app", "failed at .*shop_misconfigured.py:2: ConfigError: store='paper' is unknown"),
        ("shop_lacking:app", "importing 'shop_lacking' failed at .*shop_lacking.py:1: ModuleNotFoundError: No module"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(target: str, sentence: str) -> None:
    with pytest.raises(ottla.ConfigError, match=sentence) as refusal:
        load_app(target)
    assert "\n" not in str(refusal.value)

"""The house rules, checked on the source itself: who may import whom, and what pure modules never touch."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "ottla_wire": ROOT / "broker/ottla_wire",
    "ottla_broker": ROOT / "broker/ottla_broker",
    "ottla": ROOT / "engine/ottla",
    "ottla_connectors": ROOT / "connectors/ottla_connectors",
    "ottla_apps": ROOT / "apps/ottla_apps",
}
MAY_IMPORT = {
    "ottla_wire": set(),
    "ottla_broker": {"ottla_wire"},
    "ottla": set(),
    "ottla_connectors": {"ottla"},
    "ottla_apps": {"ottla", "ottla_wire", "ottla_broker", "ottla_connectors"},
}
# Sans-IO cores: time, randomness and I/O come to them as arguments. So it is with every module that calls itself pure.
PURE = [
    "broker/ottla_wire",
    "broker/ottla_broker/connection.py",
    "broker/ottla_broker/cluster",
    "broker/ottla_broker/coordinator",
    "engine/ottla/task",
    "engine/ottla/worker/pace.py",
    "engine/ottla/cluster/placement.py",
    "engine/ottla/cluster/records.py",
    "engine/ottla/cluster/view.py",
    "engine/ottla/windows",
    "engine/ottla/joins",
    "engine/ottla/time.py",
]
# What drives the cores in those folders.
DRIVERS = {
    "broker/ottla_broker/cluster": {"metadata_log.py"},
    "broker/ottla_broker/coordinator": {"runtime.py", "groups.py", "transactions.py", "markers.py", "matching.py"},
}
IMPURE_MODULES = {"asyncio", "threading", "time", "random", "os", "socket"}
LONGEST_FILE = 600


def python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]


def imported_modules(path: Path) -> Iterator[str]:
    """Absolute names of the modules that a file imports, wherever in the file the import stands."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the package's name"
            yield node.module or ""


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_the_design_allows(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    for path in python_files(PACKAGES[package]):
        ours = {name.split(".")[0] for name in imported_modules(path)} & PACKAGES.keys()
        assert ours <= allowed, f"{path.relative_to(ROOT)} imports {sorted(ours - allowed)}"


def check_purity(path: Path) -> None:
    impure = {name.split(".")[0] for name in imported_modules(path)} & IMPURE_MODULES
    assert not impure, f"{path.relative_to(ROOT)} is pure, yet imports {sorted(impure)}"


@pytest.mark.parametrize("pure", PURE)
def test_a_pure_module_touches_no_clock_chance_or_io(pure: str) -> None:
    for path in python_files(ROOT / pure):
        if path.name not in DRIVERS.get(pure, ()):
            check_purity(path)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_module_that_calls_itself_pure_is(package: str) -> None:
    for path in python_files(PACKAGES[package]):
        docstring = ast.get_docstring(ast.parse(path.read_text(), str(path))) or ""
        if "Pure." in docstring or "Pure:" in docstring:
            check_purity(path)


@pytest.mark.parametrize("folder", [*PACKAGES.values(), ROOT / "tests"], ids=[*PACKAGES, "tests"])
def test_no_file_outgrows_its_reader(folder: Path) -> None:
    for path in python_files(folder):
        lines = len(path.read_text().splitlines())
        assert lines <= LONGEST_FILE, f"{path.relative_to(ROOT)} has {lines} lines; look for the seam"

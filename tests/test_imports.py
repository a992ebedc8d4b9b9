"""Imports run one way, and what needs no torch works without it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "stvlm"
ORDER = (
    "__init__", "records", "hashing", "files", "recipes", "programs", "chat_api", "hub", "geometry", "kinematics",
    "scoring", "engine", "recording_folder", "simulation", "sources", "questions", "dataset", "pseudo_labels",
    "evaluation", "training", "cards", "publishing", "demo",
)  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(module: str) -> str:
    """The line of ORDER on which a dotted module of ours stands."""
    return [*module.split("."), "__init__"][1]


def imported(source: str) -> set[str]:
    """Modules of ours that a file imports anywhere in it, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:  # beside this file, in the same part
                continue
            module = node.module or ""
            # `from stvlm import records` is a module, `from stvlm import __version__` is not.
            names = {alias.name for alias in node.names} & set(ORDER) if module == "stvlm" else set()
            found |= {f"stvlm.{name}" for name in names} or {module}
    return {module for module in found if module.split(".")[0] == "stvlm"}


def upward(part: str, source: str) -> set[str]:
    """Imports that break the order, from a file of `part`."""
    return {module for module in imported(source) if ORDER.index(part_of(module)) > ORDER.index(part)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_earlier_ones_only(path: Path) -> None:
    part = path.relative_to(PACKAGE).with_suffix("").parts[0]
    assert part in ORDER, "give the new module its place in the order"
    assert upward(part, path.read_text(encoding="utf-8")) == set()


def test_the_order_can_be_broken() -> None:
    assert upward("geometry", "from stvlm.records import Array\nimport numpy") == set()
    assert upward("geometry", "from stvlm.kinematics import STEP_S") == {"stvlm.kinematics"}
    assert upward("questions", "def f():\n    import stvlm.dataset.rows") == {"stvlm.dataset.rows"}
    assert upward("records", "from stvlm import dataset") == {"stvlm.dataset"}
    assert upward("dataset", "from stvlm import __version__") == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_relative_imports_are_for_scoring_which_is_published_apart(path: Path) -> None:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    relative = {node.level for node in nodes if isinstance(node, ast.ImportFrom)} - {0}
    assert relative <= ({1} if path.parent.name == "scoring" else set())


def test_scoring_imports_nothing_of_ours_and_nothing_but_numpy() -> None:
    for path in PACKAGE.glob("scoring/[!_]*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        absolute = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
        names |= {node.module or "" for node in absolute}
        assert {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) <= {"numpy"}


def python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent).stdout.strip()


HEAVY = "print(*sorted({'torch', 'transformers', 'torchcodec', 'torchvision'} & set(sys.modules)))"


def test_building_and_scoring_leave_torch_alone() -> None:
    everything = "import sys, stvlm.dataset.report, stvlm.simulation.source, stvlm.scoring, stvlm.publishing.dataset"
    assert python(f"{everything}\n{HEAVY}") == ""
    ours = "print(*sorted(m for m in sys.modules if 'stvlm' in m and 'stvlm.scoring' not in m))"
    assert python(f"import sys, stvlm.scoring\n{HEAVY}\n{ours}") == "stvlm"


def test_pseudo_labels_leave_torch_and_opencv_alone() -> None:
    ours = sorted(PACKAGE.glob("pseudo_labels/**/*.py"))
    names = [".".join(("stvlm", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in ours]
    assert "stvlm.pseudo_labels.geometry.vipe" in names
    code = f"import sys, {', '.join(names)}\n{HEAVY}\nprint(*sorted({{'cv2', 'OpenEXR'}} & set(sys.modules)))"
    assert python(code) == ""


def test_engines_are_loaded_where_units_run() -> None:
    code = "import sys, stvlm.dataset.folder\nprint(*sorted({'datatrove', 'loguru', 'ray'} & set(sys.modules)))"
    assert python(code) == ""


def test_building_and_scoring_work_where_torch_is_not_installed() -> None:
    block = "import sys; sys.modules.update(dict.fromkeys(['torch', 'torchcodec', 'torchvision', 'transformers']))"
    assert python(f"{block}\nimport stvlm.dataset.folder, stvlm.scoring\nprint('fine')") == "fine"

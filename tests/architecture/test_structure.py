"""The shape of the house: import directions, sizes, mirrored tests, public docstrings."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "raymm"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
ROOMS = {
    "data",
    "search",
    "evaluation",
    "explanation",
    "audit",
    "compression",
    "registry",
    "serving",
    "monitoring",
    "report",
}
FOUNDATION = {
    "config",
    "sections",
    "charsets",
    "counts",
    "allowance",
    "durations",
    "rules",
    "plugins",
    "artifacts",
    "errors",
    "switching",
    "onnx_builder",
    "bootstrap",
}
BELOW = {
    **dict.fromkeys(FOUNDATION, FOUNDATION),
    "features": FOUNDATION,
    "models": FOUNDATION,
    "bundle": FOUNDATION | {"features", "models"},
    **{room: FOUNDATION | {"features", "models", "bundle"} for room in ROOMS},
    "cluster": FOUNDATION,
    "testing": FOUNDATION | {"features", "models", "bundle"} | ROOMS,
}
RAY_FILES = {
    "raymm/cluster.py",
    "raymm/search/tune.py",
    "raymm/serving/deployment.py",
    "raymm/monitoring/actor.py",
}
FUNCTION_LINES = 50
MODULE_LINES = 400
ABSTRACT_METHODS = 4


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


NAMES = {
    place(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__"): path
    for path in MODULES
}


def top(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, *, typing: bool = False) -> set[str]:
    """Dotted names imported anywhere in a file, those under TYPE_CHECKING only if asked for."""
    found: set[str] = set()

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not typing:
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in NAMES else node.module)
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(tree(path))
    return found


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_imports_go_one_way(path: Path) -> None:
    here = top(path)
    if here not in BELOW:
        return
    reached = {name.split(".")[1] for name in imports(path) if name.startswith("raymm.")}
    assert reached - {here} <= BELOW[here]


def test_only_four_files_import_ray() -> None:
    importing = {
        place(path)
        for path in MODULES
        if any(name == "ray" or name.startswith("ray.") for name in imports(path, typing=True))
    }
    assert importing == RAY_FILES


def test_no_import_cycles() -> None:
    graph = {
        name: {n for n in imports(path) if n in NAMES and n != name} for name, path in NAMES.items()
    }
    graph.pop("raymm")  # the front door: it imports inside its functions only
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"import cycle: {' -> '.join((*trail, name))}"
        if name in done:
            return
        for reached in graph[name] - {"raymm"}:
            visit(reached, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_sizes(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MODULE_LINES, f"{place(path)} has {lines} lines"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert length(node) <= FUNCTION_LINES, f"{node.name} has {length(node)} lines"
        if isinstance(node, ast.ClassDef):
            abstract = [item for item in node.body if "abstractmethod" in decorators(item)]
            properties = [item for item in abstract if "property" in decorators(item)]
            assert len(abstract) - len(properties) <= ABSTRACT_METHODS, node.name


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring, which has to state shapes, units and errors."""
    lines = (node.end_lineno or 0) - node.lineno + 1
    if ast.get_docstring(node) and node.body[0].end_lineno:
        lines -= node.body[0].end_lineno - node.body[0].lineno + 1
    return lines


def decorators(node: ast.AST) -> set[str]:
    return {ast.unparse(item) for item in getattr(node, "decorator_list", [])}


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "__init__.py"], ids=place)
def test_every_module_is_mirrored(path: Path) -> None:
    inside = path.relative_to(PACKAGE)
    mirror = ROOT / "tests" / inside.parent / f"test_{inside.name}"
    assert mirror.exists(), f"{place(path)} has no {place(mirror)}"
    assert any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        for node in ast.walk(tree(mirror))
    ), f"{place(mirror)} tests nothing"


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_public_names_are_documented(path: Path) -> None:
    """Every module, class and function; methods where no base class documents them."""
    module = tree(path)
    assert ast.get_docstring(module), f"{place(path)} has no docstring"
    documented: list[ast.AST] = [node for node in module.body if public(node)]
    for owner in module.body:
        if isinstance(owner, ast.ClassDef) and public(owner) and not owner.bases:
            documented.extend(node for node in owner.body if public(node))
    for node in documented:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            assert ast.get_docstring(node), f"{place(path)}: {node.name}"


def public(node: ast.AST) -> bool:
    return not str(getattr(node, "name", "_")).startswith("_")


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.py")), ids=place)
def test_jobs_are_thin(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 30
    reached = {name for name in imports(path) if name.startswith(("raymm", "ray"))}
    assert reached <= {"raymm", "raymm.cli", "raymm.cli.main", "raymm.lifecycle"}

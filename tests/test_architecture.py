"""The shape of the package: imports point down, no circles, a search side without torch, no global
state by accident."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "archsmith"

# A part may import parts of the layers below its own, and no other. A new part of the package needs
# a place here.
LAYERS = [
    {"errors", "_version"},
    {"_internal"},
    {"space"},
    {"problem", "predictors"},
    {"feasibility", "graph"},
    {"searchers", "elastic"},
    {"metrics"},
    {"spaces", "testing"},
    {"training", "recorded"},
    {"tasks"},
    {"data"},
    {"export", "run"},
    {"methods", "bench"},
    {"report", "shipped"},
    {"stages"},
    {"api"},
    {"cli"},
    {"__main__", "__init__"},
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
SEARCH_SIDE = {  # parts, and modules of parts that have both sides
    *(
        "errors",
        "_version",
        "_internal",
        "space",
        "problem",
        "predictors",
        "feasibility",
        "searchers",
        "recorded",
        "bench",
    ),
    *("run", "report", "api", "cli", "__init__", "metrics.chance"),
}
CATALOG = "archsmith.spaces.catalog"  # all that is known of spaces beside their networks
WHEN_USED = {
    "pymoo",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "plotly",
    "sklearn",
    "pyarrow",
    "scipy",
    "optuna",
    "ray",
    "lightgbm",
}


@cache
def files() -> dict[str, Path]:
    """Module name -> file."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def part(module: str) -> str:
    """The part of the package a module belongs to: 'archsmith.data.split' -> 'data'."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else "__init__"


def on_the_search_side(module: str) -> bool:
    return (
        part(module) in SEARCH_SIDE
        or module.removeprefix("archsmith.") in SEARCH_SIDE
        or module.startswith(CATALOG)
    )


def imports(path: Path, *, lazy: bool) -> Iterator[str]:
    """The modules a file imports: at import time, or with `lazy` also inside functions; those for
    type checkers only never."""

    def visit(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                yield child
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                if lazy:
                    yield from visit(child)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                for other in child.orelse:
                    yield from visit(other)
            else:
                yield from visit(child)

    for node in visit(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            assert node.level == 0, f"{path}: a relative import; write the full name"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in files() else str(node.module)


def own(path: Path, *, lazy: bool) -> set[str]:
    """The same, of the package's own modules; the version, which `archsmith` itself holds, is
    nobody's part."""
    return {name for name in imports(path, lazy=lazy) if name.startswith("archsmith.")}


def test_the_package_is_there():
    assert len(files()) > 10


def test_every_part_has_its_layer():
    unknown = {part(name) for name in files()} - LAYER.keys()
    assert not unknown, f"give {sorted(unknown)} a place in LAYERS of {Path(__file__).name}"


def test_imports_point_down():
    wrong = []
    for name, path in files().items():
        for other in own(path, lazy=True):
            here, there = part(name), part(other)
            if here != there and LAYER[there] >= LAYER[here]:
                wrong.append(f"{name} (layer {LAYER[here]}) imports {other} (layer {LAYER[there]})")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("level", ["modules", "parts"])
def test_there_are_no_circles(level):
    graph: dict[str, set[str]] = {}
    for name, path in files().items():
        for other in own(path, lazy=True):
            here, there = (name, other) if level == "modules" else (part(name), part(other))
            if here != there:
                graph.setdefault(here, set()).add(there)
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_the_search_side_never_leads_to_torch_at_import():
    """Statically, so that the chain of imports can be named."""

    clean: set[str] = set()  # what is known not to lead there

    def chain(name: str, trail: tuple[str, ...]) -> tuple[str, ...] | None:
        if name in clean:
            return None
        clean.add(name)  # also while it is being looked at: a circle leads nowhere new
        for other in imports(files()[name], lazy=False):
            if other.split(".")[0] in {"torch", "torchvision"}:
                return (*trail, name, "torch")
            # importing a.b.c runs a/__init__ and a/b/__init__ too
            pieces = other.split(".")
            for prefix in (".".join(pieces[:n]) for n in range(1, len(pieces) + 1)):
                if prefix in files() and (found := chain(prefix, (*trail, name))):
                    clean.discard(name)
                    return found
        return None

    wrong = [
        " -> ".join(found)
        for name in files()
        if on_the_search_side(name) and (found := chain(name, ()))
    ]
    assert not wrong, "\n".join(wrong)


def run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_search_side_runs_without_torch():
    names = [name for name in files() if on_the_search_side(name)]
    run(
        f"import sys, importlib\nfor name in {names!r}:\n    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
    )


def test_import_archsmith_is_light():
    run(
        "import sys, archsmith\n"
        "heavy = {'torch', 'plotly', 'onnx', 'onnxruntime', 'sklearn', 'pymoo', 'PIL', 'scipy'} & "
        "set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )


@pytest.mark.skipif("archsmith.cli.app" not in files(), reason="there is no command line yet")
@pytest.mark.parametrize(
    "arguments", [["--help"], ["search", "--help"], ["methods"], ["proxies"], ["spaces"]]
)
def test_the_command_line_answers_without_torch(arguments):
    run(
        f"import sys\nsys.argv = ['archsmith', *{arguments!r}]\nfrom archsmith.cli.app import "
        f"main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules\n"
    )


PACKAGES = sorted(
    path.parent.name
    for path in PACKAGE.glob("*/__init__.py")
    if not path.parent.name.startswith("_")
)


def test_no_module_has_the_name_of_a_public_function():
    """`archsmith.search(...)` starts a run whatever was imported before."""
    import archsmith

    functions = {name for name in archsmith.__all__ if callable(getattr(archsmith, name))}
    assert not functions & {path.stem for path in PACKAGE.iterdir()}


def test_the_public_names_are_these_and_each_is_there():
    """`dir()` shows what there is and no more; packages by their names, without an import of their
    own."""
    import archsmith

    listed = dir(archsmith)
    modules = {*PACKAGES, "errors", "tasks", "testing"}
    assert set(archsmith.__all__) <= set(listed) and set(listed) - set(archsmith.__all__) <= modules
    assert all(getattr(archsmith, name) is not None for name in listed)
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        _ = archsmith.nothing_of_this_name
    run("import archsmith\nassert archsmith.elastic.Conv2d and archsmith.Choice(1, 2)")


def test_heavy_libraries_are_imported_where_they_are_used():
    wrong = [
        f"{name} imports {other}"
        for name, path in files().items()
        for other in imports(path, lazy=False)
        if other.split(".")[0] in WHEN_USED and part(name) != "shipped"
    ]
    assert not wrong, "\n".join(wrong)


def every_file() -> list[Path]:
    folders = (PACKAGE, ROOT / "tests", ROOT / "benchmarks", ROOT / "examples")
    return [path for folder in folders if folder.is_dir() for path in sorted(folder.rglob("*.py"))]


def test_every_file_starts_with_what_lives_there():
    wrong = []
    for path in every_file():
        lines = path.read_text(encoding="utf-8").splitlines() or [""]
        first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
        if not first.startswith('"""') or len(first) < 12:
            wrong.append(str(path.relative_to(ROOT)))
    assert not wrong, f"the first line must be a docstring: {wrong}"


def test_names_say_something():
    wrong = [
        str(path)
        for path in every_file()
        if path.stem in {"utils", "util", "common", "helpers", "misc", "base"}
    ]
    for path in every_file():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and (
                node.name.startswith("Base") or node.name.endswith(("Manager", "Helper"))
            ):
                wrong.append(f"{path}: class {node.name}")
    assert not wrong, "\n".join(wrong)


def dotted(node: ast.AST) -> str:
    """'np.random.rand' of the expression that calls it, '' where it is no plain chain of names."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield dotted(node.func), node


def test_only_the_command_line_prints():
    allowed = {"cli", "doctor", "shipped", "__main__"}
    wrong = [
        f"{name}:{call.lineno}"
        for name, path in files().items()
        for f, call in calls(path)
        if f == "print"
    ]
    wrong = [place for place in wrong if part(place.split(":")[0]) not in allowed]
    assert not wrong, wrong


def test_there_are_no_star_imports_and_no_global_statements():
    wrong = []
    for path in files().values():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
                wrong.append(f"{path}:{node.lineno} star import")
            if isinstance(node, ast.Global):
                wrong.append(f"{path}:{node.lineno} global {', '.join(node.names)}")
    assert not wrong, "\n".join(wrong)


DRAWS = {
    "rand",
    "rand_like",
    "randn_like",
    "randn",
    "randint",
    "randperm",
    "normal",
    "bernoulli",
    "multinomial",
}


def test_nothing_draws_from_a_global_generator():
    """`random.Random` and passed generators only; torch's own initializers run inside
    archsmith._internal.seeding."""
    wrong = []
    for name, path in files().items():
        if part(name) in {"seeding", "shipped"}:
            continue
        for function, call in calls(path):
            keywords = {keyword.arg for keyword in call.keywords}
            library, _, what = function.rpartition(".")
            if (
                library == "random"
                and "random" in imports(path, lazy=True)
                and what not in {"Random", "SystemRandom"}
            ):
                wrong.append(f"{name}:{call.lineno} {function}")
            if library in {"np.random", "numpy.random"} and what not in {
                "default_rng",
                "Generator",
                "SeedSequence",
                "PCG64",
            }:
                wrong.append(f"{name}:{call.lineno} {function}")
            if function in {"torch.manual_seed", "torch.seed", "torch.cuda.manual_seed_all"}:
                wrong.append(f"{name}:{call.lineno} {function}")
            if library == "torch" and what in DRAWS and "generator" not in keywords:
                wrong.append(f"{name}:{call.lineno} {function} without generator=")
    assert not wrong, "\n".join(wrong)


def test_nothing_is_loaded_that_can_execute_code():
    wrong = []
    for name, path in files().items():
        for function, call in calls(path):
            keywords = {keyword.arg: keyword.value for keyword in call.keywords}
            weights_only = (
                isinstance(keywords.get("weights_only"), ast.Constant)
                and keywords["weights_only"].value is True
            )
            if function == "torch.load" and not weights_only:
                wrong.append(f"{name}:{call.lineno} torch.load without weights_only=True")
            if function == "pickle.loads" and name == "archsmith.testing":
                continue  # what it pickled itself, a line before
            if function in {"pickle.load", "pickle.loads", "eval", "yaml.load", "joblib.load"}:
                wrong.append(f"{name}:{call.lineno} {function}")
    assert not wrong, "\n".join(wrong)

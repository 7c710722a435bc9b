"""The rules of the house, read from the source."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "vitarmm_agent"
LINKED = ("graphs", "prompts", "memory_store", "evals")

# Lower layers first; a module may import from its own unit and from lower layers.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("redaction",),
    (
        "by_name",
        "clip",
        "data",
        "errors",
        "effects",
        "hosts",
        "json_text",
        "lazy",
        "loopwise",
        "nearest",
        "notebooks",
        "numbers",
        "private",
        "prompts",
        "thinking",
        "wilson",
    ),
    ("ages", "closable", "config_file", "one_process", "servers", "user_path"),
    (
        "settings",
        "media",
        "memory_store.schema",
        "memory_store.store",
        "group_commit",
        "llama",
        "postgres",
    ),  # fmt: skip
    ("open_media", "options", "problem", "run_settings", "weights"),
    ("answers", "memory_store", "models"),
    ("result", "rmm", "verifiers"),
    ("state",),
    ("deps",),
    ("nodes",),
    ("graphs",),
    ("agent", "traces"),
    ("integrations", "evals", "graphs.server"),
    ("training", "viewer"),
    ("cli", "evals.speed", "evals.studies"),
)
HEAVY = {
    "accelerate", "bitsandbytes", "chromadb", "datasets", "gguf", "langmem", "matplotlib", "peft",
    "PIL", "psycopg", "psycopg_pool", "rapidocr_onnxruntime", "ray", "safetensors", "scipy",
    "sentence_transformers", "sympy",
    "math_verify", "torch", "transformers", "trl", "xgrammar", "xllamacpp",
}  # fmt: skip
# Modules that are themselves only ever imported where they are used.
MAY_BE_HEAVY = (
    "graphs.postgres_checkpoints", "models.vita.", "models.folder", "models.engine", "models.sampling", "evals.speed.",
    "training.callbacks", "training.convert", "training.lora", "training.preferences",
)  # fmt: skip


@cache
def modules() -> dict[str, Path]:
    """Dotted name without the package → file."""
    found = {}
    for path in (
        sorted(PACKAGE.rglob("*.py", recurse_symlinks=True))
        if sys.version_info >= (3, 13)
        else _walk(PACKAGE)
    ):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__").replace("__init__", "")] = path
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != "__pycache__":
            yield from _walk(path)
        elif path.suffix == ".py":
            yield path


def unit_of(module: str) -> tuple[int, str] | None:
    """Layer number and unit of a module; the longest matching unit counts."""
    best: tuple[int, str] | None = None
    for number, units in enumerate(LAYERS):
        for unit in units:
            if (module == unit or module.startswith(unit + ".")) and (
                best is None or len(unit) > len(best[1])
            ):
                best = (number, unit)
    return best


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports_of(path: Path, *, top_level_only: bool = False) -> Iterator[tuple[str, int]]:
    """Modules that a file imports, with line numbers; imports for type checking only are left out."""
    tree = parsed(path)
    for node in _statements(tree.body, into_functions=not top_level_only):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}:{node.lineno} relative import"
            yield node.module, node.lineno
            for alias in node.names:
                if f"{node.module}.{alias.name}".removeprefix("vitarmm_agent.") in modules():
                    yield f"{node.module}.{alias.name}", node.lineno


def _statements(body: list[ast.stmt], *, into_functions: bool) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not into_functions:
            continue
        yield node
        for field in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, field, []), into_functions=into_functions)
        for block in (*getattr(node, "handlers", []), *getattr(node, "cases", [])):
            yield from _statements(block.body, into_functions=into_functions)


def test_an_import_is_found_in_every_kind_of_block(tmp_path: Path) -> None:
    blocks = (
        "if a:\n {}\nelif b:\n {}\nelse:\n {}",
        "for a in b:\n {}\nelse:\n {}",
        "with a:\n {}",
        "try:\n {}\nexcept E:\n {}\nelse:\n {}\nfinally:\n {}",
        "match a:\n case 1:\n  {}\n case _:\n  {}",
    )
    for block in blocks:
        names = [f"m{number}" for number in range(block.count("{}"))]
        path = tmp_path / f"{block.split()[0]}.py"
        path.write_text(block.format(*(f"import {name}" for name in names)))
        assert sorted(name for name, _ in imports_of(path, top_level_only=True)) == names


def test_every_module_has_a_layer() -> None:
    homeless = [name for name in modules() if name and unit_of(name) is None]
    assert homeless == []


def test_imports_point_down() -> None:
    wrong = []
    for name, path in modules().items():
        own = unit_of(name)
        if own is None:
            continue
        for imported, line in imports_of(path):
            if not imported.startswith("vitarmm_agent."):
                continue
            other = unit_of(imported.removeprefix("vitarmm_agent."))
            if other is not None and other[1] != own[1] and other[0] >= own[0]:
                wrong.append(f"{name}:{line} imports {imported}")
    assert wrong == []


def test_the_layers_are_those_of_the_documentation() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    shown = [tuple(line.split(", ")) for line in re.findall(r"^    (\w.*)$", page, re.M)]
    assert [layer for layer in shown if set(layer) & {u for units in LAYERS for u in units}] == (
        list(LAYERS)
    )


def test_the_store_knows_nothing_of_memory() -> None:
    """Not even for type checking: ``memory_store/store`` could be published alone."""
    store = {n: p for n, p in modules().items() if unit_of(n) == unit_of("memory_store.store")}
    assert len(store) > 10
    imported = {
        f"{name} imports {node.module}"
        for name, path in store.items()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("vitarmm_agent.memory_store")
        and unit_of((node.module or "").removeprefix("vitarmm_agent.")) != unit_of(name)
    }
    assert imported == set()


def test_no_import_cycles() -> None:
    """Imports inside functions count too: what may be deferred is a heavy library, not a circle."""
    graph = {
        name: {
            imported.removeprefix("vitarmm_agent.")
            for imported, _ in imports_of(path)
            if imported.removeprefix("vitarmm_agent.") in modules() and imported != "vitarmm_agent"
        }
        - {name}
        for name, path in modules().items()
        if name not in ("", "cli")  # the command's entry point loads its commands when it is run
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' → '.join(error.args[1])}")


IMPORTS_ALONE = """
import atexit, importlib, os, signal, socket, sys

def refused(*args, **kwargs):
    raise AssertionError("something happens at import")

def refused_to_us(function):  # torch, say, does it
    def guarded(*args, **kwargs):
        if sys._getframe(1).f_globals.get("__name__", "").startswith("vitarmm_agent"):
            refused()
        return function(*args, **kwargs)
    return guarded

os.register_at_fork = refused_to_us(os.register_at_fork)
atexit.register = refused_to_us(atexit.register)
for name in ("signal", "setitimer", "alarm", "siginterrupt", "set_wakeup_fd", "pthread_sigmask"):
    setattr(signal, name, refused)
for name in ("connect", "connect_ex", "bind", "sendto"):
    setattr(socket.socket, name, refused)
socket.getaddrinfo = socket.create_connection = refused
wrong = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        wrong[name] = repr(error)
print(wrong, flush=True)
os._exit(0)
"""


@pytest.mark.thorough
def test_nothing_happens_at_import(tmp_path: Path) -> None:
    """Every module can be imported where forks, exits, signals and the network are refused."""
    names = [f"vitarmm_agent.{name}" for name in modules() if name and "__main__" not in name]
    shown = subprocess.run(
        [sys.executable, "-c", IMPORTS_ALONE, *names],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=os.environ | {"VITARMM_DATA_DIR": str(tmp_path / "data")},
    )
    assert shown.stdout.strip().splitlines()[-1] == "{}"
    assert not (tmp_path / "data").exists()


def test_heavy_libraries_are_imported_where_used() -> None:
    wrong = [
        f"{name}:{line} imports {imported}"
        for name, path in modules().items()
        if not name.startswith(MAY_BE_HEAVY)
        for imported, line in imports_of(path, top_level_only=True)
        if imported.split(".")[0] in HEAVY
    ]
    assert wrong == []


def test_nothing_imports_the_linked_folders_by_their_bare_names() -> None:
    wrong = [
        f"{name}:{line}"
        for name, path in modules().items()
        for imported, line in imports_of(path)
        if imported.split(".")[0] in LINKED
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "package",
    [
        "",
        ".graphs",
        ".memory_store",
        ".memory_store.journal",
        ".models",
        ".models.vita",
        ".answers",
        ".verifiers",
        ".rmm",
    ],
)
def test_public_names_are_importable(package: str) -> None:
    module = importlib.import_module(f"vitarmm_agent{package}")
    assert sorted(module.__all__) == sorted(set(module.__all__))
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError):
        _ = module.no_such_name


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, vitarmm_agent, vitarmm_agent.cli;"
        f"print(sorted({HEAVY!r} & set(sys.modules) | ({{'langgraph', 'langchain_core'}} & set(sys.modules))))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_command_line_starts_without_models_or_memory() -> None:
    code = (
        "import sys, vitarmm_agent.cli.app;"
        "print(sorted({'torch', 'transformers', 'chromadb', 'langgraph', 'langchain_core'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_modules_and_functions_stay_small() -> None:
    wrong = []
    for name, path in modules().items():
        source = path.read_text(encoding="utf-8")
        if source.count("\n") >= 400:
            wrong.append(f"{name} has {source.count(chr(10))} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                if length >= 60 and not _only_declares(node):
                    wrong.append(f"{name}:{node.lineno} {node.name} has {length} lines")
    assert wrong == []


def _only_declares(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A command with many options is long by its signature; its body must still be short."""
    first = node.body[0]
    last = node.body[-1]
    assert last.end_lineno is not None
    return last.end_lineno - first.lineno < 55


SHARED = frozenset("Bar Judgement Metrics Session Source Told Turn WrittenOperation".split())
"""Names that two classes have; the list may only become shorter."""


def test_a_public_class_has_its_name_alone() -> None:
    places: dict[str, list[str]] = {}
    for name, path in modules().items():
        if not name.startswith(("evals.speed.", "evals.studies.")):  # scripts
            for node in parsed(path).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(name)
    assert {found: at for found, at in places.items() if len(at) > 1 and found not in SHARED} == {}


def test_a_problem_takes_no_longer_trip_through_the_files(tmp_path: Path) -> None:
    """See docs/architecture.md for what is counted, and for the trip as it was."""
    from vitarmm_agent.evals.speed.trip import NODES, two_attempts

    trip = two_attempts(tmp_path)
    assert all(trip.files(node) for node in NODES)
    assert len(trip.files()) <= 96
    assert trip.changes() <= 2_530


def test_defaults_of_models_are_named() -> None:
    """A type checker without pydantic's plugin takes ``Field(None)`` for a field that must be given."""
    wrong = [
        f"{name}:{node.lineno}"
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Field" and node.args
    ]
    assert wrong == []

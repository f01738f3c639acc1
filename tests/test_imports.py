"""The directions of DESIGN: read from the imports themselves."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gen_jax"
FILES = sorted(PACKAGE.rglob("*.py"))

# What each folder may import of ours; a folder may always import itself.
ALLOWED = {
  "core": set(),
  "colour": set(),
  "holes": set(),
  "ibm1": {"core"},
  "schema": {"core"},
  "losses": {"core", "schema", "colour"},
  "nets": {"core", "schema", "colour"},
  "dynamics": {"core"},
  "flows": {"core", "schema", "dynamics"},
  "diffusion": {"core", "schema", "losses", "dynamics"},
  "learn": {"core", "schema", "ibm1", "losses", "nets", "flows", "diffusion"},
  "models": {
    "core",
    "schema",
    "colour",
    "holes",
    "ibm1",
    "losses",
    "nets",
    "dynamics",
    "flows",
    "diffusion",
    "learn",
  },
  "remote": {"core", "schema"},
  "data": {"core", "schema", "colour", "remote"},
  "metrics": {"core", "schema", "colour"},
  "config": {"core", "schema", "data"},
  "run": {"core", "schema", "colour", "config", "remote", "data"},
  "report": {
    "core",
    "schema",
    "colour",
    "holes",
    "ibm1",
    "config",
    "remote",
    "data",
    "metrics",
    "run",
  },  # fmt: skip
  "app": {"core", "schema", "config", "remote", "data", "metrics", "run", "report"},
  "early": set(),
  "main": {"early", "core", "schema", "config", "remote", "app", "report", "run"},
  "__init__": {"run", "app", "schema"},
}
FACES = ("data", "metrics")  # outside their folder these are reached by their public face only
FORBIDDEN = {"absl", "ml_collections"}  # in models and what they stand on
HEAVY = {"tensorflow", "tensorflow_datasets", "grain", "matplotlib", "wandb", "sklearn"}


def place(file: Path) -> str:
  parts = file.relative_to(PACKAGE).with_suffix("").parts
  return parts[0]


def imports(file: Path):
  """(module, at the top level?) of every import."""
  tree = ast.parse(file.read_text())
  top = {node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)}
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from ((name.name, node in top) for name in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{file}: relative import"
      if node.module == "gen_jax":
        yield from ((f"gen_jax.{name.name}", node in top) for name in node.names)
      else:
        yield node.module, node in top


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_arrows_point_down(file):
  here = place(file)
  for module, top in imports(file):
    parts = module.split(".")
    if parts[0] == "gen_jax" and len(parts) > 1 and parts[1] != here:
      assert parts[1] in ALLOWED[here], f"{here} may not import {module}"
      if parts[1] in FACES:
        assert len(parts) == 2, f"{module}: import it from gen_jax.{parts[1]}"
    if here in ("core", "losses", "nets", "dynamics", "flows", "diffusion", "learn", "models"):
      assert parts[0] not in FORBIDDEN, f"{here} may not import {parts[0]}"
    assert not (top and parts[0] in HEAVY), f"import {parts[0]} only where it is used"


def test_no_model_is_named_in_run():
  models = (PACKAGE / "models").glob("*.py")
  names = {file.stem for file in models if "\ndef build(" in file.read_text()}
  assert "vae" in names
  for file in [f for room in ("run", "report", "app") for f in (PACKAGE / room).rglob("*.py")]:
    code = ast.parse(file.read_text())
    words = {n.id for n in ast.walk(code) if isinstance(n, ast.Name)}
    words |= {n.attr for n in ast.walk(code) if isinstance(n, ast.Attribute)}
    assert not words & names, f"{file.name} names {words & names}"


def test_no_pmap():
  for file in FILES:
    assert "pmap" not in file.read_text(), file


def module_of(name: str) -> str | None:
  """The module of ours that an import names: itself, or what it is a part of."""
  parts = name.split(".")
  while parts and parts[0] == "gen_jax":
    path = PACKAGE.joinpath(*parts[1:])
    if path.with_suffix(".py").exists() and len(parts) > 1:
      return ".".join(parts)
    if (path / "__init__.py").exists() and len(parts) > 1:
      return ".".join(parts)
    parts.pop()
  return None


def names_imported(file: Path):
  """Every name of ours that a file imports, at the top level or inside a function."""
  for node in ast.walk(ast.parse(file.read_text())):
    if isinstance(node, ast.Import):
      yield from (name.name for name in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "gen_jax":
      yield from (f"{node.module}.{name.name}" for name in node.names)


def test_no_circle():
  graph = {}
  for file in FILES:
    here = ".".join(["gen_jax", *file.relative_to(PACKAGE).with_suffix("").parts])
    here = here.removesuffix(".__init__")
    graph[here] = {module_of(name) for name in names_imported(file)} - {None, here}
  while graph:
    leaves = [name for name, needs in graph.items() if not needs & graph.keys()]
    assert leaves, f"these import each other: {sorted(graph)}"
    for name in leaves:
      del graph[name]


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_files_and_functions_are_small(file):
  text = file.read_text()
  assert len(text.splitlines()) <= 350, "split it by its reasons to change"
  for node in ast.walk(ast.parse(text)):
    if isinstance(node, ast.FunctionDef):
      assert node.end_lineno - node.lineno < 150, node.name

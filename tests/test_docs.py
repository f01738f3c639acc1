"""Pages name tests, functions and options that there are."""

import ast
import functools
import re
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from scipy.stats import entropy

import gen_jax
from gen_jax import config as configs
from gen_jax.app import cli, sweep
from gen_jax.report.measures import MEASURES, table
from gen_jax.report.uses import USES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
CHAPTERS = sorted((DOCS / "learn").glob("*.md"))
PAGES = [*CHAPTERS, DOCS / "index.md", DOCS / "extend.md", DOCS / "gallery.md"]
SECTIONS = [
  "The equation", "In the code", "Run it", "What came out", "What goes wrong, and how it looks",
  "Exercises",
]  # fmt: skip
OTHER_MODES = {"train", "sample", "evaluate", "export", "report", "replay"}


@pytest.mark.parametrize("page", ["failures.md"])
def test_every_test_that_a_page_names_is_there(page):
  named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (DOCS / page).read_text())
  assert len(named) > 20
  for file, test in named:
    assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{test}"


def stem(page):
  return page.stem


def blocks(text):
  """What stands in fenced blocks, and the text without them."""
  fence = re.compile(r"^ *```.*?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
  return fence.findall(text), fence.sub("", text)


def commands(text):
  """The arguments of `python -m gen_jax.main`, one list for each command in fenced blocks."""
  joined = "\n".join(blocks(text)[0]).replace("\\\n", " ")
  found = re.findall(r"^ *python -m gen_jax\.main (.*)$", joined, re.MULTILINE)
  return [shlex.split(line, comments=True) for line in found]


@functools.cache
def loaded(file: str, variant: str) -> ConfigDict:
  """A config by its path in the repository."""
  return cli.load_config(f"{ROOT / file}:{variant}" if variant else str(ROOT / file))


def set_in(config: ConfigDict, field: str, text: str) -> None:
  """Sets a field as the command line does: by the type that it has."""
  *groups, name = field.split(".")
  for group in groups:
    config = config[group]
  kind = type(config[name])
  config[name] = text if kind is str else kind(ast.literal_eval(text))


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_every_function_that_a_page_names_is_there(page):
  text = page.read_text()
  named = re.findall(r"`((?:gen_jax|tests|configs|benchmarks)/[\w/]+\.py)(?:::([\w.]+))?`", text)
  assert named or page.stem in ("index", "gallery")
  for file, name in named:
    source = (ROOT / file).read_text()
    for part in filter(None, name.split(".")):
      defined = rf"^\s*(?:def|class) {part}\b|^\s*{part}(?:: | = )"
      assert re.search(defined, source, re.MULTILINE), f"{file}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_every_command_of_a_page_is_taken(page):
  for argv in commands(page.read_text()):
    flags = [argument.partition("=") for argument in argv if argument.startswith("--")]
    name = argv[argv.index("--config") + 1] if "--config" in argv else None
    for flag, _, value in flags:
      if flag == "--mode":
        assert value in OTHER_MODES | set(USES), value
    if name is None:
      continue
    at = [argv[i + 1] for i, argument in enumerate(argv) if argument == "--sweep"]
    fields = sweep.parse(at)
    file, own = cli.split_name(name)
    for variant in fields.pop("variant", [own]):
      config = loaded(file, variant).copy_and_resolve_references()
      for flag, _, value in flags:
        if flag.startswith("--config."):
          set_in(config, flag.removeprefix("--config."), value)
      for field, values in fields.items():
        for value in values:
          set_in(config, field, value)
          configs.parse(config)
      checked = configs.parse(config).config
      assert set(checked["measures"]) <= set(MEASURES), argv


@pytest.mark.parametrize("page", CHAPTERS, ids=stem)
def test_every_chapter_has_its_sections(page):
  text = blocks(page.read_text())[1]
  assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
  exercises = page.read_text().split("## Exercises")[1]
  assert len(commands(exercises)) >= 2


def test_every_chapter_is_in_the_navigation_and_on_the_first_page():
  for page in CHAPTERS:
    assert f"learn/{page.name}" in (ROOT / "mkdocs.yml").read_text(), page.name
    assert f"(learn/{page.name})" in (DOCS / "index.md").read_text(), page.name


def namespaces(page):
  """What each Python module on a page defines, by the first line of its docstring."""
  modules = re.findall(r'^```python\n(""".*?)^```', page.read_text(), re.MULTILINE | re.DOTALL)
  found = {}
  for text in modules:
    names = {"__name__": "gen_jax.models.on_a_page"}
    exec(compile(text, str(page), "exec"), names)
    found[text.splitlines()[0].strip('"')] = names
  return found


def test_what_is_added_on_the_page_works(monkeypatch):
  monkeypatch.setattr(table, "MEASURES", {})
  model, config, measure, source = namespaces(DOCS / "extend.md").values()
  stripes = source["load"](validation=0.1, test=0.2, split_seed=0)
  x = stripes.splits["train"].arrays()["x"]
  assert x.shape == (2880, 8, 8, 1) and set(np.unique(x)) == {0, 1}
  # Pixels that are on with a probability of their own: entropy 35 nats, 44 for fair coins.
  chance = np.linspace(0.05, 0.6, 8)[:, None, None]
  x = (np.random.default_rng(0).random((500, 8, 8, 1)) < chance).astype(np.uint8)
  trained, state = gen_jax.train(model["build"](stripes.spec), {"x": x}, steps=60, batch_size=64)
  nats = -np.asarray(trained.log_prob(state, jnp.asarray(x), None, None)).mean()
  share = x.mean(axis=0, dtype=np.float64)
  assert 0 < nats - entropy([share, 1 - share]).sum() < 1.5
  drawn = trained.sample(state, jax.random.split(jax.random.key(0), 5), None)
  assert drawn.shape == (5, 8, 8, 1)
  assert set(config["VARIANTS"]) == {"digits", "tiny"}
  assert list(table.MEASURES) == ["brightness"] and measure["brightness"]

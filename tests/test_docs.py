"""Pages name tests, functions and options that there are."""

import ast
import re
import shlex
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from gen_jax import config as configs
from gen_jax.app import cli, sweep
from gen_jax.report.measures import MEASURES
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
  fence = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
  return fence.findall(text), fence.sub("", text)


def commands(text):
  """The arguments of `python -m gen_jax.main`, one list for each command in fenced blocks."""
  joined = "\n".join(blocks(text)[0]).replace("\\\n", " ")
  found = re.findall(r"^python -m gen_jax\.main (.*)$", joined, re.MULTILINE)
  return [shlex.split(line, comments=True) for line in found]


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
      defined = rf"^\s*(?:def|class) {part}\b|^\s*{part}(?:: [^=\n]+)? = |^  {part}: "
      assert re.search(defined, source, re.MULTILINE), f"{file}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_every_command_of_a_page_is_taken(page):
  for argv in commands(page.read_text()):
    cli.check_overrides(["main", *argv])
    flags = [argument.partition("=") for argument in argv if argument.startswith("--")]
    name = argv[argv.index("--config") + 1] if "--config" in argv else None
    for flag, _, value in flags:
      if flag == "--mode":
        assert value in OTHER_MODES | set(USES), value
    if name is None:
      continue
    at = [argv[i + 1] for i, argument in enumerate(argv) if argument == "--sweep"]
    fields = sweep.parse(at)
    variants = fields.pop("variant", [cli.split_name(name)[1]])
    for variant in variants:
      file = ROOT / cli.split_name(name)[0]
      assert file.is_file(), name
      config = cli.load_config(f"{file}:{variant}" if variant else str(file))
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

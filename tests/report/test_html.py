"""Reports as pages: of made-up run folders, read back by an HTML parser and by a browser."""

import json
import math
import re
import shutil
import sys
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from gen_jax.app import training
from gen_jax.app.cli import load_config
from gen_jax.core import UserError
from gen_jax.report.folder import read_run
from gen_jax.report.html import charts, inline, sections, write_comparison, write_report
from gen_jax.run.folder import digest_of

VOID = {"meta", "img", "link", "br", "hr", "input"}
HOSTILE = "<script>alert(1)</script>"


class Page(HTMLParser):
  """Tags with their attributes, the text, and whether every tag is closed where it should be."""

  def __init__(self, text):
    super().__init__()
    self.open, self.tags, self.words = [], [], []
    self.feed(text)
    assert not self.open

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.words.append(data.strip())

  def of(self, tag):
    return [attrs for name, attrs in self.tags if name == tag]


def make(folder, builder="gen_jax.models.pca.build", latent=5, bits=1.5, grids=3):
  """A run folder as the program leaves one."""
  (folder / "samples").mkdir(parents=True)
  config = {
    "builder": builder, "seed": 0, "measures": ["likelihood"], "model": {"components": latent},
    "data": {"name": HOSTILE, "batch_size": 128}, "train": {"steps": 20}, "sample": {},
    "likelihood": {}, "evaluate": {},
  }  # fmt: skip
  record = {"config": config, "spec": {}, "specs": [], "sizes": {}, "data": [], "fingerprint": "f"}
  figures = {
    "bits_per_dim": {"value": bits, "standard_error": 0.01, "examples": 9, "split": "test"},
    "recall": {"value": None, "why": "too few samples"},
  }
  rows = [{"stage": 0, "step": 10, "seconds": 30.0, "loss": 3.0}]
  rows += [{"stage": 0, "step": 20, "seconds": 60.0, "loss": float("nan"), HOSTILE: 1.0}]
  rows += [{"stage": 0, "step": 20, "split": "validation", "loss": 2.5}]
  for name, value in (
    ("config.json", record | {"digest": digest_of(record)}),
    ("evaluation.json", figures),
    ("provenance.json", [{"command": f"train {HOSTILE}", "hostname": "here"}]),
  ):
    (folder / name).write_text(json.dumps(value))
  (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  for i in range(grids):
    image = Image.fromarray(np.full((16, 16, 3), 40 * i, np.uint8))
    image.save(folder / "samples" / f"{10 * i:06d}.png")
  return folder


def test_a_report_stands_alone_and_says_what_the_folder_holds(tmp_path):
  folder = make(tmp_path / "run")
  (folder / "pictures").mkdir()
  Image.new("L", (8, 8)).save(folder / "pictures" / "components.png")
  text = write_report(folder).read_text()
  page, words = Page(text), " ".join(Page(text).words)
  assert "script" not in {tag for tag, _ in page.tags} and HOSTILE not in text
  assert all(a["src"].startswith("data:image/") and a["alt"] for a in page.of("img"))
  assert len(page.of("img")) == 4  # three grids, and the components
  assert all(a["href"].startswith("#") for a in page.of("a"))
  anchors = {a["href"][1:] for a in page.of("a")}
  assert anchors == {a["id"] for a in page.of("h2")}
  assert not re.findall(r"(?:src|href)=\"(?!#|data:)", text) and "@import" not in text
  for told in ("bits_per_dim", "1.5", "0.01", "9 of test", "missing: too few samples", "here"):
    assert told in words, told
  assert "unfinished: stage 0, step 20; 20 steps in all" in words
  assert "1.0 minutes of training" in words
  assert "principal component" in words.lower()  # what the model says of itself


def test_settings_that_differ_from_their_default_are_marked(tmp_path):
  run = read_run(make(tmp_path / "run", latent=5))
  table = {group: {row[0]: row[1:] for row in rows} for group, rows in sections.settings(run)}
  assert table["data"]["batch_size"] == ("128", "128", False)
  assert table["train"]["steps"] == ("20", "1000", True)
  value, default, differs = table["model"]["components"]
  assert value == "5" and default not in ("", "5") and differs


def test_a_builder_that_is_none_of_ours_is_named_and_not_imported(tmp_path):
  (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
  sys.path.insert(0, str(tmp_path))
  try:
    text = write_report(make(tmp_path / "run", builder="evil.build")).read_text()
  finally:
    sys.path.remove(str(tmp_path))
  assert "evil.build" in text and "evil" not in sys.modules


def test_a_folder_that_is_no_run_is_refused_and_a_page_needs_jinja(tmp_path, monkeypatch):
  with pytest.raises(UserError, match="config.json"):
    write_report(tmp_path)
  folder = make(tmp_path / "run")
  monkeypatch.setitem(sys.modules, "jinja2", None)
  with pytest.raises(UserError, match="pip install jinja2"):
    write_report(folder)


def test_pictures_share_the_budget_of_a_page(tmp_path):
  noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
  frames = [Image.fromarray(np.roll(noise, i, 0)) for i in range(3)]
  Image.fromarray(noise).save(tmp_path / "noise.png")
  frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
  (tmp_path / "none.png").write_text("no picture")
  album = inline.Album(400_000)
  whole = album.take(tmp_path / "film.gif", "a film", most=100_000)
  assert whole.note == "the last frame of film.gif" and whole.uri.startswith("data:image/webp")
  assert album.take(tmp_path / "none.png", "none") is None
  for _ in range(8):
    last = album.take(tmp_path / "noise.png", "noise", most=100_000)
    assert last.note
  assert 0 <= album.budget < 100_000
  album.budget = 10
  assert album.take(tmp_path / "noise.png", "noise").uri == ""


def test_a_chart_says_in_words_where_its_lines_begin_and_end():
  rows = [{"step": i, "loss": float(i)} for i in range(1, 1001)]
  x, y = charts.lines_of([*rows, {"step": 1001}], "loss")
  assert len(x) <= charts.MOST and x[-1] == 1000
  assert y[0] == (x[0] + 1) / 2  # the mean of the steps that it stands for
  gap = charts.Line("run", [1, 2, 3], [1.0, math.nan, 0.25])
  made = charts.chart("loss <b>", [gap])
  assert made.alt == "loss <b> over steps; from 1 to 0.25"
  assert "<b>" not in made.svg and made == charts.chart("loss <b>", [gap])


def test_runs_beside_each_other(tmp_path):
  dirs = [make(tmp_path / "a", bits=1.5), make(tmp_path / "b", latent=7, bits=1.25, grids=0)]
  out = tmp_path / "pages" / "both.html"
  assert write_comparison(out, dirs) == f"{out}: 2 runs"
  page = Page(out.read_text())
  words = " ".join(page.words)
  assert "(-0.25)" in words and "model.components" in words and len(page.of("img")) == 1
  assert HOSTILE not in out.read_text()
  with pytest.raises(UserError, match="two run folders"):
    write_comparison(out, dirs[:1])


KINDS = (
  "pca", "vae", "gan", "realnvp", "ddpm", "vqvae", "segment", "cyclegan", "video", "translate",
  "debias", "gmm",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_reports_of_every_kind_in_a_browser(tmp_path):
  api = pytest.importorskip("playwright.sync_api")
  chromium = shutil.which("chromium") or shutil.which("chromium-browser")
  if chromium is None:
    pytest.skip("no Chromium is installed")
  for kind in KINDS:
    training.train(load_config(f"configs/{kind}.py:tiny"), tmp_path / kind)
  write_comparison(tmp_path / "both.html", [tmp_path / "gan", tmp_path / "vae"])
  pages = [tmp_path / kind / "report.html" for kind in KINDS] + [tmp_path / "both.html"]
  with api.sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    for path in pages:
      assert path.stat().st_size < 10_000_000
      for width, scheme in ((1400, "light"), (400, "dark")):
        view = {"width": width, "height": 900}
        page, said = browser.new_page(viewport=view, color_scheme=scheme), []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("request", lambda request, said=said: said.append(request.url))
        page.goto(path.as_uri())
        assert [text for text in said if not text.startswith(("data:", path.as_uri()))] == []
        broken = "[...document.images].filter(i => !i.naturalWidth).length"
        assert page.evaluate(broken) == 0, path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.close()
    browser.close()


@pytest.mark.parametrize("n", [2, 72])
def test_a_chart_of_many_runs_has_room_for_its_lines(n):
  lines = [charts.Line(f"run {i}", [1, 2, 3], [i, i + 1, i]) for i in range(n)]
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    made = charts.chart("loss", lines)
  assert ("run 1" in made.svg) == (n == 2)
  assert f"run {n - 1}: from {n - 1} to {n - 1}" in made.alt

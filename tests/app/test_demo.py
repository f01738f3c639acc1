"""What a visitor may ask of a run, without the page; and the page in a browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gen_jax import data
from gen_jax.app import tasks, training
from gen_jax.app.cli import load_config
from gen_jax.app.demo.studio import CANVAS, FRAMES, Studio
from gen_jax.core import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
  folder = tmp_path_factory.mktemp("demo")
  config = load_config("configs/vae.py:tiny")
  training.train(config, folder / "run")
  (folder / "answers").mkdir()
  return Studio(tasks.config_of(folder / "run"), folder / "run", "newest", folder / "answers")


def test_samples_are_those_of_the_command_line(studio):
  before = {path: path.read_bytes() for path in studio.workdir.rglob("*") if path.is_file()}
  first, again = (studio.sample(9, 5, {}, {}) for _ in range(2))
  assert first.pictures != again.pictures  # a folder for each answer
  one, two = (Path(answer.pictures[0]).read_bytes() for answer in (first, again))
  assert one == two
  assert {p: p.read_bytes() for p in studio.workdir.rglob("*") if p.is_file()} == before
  tasks.draw(studio.config, studio.workdir, n=9, seed=5, given={}, checkpoint="newest")
  assert (studio.workdir / "samples" / "seed5-n9.png").read_bytes() == one
  for n, given in ((0, {}), (1000, {}), (4, {"label": "3"})):
    with pytest.raises(UserError):
      studio.sample(n, 0, given, {})


def test_sliders_that_stay_give_the_example_and_moved_ones_another_picture(studio):
  moves = studio.positions(2)
  assert len(moves) == len(studio.order)
  order, mean, std = studio.latents
  assert (np.diff(std[order]) <= 0).all()
  still = Path(studio.decoded(2, moves).pictures[0]).read_bytes()
  use, batch = studio.one(2)
  x = use.decode(use.encode(batch), None)
  from gen_jax.run import pictures

  pictures.show(studio.place() / "x.png", x, studio.trained.spec.levels, 1)
  same = [p.read_bytes() for p in studio.folder.rglob("x.png")]
  assert same == [still]
  other = Path(studio.decoded(2, [moves[0] + 3, *moves[1:]]).pictures[0]).read_bytes()
  assert other != still


def test_a_path_ends_in_its_ends(studio):
  image = Image.open(studio.between(0, 1).pictures[0])
  one = Image.open(studio.decoded(0, studio.positions(0)).pictures[0])
  cell = image.width // FRAMES
  assert image.height == pytest.approx(2 * cell, abs=8)
  ends = np.asarray(image.crop((4, 4, cell - 4, cell - 4)).resize((8, 8)), float)
  assert np.abs(ends - np.asarray(one.resize((8, 8)), float)).mean() < 40


def test_files_of_visitors_are_answered_in_words(studio, tmp_path):
  (tmp_path / "text.png").write_text("no picture at all")
  Image.fromarray(np.zeros((33, 57, 3), np.uint8)).save(tmp_path / "large.png")
  with pytest.raises(UserError, match="text.png cannot be read"):
    studio.use("reconstruct", 1, str(tmp_path / "text.png"), {})
  made = studio.use("reconstruct", 1, str(tmp_path / "large.png"), {})
  assert any(path.endswith("large.png") for path in made.pictures) and "squared error" in made.text
  assert not (studio.workdir / "reconstruct").exists()
  said = studio.score(str(tmp_path / "large.png")).text
  assert "nats" in said and "less likely" in said
  with pytest.raises(UserError, match="has no mode predict"):
    studio.use("predict", 1, None, {})


def test_what_is_drawn_is_read_as_an_upload_is(studio, tmp_path):
  ground = studio.ground
  assert ground.shape == (CANVAS, CANVAS, 3) and not ground.any(), "digits stand on black"
  drawn = ground.copy()
  drawn[:, CANVAS // 2 :] = 255
  path = studio.own(None, {"composite": drawn})
  x = studio.read("reconstruct", path).x[0]
  assert x.shape == (8, 8, 1) and x.dtype == np.uint8
  assert (x[:, :3] <= 1).all() and (x[:, 5:] >= 15).all(), "white is the highest of 17 levels"
  said = studio.use("reconstruct", 1, path, {})
  assert any(name.endswith("drawing.png") for name in said.pictures)
  Image.fromarray(drawn).save(tmp_path / "same.png")
  mine, same = (studio.score(file).text for file in (path, str(tmp_path / "same.png")))
  assert mine.split(":")[1] == same.split(":")[1]


def test_a_drawing_has_the_size_of_the_data_and_an_upload_its_own(studio, tmp_path):
  other = Studio.__new__(Studio)
  model = types.SimpleNamespace(stride=4)
  other.folder = tmp_path / "answers"
  other.folder.mkdir()
  other.trained = types.SimpleNamespace(model=model, spec=studio.trained.spec)
  for folder, side in ((other.folder, 8), (tmp_path, 40)):
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(folder / "drawing.png")
    x = other.read("predict", str(folder / "drawing.png")).x[0]
    assert x.shape == (side, side, 1)


def test_a_canvas_without_a_drawing_is_no_picture(studio):
  assert studio.own(None, {"composite": studio.ground}) is None
  assert studio.own(None, {"composite": None}) is None and studio.own(None) is None
  dot = studio.ground.copy()
  dot[3, 4] = 200
  assert studio.own("mine.png", {"composite": dot}) == "mine.png"
  assert studio.own(None, {"composite": dot}) != studio.own(None, {"composite": dot}), "a file each"
  for shape in ((5000, 10, 3), (10, 10), (10, 10, 4)):
    with pytest.raises(UserError, match="a drawing has at most"):
      studio.own(None, {"composite": np.zeros(shape, np.uint8)})


def test_the_ground_is_of_the_pictures_own_colour(studio, monkeypatch):
  x = np.full((70, 6, 12, 3), [3, 0, 1], np.uint8)
  x[:, 2:4, 2:10] = 0
  source = data.from_arrays({"x": x, "levels": np.int64(4)})
  system = studio.trained.system._replace(spec=source.spec, source=source)
  other = Studio.__new__(Studio)
  other.trained = studio.trained._replace(system=system)
  assert other.ground.shape == (CANVAS // 2, CANVAS, 3)
  assert (other.ground == [255, 0, 85]).all()


CODES = ["Latents", "Interpolate"]
KINDS = {
  "vae": ["Sample", *CODES, "Examples", "Anomaly"],
  "gan": ["Sample"],
  "realnvp": ["Sample"],
  "ddpm:tiny_captions": ["Sample"],
  "segment": ["Examples"],
  "translate": ["Examples"],
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_in_a_browser(kind, tmp_path):
  api, _ = pytest.importorskip("playwright.sync_api"), pytest.importorskip("gradio")
  chromium = shutil.which("chromium") or shutil.which("chromium-browser")
  if chromium is None:
    pytest.skip("no Chromium is installed")
  name, _, variant = kind.partition(":")
  training.train(load_config(f"configs/{name}.py:{variant or 'tiny'}"), tmp_path / "run")
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  server = subprocess.Popen(
    [
      sys.executable, "-m", "gen_jax.main", "--workdir", tmp_path / "run", "--mode=demo",
      f"--port={port}",
    ],
    cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
  )  # fmt: skip
  try:
    assert any("http://127.0.0.1" in line for line in server.stdout)
    with api.sync_playwright() as playwright:
      browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
      look(browser, f"http://127.0.0.1:{port}", tmp_path, kind)
      browser.close()
  finally:
    server.send_signal(signal.SIGINT)
    server.wait(30)


def look(browser, url, tmp_path, kind):
  """Uses every tab; two visitors at once get what each asked for."""
  contexts = [browser.new_context(viewport={"width": 1200, "height": 1000}) for _ in range(2)]
  pages = [context.new_page() for context in contexts]
  said, asked = [], set()
  for page in pages:
    page.set_default_timeout(120_000)
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else 0)
    page.on("request", lambda request: asked.add(request.url.split("/")[2]))
    page.goto(url)
  for page in pages:
    page.get_by_role("tab").first.wait_for()
    page.wait_for_load_state("networkidle")
  tabs = [tab.inner_text() for tab in pages[0].get_by_role("tab").all()]
  assert tabs == KINDS[kind]
  if "Sample" in tabs:
    for page, seed in zip(pages, ("1", "2"), strict=True):
      page.get_by_label("seed").fill(seed)
      page.get_by_role("button", name="Sample", exact=True).click()
    shown = []
    for page in pages:
      page.wait_for_selector("img[src*='samples']")
      shown.append(page.request.get(page.get_attribute("img[src*='samples']", "src")).body())
    assert shown[0] != shown[1], "each visitor's own seed"
  page = pages[0]
  if "Latents" in tabs:
    page.get_by_role("tab", name="Latents").click()
    before = page.get_attribute("img[src*='decoded']", "src")
    box = page.get_by_label("example", exact=True).first
    box.fill("5")
    box.press("Enter")
    page.wait_for_function(
      "before => [...document.querySelectorAll('img[src*=decoded]')].some(i => i.src !== before)",
      arg=before,
    )
  if "Examples" in tabs:
    page.get_by_role("tab", name="Examples").click()
    if kind == "translate":
      page.get_by_label("sentences of your own").fill("no such words")
    else:
      (tmp_path / "text.png").write_text("no picture")
      panel = page.locator("[role=tabpanel]:visible")
      panel.locator("input[type=file]").first.set_input_files(tmp_path / "text.png")
      page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Go", exact=True).click()
    if kind == "translate":
      page.wait_for_function(
        "() => [...document.querySelectorAll('textarea')].some(t => t.value.includes('made'))"
      )
    else:
      page.wait_for_selector("text=cannot be read")
  if "Anomaly" in tabs:
    page.get_by_role("tab", name="Anomaly").click()
    draw(page)
    page.get_by_role("button", name="Score", exact=True).click()
    said_it = "t => t.value.includes('drawing: log p')"
    page.wait_for_function(f"() => [...document.querySelectorAll('textarea')].some({said_it})")
  assert asked == {url.split("/")[2]}, "nothing leaves this machine"
  assert not [text for text in said if "Failed to load resource" not in text]


def draw(page):
  """A stroke across the canvas that is seen."""
  canvas = page.locator("canvas:visible").last
  canvas.scroll_into_view_if_needed()
  box = canvas.bounding_box()
  x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
  page.mouse.move(x - 60, y)
  page.mouse.down()
  for step in range(1, 13):
    page.mouse.move(x - 60 + 10 * step, y + 3 * step)
  page.mouse.up()

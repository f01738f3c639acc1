"""What a visitor may ask of a trained model, without the page: each answer is files and words.

Answers lie in a folder of their own each, so that nobody sees another's; the run folder is left as
it is.
"""

from __future__ import annotations

import functools
import json
import math
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import config as configs
from gen_jax import data, metrics
from gen_jax.app.tasks import given_field, taker
from gen_jax.core import UserError, fold_each, permutation
from gen_jax.data import is_text
from gen_jax.report.uses import USES, Use
from gen_jax.report.uses.use import all_codes, unraveller, vectors
from gen_jax.run import pictures, sample
from gen_jax.run.conditions import captions, conditions, parse_given
from gen_jax.run.load import opened
from gen_jax.run.system import Trained

MOST = 100  # samples in one answer
KEPT = 4  # sets of sampling options whose compiled functions are kept
SLIDERS = 8
FRAMES = 10
CANVAS = 320  # pixels of the longer side of what is drawn on


class Answer(NamedTuple):
  """pictures: PNG and GIF files. text: words."""

  pictures: list[str]
  text: str


class Studio:
  """A run, its options of sampling and what its model can do.

  Args:
    config: of the run.
    workdir: the run folder.
    checkpoint: newest or best.
    folder: where answers are written, below a folder each.
  """

  def __init__(self, config: Mapping, workdir: Path, checkpoint: str, folder: Path):
    self.config, self.workdir, self.checkpoint = config, workdir, checkpoint
    self.folder = folder
    self.lock = threading.Lock()  # one compilation, or use of the devices, at a time
    self.opened = functools.lru_cache(KEPT)(self.open)
    self.trained = self.opened("{}")
    self.modes = [
      name for name, mode in USES.items()
      if all(getattr(self.trained.model, need) is not None for need in mode.needs)
    ]  # fmt: skip

  def open(self, options: str) -> Trained:
    """The run with options of sampling, as JSON."""
    with_options = configs.merge(self.config, {"sample": json.loads(options)})
    return opened(with_options, self.workdir, self.checkpoint, data=True)

  def with_options(self, options: Mapping[str, Any]) -> Trained:
    """The run with options of sampling other than its own."""
    own = self.trained.system.config["sample"]
    differing = {name: value for name, value in options.items() if value != own.get(name)}
    return self.opened(json.dumps(differing, sort_keys=True))

  def place(self) -> Path:
    """A folder for one answer."""
    return Path(tempfile.mkdtemp(dir=self.folder))

  def sample(
    self, n: int, seed: int, given: Mapping[str, str], options: Mapping[str, Any]
  ) -> Answer:
    """Samples, as `--mode=sample` draws them: of the same seed the same.

    Raises:
      UserError: for a number of samples, a condition or an option that is none.
    """
    if not 1 <= n <= MOST:
      raise UserError(f"the number of samples must be 1 to {MOST}, not {n}")
    with self.lock:
      trained = self.with_options(options)
      model, spec = trained.model, trained.spec
      values = parse_given(model, spec, {k: v for k, v in given.items() if v.strip()})
      cond = conditions(
        model, spec, n, split=trained.source.splits["train"], given=values, spread=True
      )
      x = taker(trained, seed)(drawer_of(model.sample, trained.system.mesh), n=n, cond=cond)
    said = captions(spec, cond)
    if is_text(spec.x):
      words = data.Vocabulary(spec.x.names).decode
      return Answer([], "\n".join(words(row) for row in x))
    return Answer(drawn(self.place(), "samples", x, spec.levels), said)

  def use(self, mode: str, n: int, path: str | None, given: Mapping[str, str]) -> Answer:
    """One of the modes, of examples of the run's data or of a file of the visitor's.

    Raises:
      UserError: see `gen_jax.data.read_input`, and the mode.
    """
    if mode not in self.modes:
      raise UserError(f"this model has no mode {mode}; it has {', '.join(self.modes)}")
    with self.lock:
      place = self.place()
      trained = self.trained._replace(workdir=place)
      values = parse_given(trained.model, trained.spec, {k: v for k, v in given.items() if v})
      said = USES[mode].run(Use(trained, n, self.read(mode, path), values))
    made = [str(file) for file in sorted(place.rglob("*")) if file.suffix in (".png", ".gif")]
    return Answer(made, said.replace(f"{place}/", ""))

  def read(self, mode: str, path: str | None) -> data.Inputs | None:
    """A file of the visitor's as the model takes it. What was drawn has no size of its own."""
    if path is None:
      return None
    drawn = Path(path).is_relative_to(self.folder)
    sized = mode in ("transform", "predict") and not drawn
    field = given_field(self.trained) if mode == "transform" else self.trained.spec.x
    return data.read_input(path, field, self.trained.model.stride if sized else 0)

  @functools.cached_property
  def ground(self) -> np.ndarray | None:
    """What a visitor draws on, uint8 [H', W', 3]: a canvas of the pictures' proportions, in the
    colour that most of their border has. None of data that are no grey or coloured pictures."""
    spec = self.trained.spec
    if len(spec.shape) != 3 or spec.levels is None or spec.shape[-1] not in (1, 3):
      return None
    height, width = (CANVAS * n // max(spec.shape[:2]) for n in spec.shape[:2])
    split = self.trained.source.splits["train"]
    x = split.take(permutation(len(split))[:64])["x"]
    border = np.concatenate([x[:, [0, -1]], x[:, :, [0, -1]].swapaxes(1, 2)], axis=2)
    shade = np.median(border.reshape(-1, x.shape[-1]), axis=0)
    return np.tile(pictures.to_uint8(shade, spec.levels), (height, width, 3 // x.shape[-1]))

  def own(self, file: str | None, canvas: Mapping | None = None) -> str | None:
    """A picture of the visitor's, as a file: what was uploaded, or else drawn; None
    where there is neither, as on a canvas of one colour.

    Args:
      file: what was uploaded.
      canvas: with `composite`, uint8 [H', W', 3], or None in its place.

    Raises:
      UserError: for a canvas that is none.
    """
    if file is not None:
      return file
    x = None if canvas is None else canvas["composite"]
    if x is None:
      return None
    if x.ndim != 3 or x.shape[-1] != 3 or x.dtype != np.uint8 or max(x.shape) > 4 * CANVAS:
      raise UserError(f"a drawing has at most {4 * CANVAS} x {4 * CANVAS} pixels in colour")
    if (x == x[:1, :1]).all():
      return None
    path = self.place() / "drawing.png"
    pictures.save_png(path, x)
    return str(path)

  def write(self, text: str | None) -> str | None:
    """The file of a text of the visitor's, one sentence a line; None where there is none."""
    if not text or not text.strip():
      return None
    path = self.place() / "sentences.txt"
    path.write_text(text)
    return str(path)

  @functools.cached_property
  def latents(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(order, mean, standard deviation) of the codes of the evaluation split, [Z] each; in order of
    their variance, the largest first."""
    use = Use(self.trained, 1)
    codes, _ = all_codes(use, use.split)
    return np.argsort(-codes.std(0)), codes.mean(0), codes.std(0)

  @property
  def order(self) -> list[int]:
    """The latents of the sliders: those that vary most, the first of them most."""
    return self.latents[0][:SLIDERS].tolist()

  def decoded(self, example: int, moves: Sequence[float]) -> Answer:
    """What an example's code decodes to, with its first latents (those that vary most) moved to
    so many standard deviations from the mean of the codes.

    Raises:
      UserError: where codes are integers.
    """
    with self.lock:
      _, mean, std = self.latents
      use, batch = self.one(example)
      code = use.encode(batch)
      back, z = unraveller(code), vectors(code)[0]
      for i, move in zip(self.order, moves, strict=True):
        z[i] = mean[i] + move * std[i]
      x = use.decode(back(jnp.asarray(z[None], jnp.float32)), use.cond(batch))
    return Answer(drawn(self.place(), "decoded", x, self.trained.spec.levels), "")

  def one(self, example: int) -> tuple[Use, dict]:
    """An example of the evaluation split, by its number in a fixed order."""
    use = Use(self.trained, 1)
    which = permutation(len(use.split))[[example % len(use.split)]]
    return use, use.split.take(which)

  def positions(self, example: int) -> list[float]:
    """Where an example lies on each slider, in standard deviations from the mean of the codes.

    Raises:
      UserError: where codes are integers.
    """
    with self.lock:
      _, mean, std = self.latents
      use, batch = self.one(example)
      code = use.encode(batch)
      unraveller(code)
      z = vectors(code)[0]
    return [float((z[i] - mean[i]) / (std[i] or 1)) for i in self.order]

  def between(self, first: int | str, second: int | str) -> Answer:
    """A path from one example to another, each a number or the visitor's own file: in a line of
    their codes, and below it on the sphere."""
    with self.lock:
      ends = [self.end(which) for which in (first, second)]
      use = ends[0][0]
      codes = [use.encode(batch) for use, batch in ends]
      back, (a, b) = unraveller(codes[0]), (jnp.asarray(vectors(c)[0], jnp.float32) for c in codes)
      t = jnp.linspace(0, 1, FRAMES)
      paths = [
        jax.vmap(lambda s, way=way: way(a, b, s))(t) for way in (metrics.lerp, metrics.slerp)
      ]
      cond = {name: np.repeat(ends[0][1][name], 2 * FRAMES, 0) for name in use.model.cond} or None
      x = use.decode(back(jnp.concatenate(paths)), cond)
    return Answer(drawn(self.place(), "between", x, use.levels, FRAMES), "")

  def end(self, which: int | str) -> tuple[Use, dict]:
    """One end of a path."""
    if isinstance(which, str):
      use = Use(self.trained, 1, self.read("interpolate", which))
      return use, use.examples(1)
    return self.one(which)

  def score(self, path: str) -> Answer:
    """How likely the model holds a picture of the visitor's, and how many test examples it holds
    for less likely."""
    with self.lock:
      inputs = data.read_input(path, self.trained.spec.x)
      use = Use(self.trained, len(inputs.x), inputs)
      mine = log_probs(self.trained, use.examples(len(inputs.x)))
      known = Use(self.trained, 256).examples(256)
      others = log_probs(self.trained, known)
    lines = []
    for name, value in zip(inputs.names, mine, strict=True):
      share = float((others < value).mean())
      verdict = "unlike what it learnt" if share < 0.01 else "like what it learnt"
      lines.append(
        f"{name}: log p = {value:.1f} nats; {share:.0%} of {len(others)} examples of the"
        f" {self.trained.system.experiment.evaluate.split} split are less likely: {verdict}"
      )
    return Answer([], "\n".join(lines))


@functools.lru_cache(KEPT)
def drawer_of(function: Callable, mesh) -> sample.Drawer:
  """The sampler, compiled once for each set of options."""
  return sample.compiled(function, mesh)


def log_probs(trained: Trained, batch: Mapping) -> np.ndarray:
  """log p(x) in nats [n], or the model's bound on it."""
  model = trained.model
  keys = fold_each(trained.key("evaluate"), np.arange(len(batch["x"])))
  cond = {name: batch[name] for name in model.cond} or None
  return np.asarray(jax.jit(model.log_prob)(trained.states, batch["x"], keys, cond))


def drawn(
  place: Path, name: str, x: np.ndarray, levels: int | None, columns: int | None = None
) -> list[str]:
  """The pictures of examples: a grid, and of clips a film too."""
  columns = columns or math.ceil(math.sqrt(len(x)))
  x = np.asarray(x)
  pictures.show(place / f"{name}.png", x, levels, columns)
  if x.ndim == 5:
    pictures.show_gif(place / f"{name}.gif", x[: pictures.CLIPS].swapaxes(0, 1), levels, 4)
  return [str(file) for file in sorted(place.iterdir())]

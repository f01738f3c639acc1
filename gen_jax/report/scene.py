"""What measures see of a trained system; samples and features are made once, when first asked for.

Every figure is a record {"value", "examples", "split", ...} that says how it came to be; one that
could not be taken has the value None and says "why".
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gen_jax.core import stream
from gen_jax.data import Source, Split
from gen_jax.report import judge as judges
from gen_jax.report.judge import Judge
from gen_jax.run import evaluate, sample
from gen_jax.run.conditions import conditions
from gen_jax.run.system import Trained

Record = dict[str, Any]


class Scene:
  """A finished run as measures see it.

  Args:
    trained: the system with its data and the states of all stages.
    rows: of the last stage's metrics.jsonl, in order.
  """

  def __init__(self, trained: Trained, rows: Sequence[Mapping] = ()):
    self.trained, self.rows = trained, rows
    self.system, self.states, self.model = trained.system, trained.states, trained.model
    self.spec, self.source = trained.spec, trained.source
    self.mesh, self.settings = trained.system.mesh, trained.system.experiment.evaluate
    self.key = trained.key("measure")
    self.drawer = functools.cache(sample.compiled)
    self.compiled = functools.cache(lambda function: evaluate.evaluator(function, self.mesh))

  @property
  def split(self) -> Split:
    """The split that is compared with."""
    return self.source.splits[self.settings.split]

  @functools.cached_property
  def real(self) -> dict[str, np.ndarray]:
    """The examples of that split."""
    return self.split.arrays()

  @functools.cached_property
  def train(self) -> dict[str, np.ndarray]:
    """The training split."""
    return self.source.splits["train"].arrays()

  @functools.cached_property
  def samples(self) -> dict[str, np.ndarray]:
    """x and conditions of config.evaluate.samples draws, conditioned as the training data are."""
    return self.drawn("train")

  def drawn(self, split: str) -> dict[str, np.ndarray]:
    """x and conditions of as many draws, conditioned as that split is."""
    n = self.settings.samples
    cond = conditions(self.model, self.spec, n, split=self.source.splits[split])
    return {**cond, "x": self.made(cond)}

  def made(self, cond: Mapping[str, np.ndarray]) -> np.ndarray:
    """x of config.evaluate.samples draws, of which draw i is given cond[i]."""
    drawer, n = self.drawer(self.model.sample, self.mesh), self.settings.samples
    chunk = sample.chunk_size(self.settings.batch_size, self.mesh)
    key = stream(self.key, "sample")
    return sample.draw(drawer, self.states, key, n, cond, chunk=chunk, mesh=self.mesh)

  @functools.cached_property
  def evaluated(self) -> dict[str, np.ndarray]:
    """The terms of the model's `evaluate` of every example of the split."""
    return self.terms(self.model.evaluate)

  @functools.cached_property
  def transformed(self) -> np.ndarray:
    """What the model's `transform` makes of every example of the split, as `observe` gives it."""
    observe, transform = self.model.observe, self.model.transform

    def made(states, batch, keys):
      x, cond = batch[self.model.given], self.cond(batch)
      x = x if observe is None else observe(states, x, keys, cond)
      return {"x": transform(states, x, keys, cond)}

    return self.terms(made)["x"]

  @functools.cached_property
  def predicted(self) -> np.ndarray:
    """The classes that the model predicts of every example of the split, or of its pixels."""
    predict = self.model.predict
    made = lambda states, batch, keys: {"class": predict(states, batch["x"]).argmax(-1)}
    return self.terms(made)["class"]

  def cond(self, batch: Mapping) -> dict | None:
    """The conditions of a batch."""
    return {name: batch[name] for name in self.model.cond} or None

  @functools.cached_property
  def judge(self) -> Judge:
    """The classifier of the real training split."""
    return self.train_judge(self.source, "real")

  def train_judge(self, source: Source, name: str) -> Judge:
    """A classifier of a source; one whose name begins with real is kept beside the run folder."""
    workdir, real = self.trained.workdir, name.startswith("real")
    kept = workdir.parent / ".classifiers" if real and workdir is not None else None
    return judges.train_judge(self.system, source, kept)

  @functools.cached_property
  def segmenter(self) -> Callable[[np.ndarray], np.ndarray]:
    """x -> the class of each pixel, learnt from the real training split, and kept as the judge."""
    workdir = self.trained.workdir
    kept = workdir.parent / ".classifiers" if workdir is not None else None
    return judges.train_segmenter(self.system, self.source, kept)

  @functools.cached_property
  def features(self) -> dict[str, np.ndarray]:
    """Features [n, F] of the real split, of the training split and of the samples."""
    sets = {"real": self.real["x"], "train": self.train["x"], "samples": self.samples["x"]}
    return {name: self.judge.features(x) for name, x in sets.items()}

  def terms(self, function: Callable, *, of: Split | None = None) -> dict[str, np.ndarray]:
    """What (states, batch, keys) -> {name: [B, ...]} gives for every example of a split, by default
    the one that is compared with."""
    return evaluate.terms(
      self.compiled(function), self.states, of or self.split, stream(self.key, "evaluate"),
      batch_size=self.settings.batch_size, mesh=self.mesh,
    )  # fmt: skip

  def encoded(self, mean: bool = True) -> np.ndarray:
    """Codes of the split that is compared with: their means, or as the model draws them."""
    encode = self.model.encode
    code_of = lambda states, batch, keys: {
      "code": encode(states, batch["x"], None if mean else keys, batch)
    }
    return self.terms(code_of)["code"]

  def extractor(self) -> Record:
    """What a figure must say of the classifier it rests on."""
    accuracy = round(self.judge.accuracy, 4)
    return {"extractor": "classifier of the training split", "extractor_accuracy": accuracy}

  def record(self, value: float | None, **facts) -> Record:
    """A figure over the samples, against the split."""
    value, n = None if value is None else float(value), len(self.samples["x"])
    return {"value": value, "examples": n, "split": self.settings.split, **facts}

  def of_split(self, value: float, **facts) -> Record:
    """A figure over the examples of the split."""
    n = len(self.split)
    return {"value": float(value), "examples": n, "split": self.settings.split, **facts}

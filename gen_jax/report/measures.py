"""The measures that a config can list: what each needs, what it writes, and how it is taken.

Every figure is a record {"value", "examples", "split", ...} that says how it came to be.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from scipy.special import entr

from gen_jax import metrics
from gen_jax.config import Experiment, nearest
from gen_jax.core import Array, Program, PyTree, UserError, stream
from gen_jax.data import ArraySplit, Source, Split
from gen_jax.run import evaluate, sample

Record = dict[str, Any]


class Judge(NamedTuple):
  """A trained classifier: what measures that need a feature space or labels ask.

  predict: x [n, ...] -> label [n]. features: x [n, ...] -> [n, F]. accuracy: on real test data.
  """

  predict: Callable[[np.ndarray], np.ndarray]
  features: Callable[[np.ndarray], np.ndarray]
  accuracy: float


class Scene:
  """What measures see of a finished run; samples and features are made once, when first asked for.

  Args:
    program, states: the finished system.
    source: its data.
    experiment: the checked config.
    mesh: the devices.
    key: of the randomness of the measures.
    train_judge: (source, name) -> Judge trained on the source's training split.
    rows: of the last stage's metrics.jsonl, in order.
  """

  def __init__(
    self,
    program: Program,
    states: list[PyTree],
    source: Source,
    experiment: Experiment,
    mesh: Mesh,
    key: Array,
    train_judge: Callable[[Source, str], Judge],
    rows: Sequence[Mapping] = (),
  ):
    self.model, self.states, self.source = program.model, states, source
    self.experiment, self.settings, self.mesh = experiment, experiment.evaluate, mesh
    self.key, self.train_judge, self.rows = key, train_judge, rows
    self.compiled = functools.cache(lambda function: evaluate.evaluator(function, mesh))

  @functools.cached_property
  def real(self) -> dict[str, np.ndarray]:
    """The split that is compared with."""
    return self.source.splits[self.settings.split].arrays()

  @functools.cached_property
  def train(self) -> dict[str, np.ndarray]:
    """The training split."""
    return self.source.splits["train"].arrays()

  @functools.cached_property
  def samples(self) -> dict[str, np.ndarray]:
    """x and conditions of config.evaluate.samples draws, conditioned as the training data are."""
    n = self.settings.samples
    split = self.source.splits["train"]
    cond = sample.conditions(self.model, self.source.spec, n, split=split)
    drawer = sample.compiled(self.model.sample, self.mesh)
    chunk = sample.chunk_size(self.settings.batch_size, self.mesh)
    key = stream(self.key, "sample")
    x = sample.draw(drawer, self.states, key, n, cond, chunk=chunk, mesh=self.mesh)
    return {**cond, "x": x}

  @functools.cached_property
  def judge(self) -> Judge:
    """The classifier of the real training split."""
    return self.train_judge(self.source, "real")

  @functools.cached_property
  def features(self) -> dict[str, np.ndarray]:
    """Features [n, F] of the real split, of the training split and of the samples."""
    sets = {"real": self.real["x"], "train": self.train["x"], "samples": self.samples["x"]}
    return {name: self.judge.features(x) for name, x in sets.items()}

  def terms(self, function: Callable, *, of: Split | None = None) -> dict[str, np.ndarray]:
    """What (states, batch, keys) -> {name: [B, ...]} gives for every example of a split, by default
    the one that is compared with."""
    split = self.source.splits[self.settings.split] if of is None else of
    return evaluate.terms(
      self.compiled(function), self.states, split, stream(self.key, "evaluate"),
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

  def record(self, value: float, **facts) -> Record:
    """A figure over the samples, against the split."""
    n = len(self.samples["x"])
    return {"value": float(value), "examples": n, "split": self.settings.split, **facts}


def likelihood(scene: Scene) -> dict[str, Record]:
  """The mean of every term of the model's `evaluate`, with its standard error over examples."""
  values = scene.terms(scene.model.evaluate)
  facts = {"split": scene.settings.split, **scene.experiment.config["likelihood"]}
  return {
    name: {
      "value": evaluate.mean(v),
      "examples": len(v),
      "standard_error": float(np.std(v, dtype=np.float64) / len(v) ** 0.5),
      **facts,
    }
    for name, v in values.items()
  }


def frechet(scene: Scene) -> dict[str, Record]:
  """Frechet distance of samples to the real split, beside that of the training data to it."""
  f = scene.features
  distance = metrics.frechet_distance(f["samples"], f["real"])
  floor = metrics.frechet_distance(f["train"], f["real"])
  record = scene.record(
    distance, real_examples=len(f["real"]), of_training_data=floor, **scene.extractor()
  )
  tested = len(scene.source.splits["test"])
  accuracy = {"value": scene.judge.accuracy, "examples": tested, "split": "test"}
  return {"frechet_distance": record, "extractor_accuracy": accuracy}


def prdc(scene: Scene) -> dict[str, Record]:
  """Precision, recall, density and coverage of the samples in the classifier's features."""
  f, k = scene.features, scene.settings.neighbours
  values = metrics.precision_recall_density_coverage(f["real"], f["samples"], k)
  facts = {"real_examples": len(f["real"]), "neighbours": k, **scene.extractor()}
  return {name: scene.record(value, **facts) for name, value in values.items()}


def sample_accuracy(scene: Scene) -> dict[str, Record]:
  """How often a classifier of real data reads a sample as the class that was asked for."""
  correct = scene.judge.predict(scene.samples["x"]) == scene.samples["label"]
  return {"sample_accuracy": scene.record(correct.mean(), **scene.extractor())}


def trained_on_samples(scene: Scene) -> dict[str, Record]:
  """Accuracy on the real split of a classifier that saw samples only."""
  splits = {"train": ArraySplit(scene.samples), "test": scene.source.splits[scene.settings.split]}
  judge = scene.train_judge(scene.source._replace(splits=splits), "samples")
  facts = {
    "examples": len(scene.real["x"]),
    "training_samples": len(scene.samples["x"]),
    "of_real_training_data": round(scene.judge.accuracy, 4),
  }
  return {"trained_on_samples_accuracy": {**scene.record(judge.accuracy), **facts}}


def memorisation(scene: Scene) -> dict[str, Record]:
  """Median distance of samples to their nearest training example, over that of held-out ones."""
  as_pixels = lambda x: x.reshape(len(x), -1).astype(np.float32)
  sets = (scene.samples["x"], scene.real["x"], scene.train["x"])
  ratio = metrics.nearest_train_ratio(*map(as_pixels, sets))
  facts = {"real_examples": len(scene.real["x"]), "distance": "Euclidean, pixels"}
  return {"nearest_train_ratio": scene.record(ratio, **facts)}


def active_units(scene: Scene) -> dict[str, Record]:
  """How many units of the code say something of x: Var_x(E[u | x]) > 0.01 (Burda et al. 2016)."""
  code, threshold = scene.encoded(), 0.01
  variance = code.reshape(len(code), -1).var(axis=0, dtype=np.float64)
  facts = {"units": len(variance), "threshold": threshold, "split": scene.settings.split}
  value = int((variance > threshold).sum())
  return {"active_units": {"value": value, "examples": len(code), **facts}}


def anomaly(scene: Scene) -> dict[str, Record]:
  """How well log p(x) tells the split from noise: pixels at random, or each from another example.

  `rejected` is the share of the noise whose log p(x) lies below all but 1% of the training split's.
  """
  split, share = scene.settings.split, 0.01
  noise = metrics.noise_like(scene.real["x"], scene.source.spec.levels, np.random.default_rng(0))
  log_prob = scene.model.log_prob
  score = lambda states, batch, keys: {"log_p": log_prob(states, batch["x"], keys, None)}
  sets = {"train": scene.train["x"], "real": scene.real["x"], **noise}
  log_p = {name: scene.terms(score, of=ArraySplit({"x": x}))["log_p"] for name, x in sets.items()}
  threshold = float(np.quantile(log_p["train"], share))
  facts = {"split": split, "threshold": threshold, "threshold_quantile_of_train": share}
  facts["rejected_of_split"] = float((log_p["real"] < threshold).mean())
  return {
    f"auroc_{name}": {
      "value": metrics.auroc(log_p["real"], log_p[name]),
      "examples": len(log_p["real"]),
      "noise_examples": len(log_p[name]),
      "rejected": float((log_p[name] < threshold).mean()),
      **facts,
    }
    for name in noise
  }


def outliers(scene: Scene, score: Callable, name: str) -> dict[str, Record]:
  """How well a score tells the classes that were learnt from the others, over the whole split.

  Args:
    scene: of a run whose config.data.only names the classes that it learnt from.
    score: (states, batch) -> [B], high for what is known.
    name: of the score.

  Raises:
    UserError: if the run learnt from all classes.
  """
  only = scene.experiment.data["only"]
  if not only:
    raise UserError(f"the measure outliers_by_{name} needs classes left out: set config.data.only")
  scored = lambda states, batch, keys: {"score": score(states, batch, keys)}
  values = scene.terms(scored)["score"]
  known = np.isin(scene.real["label"], list(only))
  record = {
    "value": metrics.auroc(values[known], values[~known]),
    "examples": int(known.sum()),
    "outliers": int((~known).sum()),
    "split": scene.settings.split,
    "learnt_classes": list(only),
  }
  return {f"auroc_{name}": record}


def outliers_by_error(scene: Scene) -> dict[str, Record]:
  """AUROC of the squared error of reconstruction: what a model never saw, it restores badly."""
  model = scene.model

  def score(states, batch, keys):
    x = model.decode(states, model.encode(states, batch["x"], None, batch), batch)
    error = (x - batch["x"].astype(x.dtype)) ** 2
    return -error.reshape(len(error), -1).sum(1)

  return outliers(scene, score, "error")


def outliers_by_density(scene: Scene) -> dict[str, Record]:
  """AUROC of log p(x), or of the bound on it that the model has."""
  log_prob = scene.model.log_prob
  score = lambda states, batch, keys: log_prob(states, batch["x"], keys, batch)
  return outliers(scene, score, "density")


def class_shares(scene: Scene) -> dict[str, Record]:
  """How evenly samples fall on the classes that a classifier of real data reads in them: the
  smallest share, and the entropy of the shares in nats. A mode that was lost is a share near 0.
  Besides, how far apart samples of a class lie from each other, over how far real ones do."""
  classes = scene.source.spec.classes
  read = {"samples": scene.samples["x"], "real": scene.real["x"]}
  label = {name: scene.judge.predict(x) for name, x in read.items()}

  def shares(name):
    return np.bincount(label[name], minlength=classes) / len(label[name])

  entropy = lambda p: float(entr(p).sum())
  drawn, real = shares("samples"), shares("real")
  facts = {"real_examples": len(scene.real["x"]), "classes": classes, **scene.extractor()}
  of_real = lambda value: facts | {"of_real_data": float(value)}
  diversity = metrics.diversity_within_classes(
    read["samples"], label["samples"], read["real"], label["real"]
  )
  return {
    "smallest_class_share": scene.record(drawn.min(), **of_real(real.min()), shares=drawn.tolist()),
    "class_share_entropy": scene.record(entropy(drawn), **of_real(entropy(real))),
    "class_diversity": scene.record(diversity, distance="Euclidean, data's units", **facts),
  }


def modes(scene: Scene) -> dict[str, Record]:
  """How many of the modes of the mixture that the data are from the samples cover, what share of
  the samples lies within three standard deviations of one, and how unevenly they cover them."""
  notes = scene.source.notes
  found = metrics.mode_coverage(scene.samples["x"], notes["modes"], notes["mode_deviation"])
  real = metrics.mode_coverage(scene.real["x"], notes["modes"], notes["mode_deviation"])
  of_real = real._asdict()
  return {
    name: scene.record(value, of_real_data=of_real[name], modes=len(notes["modes"]))
    for name, value in found._asdict().items()
  }


def channel_modes(scene: Scene) -> dict[str, Record]:
  """How many combinations of classes occur that a classifier of single channels reads in those of
  the samples, and in nats the divergence of their shares q from even ones, KL(q || uniform)."""
  single = scene.source.notes["channels"]
  judge, classes = scene.train_judge(single, "real"), single.spec.classes

  def shares(x):
    read = [judge.predict(x[..., c : c + 1]) for c in range(x.shape[-1])]
    code = np.ravel_multi_index(read, (classes,) * len(read))
    return np.unique(code, return_counts=True)[1] / len(code)

  modes = classes ** scene.source.spec.shape[-1]
  divergence = lambda q: float(np.log(modes) + (q * np.log(q)).sum())
  drawn, real = shares(scene.samples["x"]), shares(scene.real["x"])
  facts = {"modes": modes, "real_examples": len(scene.real["x"])}
  facts |= {"extractor_accuracy": round(judge.accuracy, 4)}
  return {
    "channel_modes": scene.record(len(drawn), of_real_data=len(real), **facts),
    "channel_reverse_kl": scene.record(divergence(drawn), of_real_data=divergence(real), **facts),
  }


def health(scene: Scene) -> dict[str, Record]:
  """Whether an adversarial game looks healthy, in words: 1 if so, else 0."""
  found = metrics.game_health(scene.rows, scene.samples["x"], scene.train["x"])
  says = {"says": f"{found.verdict}: {found.why}", **found.figures}
  return {"health": scene.record(found.verdict == "healthy", **says, verdict=found.verdict)}


def code_use(scene: Scene) -> dict[str, Record]:
  """How many discrete codes are used, their perplexity, and the entropy in nats of one code drawn
  from their shares: what a prior that knows no more than these pays for each.

  Raises:
    UserError: if codes are not integers.
  """
  code = scene.encoded(mean=False)
  if not np.issubdtype(code.dtype, np.integer):
    raise UserError("the measure code_use needs a model with discrete codes; these are real-valued")
  share = np.unique(code, return_counts=True)[1] / code.size
  entropy = float(entr(share).sum())
  facts = {"examples": len(code), "codes": code.size, "split": scene.settings.split}
  values = {
    "codes_used": len(share), "perplexity": math.exp(entropy), "unigram_entropy": entropy,
  }  # fmt: skip
  return {name: {"value": value, **facts} for name, value in values.items()}


def disentanglement(scene: Scene) -> dict[str, Record]:
  """How far single latents carry single factors of the data: see `metrics.disentanglement`.

  Raises:
    UserError: if the data have no field `factors`, or codes are integers.
  """
  if "factors" not in scene.real:
    raise UserError("the measure disentanglement needs data with factors, such as shapes")
  code = scene.encoded()
  if np.issubdtype(code.dtype, np.integer):
    raise UserError("the measure disentanglement needs real-valued codes")
  codes, factors = code.reshape(len(code), -1).astype(np.float64), scene.real["factors"]
  half = len(codes) // 2
  values = metrics.dci(codes[:half], factors[:half], codes[half:], factors[half:])
  values |= {
    "mutual_information_gap": metrics.mutual_information_gap(codes, factors),
    "beta_vae_score": metrics.beta_vae_score(codes, factors, np.random.default_rng(0)),
    "factor_vae_score": metrics.factor_vae_score(codes, factors, np.random.default_rng(0)),
  }
  facts = {"examples": len(codes), "split": scene.settings.split}
  return {name: {"value": value, **facts} for name, value in values.items()}


class Measure(NamedTuple):
  """needs: capabilities of the model. cond: fields it must be conditioned on. labels: whether the
  data must have them. notes: what the source must state besides (`Source.notes`). keys: what it
  writes, or () for one key for each term of evaluation."""

  take: Callable[[Scene], dict[str, Record]]
  needs: tuple[str, ...]
  keys: tuple[str, ...] = ()
  cond: tuple[str, ...] = ()
  labels: bool = False
  notes: tuple[str, ...] = ()


MEASURES: Mapping[str, Measure] = {
  "likelihood": Measure(likelihood, ("evaluate",)),
  "frechet": Measure(frechet, ("sample",), ("frechet_distance", "extractor_accuracy"), labels=True),
  "prdc": Measure(prdc, ("sample",), ("precision", "recall", "density", "coverage"), labels=True),
  "sample_accuracy": Measure(
    sample_accuracy, ("sample",), ("sample_accuracy",), cond=("label",), labels=True
  ),
  "trained_on_samples": Measure(
    trained_on_samples, ("sample",), ("trained_on_samples_accuracy",), cond=("label",), labels=True
  ),
  "memorisation": Measure(memorisation, ("sample",), ("nearest_train_ratio",)),
  "active_units": Measure(active_units, ("encode",), ("active_units",)),
  "code_use": Measure(code_use, ("encode",), ("codes_used", "perplexity", "unigram_entropy")),
  "anomaly": Measure(anomaly, ("log_prob",), ("auroc_uniform_noise", "auroc_mixed_examples")),
  "outliers_by_error": Measure(
    outliers_by_error, ("encode", "decode"), ("auroc_error",), labels=True
  ),
  "outliers_by_density": Measure(
    outliers_by_density, ("log_prob",), ("auroc_density",), labels=True
  ),
  "disentanglement": Measure(
    disentanglement, ("encode",),
    (
      "dci_disentanglement", "dci_completeness", "dci_informativeness", "mutual_information_gap",
      "beta_vae_score", "factor_vae_score",
    ),
  ),
  "class_shares": Measure(
    class_shares,
    ("sample",),
    ("smallest_class_share", "class_share_entropy", "class_diversity"),
    labels=True,
  ),
  "modes": Measure(
    modes,
    ("sample",),
    ("modes_covered", "high_quality_share", "reverse_kl"),
    notes=("modes", "mode_deviation"),
  ),
  "channel_modes": Measure(
    channel_modes, ("sample",), ("channel_modes", "channel_reverse_kl"), notes=("channels",)
  ),
  "health": Measure(health, ("sample",), ("health",)),
}  # fmt: skip


def check(names: tuple[str, ...], program: Program, source: Source, split: str) -> None:
  """Refuses measures that do not exist, or that the model or the data cannot serve.

  Args:
    names: of the measures.
    program: what they are taken of.
    source: its data.
    split: of config.evaluate.

  Raises:
    UserError: in one line.
  """
  if names and split not in source.splits:
    raise UserError(
      f"config.evaluate.split={split!r} is no split of {source.name}{nearest(split, source.splits)}"
    )
  for name in names:
    if name not in MEASURES:
      raise UserError(f"config.measures: no measure {name!r}{nearest(name, MEASURES)}")
    measure = MEASURES[name]
    for capability in measure.needs:
      if getattr(program.model, capability) is None:
        raise UserError(f"the measure {name} needs a model with {capability}, and this has none")
    for field in measure.cond:
      if field not in program.model.cond:
        raise UserError(f"the measure {name} needs a model conditioned on {field}")
    if measure.labels and source.spec.classes < 2:
      raise UserError(f"the measure {name} needs data with labels, and {source.name} has none")
    if measure.labels and "test" not in source.splits:
      raise UserError(f"the measure {name} needs a test split, and there is none: set data.test")
    for note in measure.notes:
      if note not in source.notes:
        raise UserError(f"the measure {name} needs data with known {note}, unlike {source.name}")


def take(names: tuple[str, ...], scene: Scene) -> dict[str, Record]:
  """All the named measures: key -> record."""
  out: dict[str, Record] = {}
  for name in names:
    out |= MEASURES[name].take(scene)
  return out


def batched(function: Callable, states: PyTree, x: np.ndarray, size: int) -> np.ndarray:
  """function(states, x) over x [n, ...] in chunks of one size, on the host."""
  pieces = []
  for start in range(0, len(x), size):
    rows = np.minimum(np.arange(start, start + size), len(x) - 1)
    pieces.append(np.asarray(function(states, x[rows])))
  return np.concatenate(pieces)[: len(x)]


def judge_of(model, states: PyTree, test: Mapping[str, np.ndarray], size: int = 256) -> Judge:
  """A Judge of a trained classifier: any model that can predict and encode."""
  logits = jax.jit(lambda s, x: model.predict(s, x).argmax(-1))
  encode = jax.jit(lambda s, x: model.encode(s, x, None, None))
  predict = lambda x: batched(logits, states, x, size)
  accuracy = float((predict(test["x"]) == test["label"]).mean())
  return Judge(predict, lambda x: batched(encode, states, x, size), accuracy)

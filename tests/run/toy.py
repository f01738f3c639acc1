"""A program that compiles in a blink: the mean of points, then the spread about it."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import gen_jax
from gen_jax import config as configs
from gen_jax.core import Model, Program, Spec, Stage, single
from gen_jax.data import ArraySplit, Source
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.run import folder, loop
from gen_jax.run.system import system_of
from tests.rows import rows as all_rows

N, D = 24, 3
BUILDER = f"{__name__}.build"
SPEC = Spec.of((D,))


@dataclasses.dataclass(frozen=True)
class Sampler:
  """scale: of the noise of a sample."""

  scale: float = 1.0


def build(
  spec: Spec,
  *,
  stages: int = 1,
  second: int | None = None,
  noise: float = 0.0,
  nan_at: int = -1,
  nan_below: float = -1e9,
  ema: float = 0.0,
  optimizer: Optimizer = Optimizer("sgd", 0.1, b1=0.0),
  sample: Sampler = Sampler(),
) -> Program:
  """One or two stages on points [D].

  Args:
    spec: of the points.
    stages: 1 for the mean, 2 for the spread besides, in a stage with two microbatches of 4.
    second: steps of that stage, or None for what the config gives.
    noise: of the gradient of the mean.
    nan_at: step whose loss is NaN; the term `late` is from the next one on.
    nan_below: the loss is NaN where the term `noise` is below this.
    ema: decay of the average of the mean, or 0.
    optimizer, sample: see there.
  """

  def distance(params, mutable, batch, key, step):
    w, draw = params["mean"]["w"], jax.random.normal(key, spec.shape)
    loss = jnp.sum((batch["x"] - w) ** 2, axis=-1) / 2 + noise * w @ draw
    terms = {
      "rows": jnp.float32(len(loss)),
      "noise": draw[0],
      "late": jnp.where((nan_at >= 0) & (step > nan_at), jnp.nan, 0.0),
    }
    bad = (step == nan_at) | (draw[0] < nan_below)
    return loss + jnp.where(bad, jnp.nan, 0.0), (mutable["mean"], terms)

  mean = game(
    {"mean": Player(minimise("mean", distance), optimizer.make())},
    lambda key, batch: ({"mean": {"w": jnp.zeros(spec.shape)}}, {"mean": {}}),
    ema={"mean": ema} if ema else {},
    evaluate=lambda state, batch, keys: {
      "nll": jnp.sum((batch["x"] - averaged(state, "mean")["w"]) ** 2, axis=-1) / 2
    },
    sample=lambda state, keys, cond=None: (
      averaged(state, "mean")["w"]
      + sample.scale * jax.vmap(lambda key: jax.random.normal(key, spec.shape))(keys)
    ),
  )
  if stages == 1:
    return single(mean)

  def nll(params, mutable, batch, key, step):
    log_std, own = params["spread"]["log_std"], mutable["spread"]
    loss = jnp.sum((batch["x"] * jnp.exp(-log_std)) ** 2 / 2 + log_std, axis=-1)
    terms = {"rows": jnp.float32(len(loss)), "offset": jnp.abs(batch["x"]).mean(axis=-1)}
    return loss, ({**own, "drawn": jnp.append(own["drawn"][1:], batch["drawn"][0])}, terms)

  def init(key, batch):
    first = jnp.abs(batch["x"]).mean()
    start = {"first": first, "origin": jnp.zeros(spec.shape), "drawn": jnp.zeros(4)}
    return {"spread": {"log_std": jnp.zeros(spec.shape)}}, {"spread": start}

  def carry(previous, state):
    start = {**state["mutable"]["spread"], "origin": previous[0]["params"]["mean"]["w"]}
    return {**state, "mutable": {"spread": start}}

  def view(previous, batch, key):
    x = batch["x"] - previous[0]["params"]["mean"]["w"]
    return {**batch, "x": x, "drawn": jax.random.normal(key, (len(x),))}

  spread = game(
    {"spread": Player(minimise("spread", nll), optimizer.make())},
    init,
    order=(("spread", 2),),
    evaluate=lambda state, batch, keys: {"offset": jnp.abs(batch["x"]).mean(axis=-1)},
  )
  whole = Model(
    init=None,
    update=None,
    evaluate=lambda states, batch, keys: mean.evaluate(states[0], batch, keys),
    sample=lambda states, keys, cond=None: (
      states[0]["params"]["mean"]["w"]
      + jnp.exp(states[1]["params"]["spread"]["log_std"])
      * jax.vmap(lambda key: jax.random.normal(key, spec.shape))(keys)
    ),
  )
  last = Stage(spread, second, data={"batch_size": 4}, carry=carry, view=view)
  return Program((Stage(mean), last), whole)


def source(validation_mean: float | None = None, n: int = N) -> Source:
  """Points about 4 with spread 1/2."""
  rng = np.random.default_rng(0)
  points = lambda mean: ArraySplit({"x": rng.normal(mean, 0.5, (n, D)).astype(np.float32)})
  splits = {"train": points(4.0)}
  if validation_mean is not None:
    splits["validation"] = points(validation_mean)
  return Source("toy", SPEC, splits)


def experiment(model=(), data=(), train=(), **groups) -> configs.Experiment:
  """The checked config of a short run that writes only when it ends."""
  return configs.parse(
    configs.experiment(
      BUILDER,
      model=dict(model),
      data={"name": "digits", "batch_size": 8, **dict(data)},  # no name of the toy's own: not read
      train={"steps": 12, "log_every": 4, "checkpoint_every": 0, **dict(train)},
      **groups,
    )
  )


def program_of(parsed: configs.Experiment) -> Program:
  return configs.build(parsed.config, SPEC)


def system(parsed: configs.Experiment, data: Source | None = None, mesh=None):
  """The toy with its data."""
  return system_of(program_of(parsed), data or source(), parsed, mesh)


def claim(workdir, parsed: configs.Experiment) -> str:
  """Makes the folder that run's; returns the fingerprint."""
  specs = [SPEC] * len(program_of(parsed).stages)
  sizes = {"train": N}
  return folder.claim(workdir, parsed.config, [SPEC, *specs], sizes, [""] * (1 + len(specs)))


def load(workdir, **kwargs):
  """gen_jax.load, which is told that it may call this builder."""
  return gen_jax.load(workdir, builders=[BUILDER], **kwargs)


def go(mesh, parsed: configs.Experiment, data: Source | None = None, **kwargs) -> loop.Result:
  """Trains a toy."""
  return loop.train(system(parsed, data, mesh), **kwargs)


def zero_mean() -> dict:
  """A state of the first stage whose mean is 0."""
  return {"params": {"mean": {"w": jnp.zeros(SPEC.shape)}}, "mutable": {"mean": {}}, "ema": {}}


def mean_of(result: loop.Result) -> np.ndarray:
  return np.asarray(result.states[0]["params"]["mean"]["w"])


def rows(workdir, split: str = "train") -> list[dict]:
  """Rows of metrics.jsonl of one split, without their clocks."""
  return [row for row in all_rows(workdir) if row.get("split", "train") == split]


def equal(a, b):
  """The same bits, leaf by leaf."""
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(np.asarray(x), np.asarray(y))

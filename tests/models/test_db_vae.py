"""A debiasing VAE: whose examples it learns from, and what is kept of their codes."""

import jax
import numpy as np
import pytest

from gen_jax.core import Field, Spec, UserError
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.db_vae import build

SPEC = Spec.of((4, 4, 1), 256, 2, group=Field((), 2))
N = 32


def batch_of(seed=0, last=False):
  rng = np.random.default_rng(seed)
  return {
    "x": rng.integers(256, size=(1, N, 4, 4, 1)).astype(np.uint8),
    "label": (np.arange(N) % 2).astype(np.int32)[None],
    "group": (np.arange(N) % 8 == 1).astype(np.int32)[None],
    "mask": np.ones((1, N), bool),
    "last": np.full((1, N), last),
  }


def model_of(**how):
  return build(SPEC, hidden=(8,), latent=2, draw=16, **how)


def test_histograms_of_an_epoch_hold_for_the_next():
  program = model_of(optimizer=Optimizer("sgd", 1e-9, b1=0.0))
  model = program.stages[0].model
  first = jax.tree.map(lambda a: a[0], batch_of())
  state, update = model.init(jax.random.key(0), first), jax.jit(model.update)
  for step, last in enumerate((False, True, False, True)):
    state, _ = update(state, batch_of(step, last), jax.random.key(step), step)
  kept = state["mutable"]["db_vae"]
  ours = lambda seed: program.model.encode([state], batch_of(seed)["x"][0])[1::2]
  z = [np.concatenate([ours(a), ours(b)]) for a, b in ((0, 1), (2, 3))]
  old, new = z
  np.testing.assert_allclose(kept["mean"], old.mean(0), atol=1e-5)
  np.testing.assert_allclose(kept["std"], old.std(0), rtol=1e-3)
  np.testing.assert_allclose(kept["next_mean"], new.mean(0), atol=1e-5)
  edges = np.linspace(-4, 4, 11)
  edges[[0, -1]] = -np.inf, np.inf
  at = (new - old.mean(0)) / old.std(0)
  for counts, values in zip(np.asarray(kept["last"]), at.T, strict=True):
    assert np.abs(counts - np.histogram(values, edges)[0]).sum() <= 2
  assert kept["n"] == 0 and not kept["counts"].any()


def test_pictures_of_the_other_class_teach_the_decoder_nothing():
  model = model_of(optimizer=Optimizer("sgd", 0.1, b1=0.0)).stages[0].model
  batch = batch_of()
  state = model.init(jax.random.key(0), jax.tree.map(lambda a: a[0], batch))
  other = {**batch, "label": np.zeros_like(batch["label"])}
  update = jax.jit(model.update)
  after, metrics = update(state, other, jax.random.key(1), 0)
  same = jax.tree.map(
    lambda a, b: bool((a == b).all()),
    *(s["params"]["db_vae"]["decoder"] for s in (state, after)),
  )
  assert all(jax.tree.leaves(same)) and metrics["effective_sample_size"] == 0
  after, metrics = update(state, batch, jax.random.key(1), 0)
  assert metrics["effective_sample_size"] == pytest.approx(N / 2, rel=1e-5)  # no histogram yet
  assert not all(
    bool((a == b).all())
    for a, b in zip(*(jax.tree.leaves(s["params"]["db_vae"]["decoder"]) for s in (state, after)))
  )


def test_a_group_far_from_the_others_is_drawn_more_often_but_its_label_is_not_read():
  shares = {}
  for rule in ("none", "tempered"):
    model = model_of(rule=rule, optimizer=Optimizer("sgd", 1e-9, b1=0.0)).stages[0].model
    batch = batch_of()
    batch["x"] = np.where(batch["group"][..., None, None, None] == 1, 255, batch["x"] // 8)
    batch["x"] = batch["x"].astype(np.uint8)
    state = model.init(jax.random.key(0), jax.tree.map(lambda a: a[0], batch))
    update, drawn = jax.jit(model.update), []
    for step in range(40):
      state, metrics = update(state, {**batch, "last": batch["mask"]}, jax.random.key(step), step)
      drawn.append(metrics["drawn_group"])
    shares[rule] = np.mean(drawn[3:])
    blind = {**batch, "group": 1 - batch["group"], "last": batch["mask"]}
    a, _ = update(state, {**batch, "last": batch["mask"]}, jax.random.key(99), 99)
    b, _ = update(state, blind, jax.random.key(99), 99)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), a, b)))
  assert abs(shares["none"] - 0.25) < 0.06
  assert shares["tempered"] > 0.32


@pytest.mark.parametrize(
  ("spec", "how", "message"),
  [
    (Spec.of((4, 4, 1), 256), {}, "needs labels of 2 classes"),
    (Spec.of((4,), None, 2), {}, "of grey levels"),
    (SPEC, {"positive": 2}, "model.positive=2 is no class"),
    (SPEC, {"draw": 1}, "model.draw must be 2 or more"),
    (SPEC, {"optimizer": Optimizer(accumulate=2)}, "accumulate must be 1"),
  ],
)
def test_refusals(spec, how, message):
  with pytest.raises(UserError, match=message):
    build(spec, **how)

"""Adversarial debiasing against its own gradients, taken one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gen_jax.core import Field, Spec, UserError
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.debias import build

SPEC = Spec.of((3,), classes=2, group=Field((), 2))
STEP = Optimizer("sgd", 1.0, b1=0.0)
N = 32


def batch_of(n=N):
  rng = np.random.default_rng(0)
  group = rng.integers(2, size=n).astype(np.int32)
  x = (rng.normal(size=(n, 3)) + group[:, None]).astype(np.float32)
  label = (x.sum(1) > 1).astype(np.int32)
  return {"x": x, "label": label, "group": group, "mask": np.ones(n, bool)}


def stage(**how):
  how = {"predictor_optimizer": STEP, "adversary_optimizer": STEP} | how
  return build(SPEC, **how).stages[0].model


def losses(model, state, batch, params):
  """Mean cross-entropies of predictor and adversary, at these parameters of the predictor."""
  at = {**state, "params": {**state["params"], "predictor": params}}
  terms = model.evaluate(at, batch, None)
  return terms["cross_entropy"].mean(), terms["adversary_cross_entropy"].mean()


def moved(model, batch):
  """The predictor's state before its turn, and the direction that it went."""
  state = model.init(jax.random.key(0), batch)
  after = model.respond(state, batch, jax.random.key(1), "predictor")
  before = state["params"]["predictor"]
  direction = jax.tree.map(jnp.subtract, before, after["params"]["predictor"])
  return state, ravel_pytree(direction)[0]


@pytest.mark.parametrize("fairness", ["parity", "odds"])
def test_a_step_is_the_projected_direction_of_both_gradients(fairness):
  batch, alpha = batch_of(), 0.7
  model = stage(fairness=fairness, alpha=alpha, hidden=(4,), activation="tanh")
  state, direction = moved(model, batch)
  at = state["params"]["predictor"]
  p, a = (
    ravel_pytree(jax.grad(lambda w, i=i: losses(model, state, batch, w)[i])(at))[0] for i in (0, 1)
  )
  u = a / jnp.linalg.norm(a)
  np.testing.assert_allclose(direction, p - (p @ u) * u - alpha * a, atol=2e-6)
  plain, own = moved(stage(fairness=fairness, alpha=0.0, project=False, hidden=(4,),
                           activation="tanh"), batch)  # fmt: skip
  np.testing.assert_allclose(own, p, atol=1e-6)


def test_opportunity_asks_of_one_class_only():
  batch = batch_of()
  other = {**batch, "group": np.where(batch["label"] == 0, 1 - batch["group"], batch["group"])}
  a, b = (moved(stage(fairness="opportunity"), each)[1] for each in (batch, other))
  np.testing.assert_array_equal(a, b)
  a, b = (moved(stage(fairness="parity"), each)[1] for each in (batch, other))
  assert np.abs(a - b).max() > 1e-3


def test_the_adversary_of_odds_sees_the_class_and_that_of_parity_does_not():
  batch = batch_of()
  flipped = {**batch, "label": 1 - batch["label"]}
  for fairness, same in (("parity", True), ("odds", False)):
    model = stage(fairness=fairness)
    state = model.init(jax.random.key(0), batch)
    a, b = (
      model.evaluate(state, each, None)["adversary_cross_entropy"] for each in (batch, flipped)
    )
    assert np.array_equal(a, b) == same


def test_an_adversary_of_the_code_moves_the_encoder_and_not_the_layer_on_it():
  spec = Spec.of((4, 4, 1), 17, 2, group=Field((), 2))
  batch = batch_of()
  batch["x"] = np.random.default_rng(1).integers(17, size=(N, 4, 4, 1)).astype(np.uint8)
  ways = {}
  for alpha in (0.0, 1.0):
    how = dict(predictor_optimizer=STEP, adversary_optimizer=STEP, alpha=alpha, project=False)
    program = build(spec, latent=3, hidden=(5,), fairness="odds", **how)
    model = program.stages[0].model
    state = model.init(jax.random.key(0), batch)
    after = model.respond(state, batch, jax.random.key(1), "predictor")
    ways[alpha] = after["params"]["predictor"]
  changed = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), ways[0.0], ways[1.0])
  assert max(jax.tree.leaves(changed["head"])) == 0
  assert max(jax.tree.leaves(changed["encoder"])) > 1e-3
  code = program.model.encode([after], batch["x"])
  head = jax.tree.leaves(ways[1.0]["head"])
  bias, kernel = sorted(head, key=lambda a: a.ndim)
  np.testing.assert_allclose(
    program.model.predict([after], batch["x"]), code @ kernel + bias, atol=1e-5
  )


@pytest.mark.parametrize(
  ("spec", "how", "message"),
  [
    (Spec.of((3,), classes=2), {}, "needs data with a group"),
    (Spec.of((3,), group=Field((), 2)), {}, "needs data with a label"),
    (Spec.of((8, 8), 17, 2, group=Field((), 2)), {}, "of tables of numbers"),
    (SPEC, {"positive": 2}, "model.positive=2 is no class"),
    (SPEC, {"alpha": -1.0}, "model.alpha must be 0 or more"),
    (SPEC, {"predictor_optimizer": Optimizer(accumulate=2)}, "accumulate must be 1"),
  ],
)
def test_refusals(spec, how, message):
  with pytest.raises(UserError, match=message):
    build(spec, **how)


def test_an_adversary_of_several_sharpnesses_sees_an_output_for_each():
  batch = batch_of(5)
  model = stage(sharpnesses=3)
  state = model.init(jax.random.key(0), batch)
  own = jax.tree.map(np.asarray, state["params"]["adversary"])
  np.testing.assert_array_equal(own["sharpness"], [1, 4, 16])
  (layer,) = own["net"].values()
  odds = np.exp(np.asarray(model.predict(state, batch["x"]), np.float64))
  logits = layer["bias"].astype(np.float64)
  for c, weights in zip(own["sharpness"], np.split(layer["kernel"], 3), strict=True):
    s = odds ** (1 + c)
    logits = logits + s / s.sum(-1, keepdims=True) @ weights
  nll = np.log(np.exp(logits).sum(-1)) - logits[np.arange(5), batch["group"]]
  found = model.evaluate(state, batch, None)["adversary_cross_entropy"]
  np.testing.assert_allclose(found, nll, rtol=1e-5)

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Field, Spec, UserError
from gen_jax.models import cyclegan
from gen_jax.models.cyclegan import CriticNet, Direction, GeneratorNet

SPEC = Spec.of((8, 8, 3), 256, y=Field((8, 8, 3), 256))
SMALL = dict(
  generator=GeneratorNet((4,), 1, 3, "none", 0.1), critic=CriticNet((4,), "none", 0.1), pool=4
)


def batch(n=4):
  x, y = jax.random.randint(jax.random.key(5), (2, n, 8, 8, 3), 0, 256).astype(jnp.uint8)
  return {"x": x, "y": y}


def test_critics_that_cannot_tell_lose_a_quarter():
  """The optimum for equal densities is D = 1/2 (section 4's least squares)."""
  half = jnp.full((2, 3, 3), 0.5)
  np.testing.assert_allclose(cyclegan.critic_loss(half, half), 0.25)
  np.testing.assert_allclose(cyclegan.adversarial_loss(half), 0.25)


def test_networks_that_change_nothing_have_no_cycle_and_no_identity_error(monkeypatch):
  monkeypatch.setattr(cyclegan.Translator, "apply", lambda self, params, x: x)
  model = cyclegan.build(SPEC, **SMALL).model
  params = dict.fromkeys(("generator_x", "generator_y"), {})
  terms = model.evaluate([{"params": params, "ema": {}}], batch(), None)
  assert all(not value.any() for value in terms.values()) and len(terms) == 2
  x = batch()["x"]
  np.testing.assert_array_equal(model.transform([{"params": params, "ema": {}}], x, None), x)


def test_a_step_follows_the_gradient_of_the_whole_objective():
  """Each generator's own part has the gradient of the sum of all, by finite differences."""
  from gen_jax.learn.optimizer import Optimizer

  rate = 1e-3
  sgd = Optimizer("sgd", rate)
  with jax.enable_x64(True):
    build = lambda: cyclegan.build(
      SPEC, **SMALL, dtype="float64", generator_optimizer=sgd, critic_optimizer=sgd
    )
    model, b = build().stages[0].model, batch()
    state = model.init(jax.random.key(0), b)
    twice = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), b)
    after, _ = model.update(state, twice, jax.random.key(1), 0)
    net = cyclegan.Translator(3, (4,), 1, 3, "none", 0.1, jnp.float64)
    judge = cyclegan.PatchCritic((4,), "none", 0.1, jnp.float64)
    x, y = (2 * b[d].astype(jnp.float64) / 255 - 1 for d in "xy")

    def objective(players):
      to = {d: lambda v, d=d: net.apply({"params": players[f"generator_{d}"]}, v) for d in "xy"}
      score = lambda d, v: judge.apply({"params": state["params"][f"critic_{d}"]}, v)
      value = ((score("y", to["y"](x)) - 1) ** 2).mean() + (
        (score("x", to["x"](y)) - 1) ** 2
      ).mean()
      value += 10 * (abs(to["x"](to["y"](x)) - x).mean() + abs(to["y"](to["x"](y)) - y).mean())
      return value + 5 * (abs(to["y"](y) - y).mean() + abs(to["x"](x) - x).mean())

    players = {name: state["params"][name] for name in ("generator_x", "generator_y")}
    moved = jax.tree.map(
      lambda a, b: (a - b) / rate, players, {k: after["params"][k] for k in players}
    )
    leaves, tree = jax.tree.flatten(players)
    noise = [np.random.default_rng(i).normal(size=leaf.shape) for i, leaf in enumerate(leaves)]
    along = jax.tree.unflatten(tree, noise)
    at = lambda e: objective(jax.tree.map(lambda p, d: p + e * d, players, along))
    slope = (at(1e-7) - at(-1e-7)) / 2e-7
    dot = sum(jax.tree.leaves(jax.tree.map(lambda g, d: (g * d).sum(), moved, along)))
    np.testing.assert_allclose(dot, slope, rtol=1e-3)


def test_the_direction_chooses_the_generator_and_leaves_the_state():
  there, back = (cyclegan.build(SPEC, **SMALL, sample=Direction(d)) for d in ("x_to_y", "y_to_x"))
  state = there.stages[0].model.init(jax.random.key(0), batch())
  swapped = {**state, "params": {
    **state["params"], "generator_x": state["params"]["generator_y"],
    "generator_y": state["params"]["generator_x"],
  }}  # fmt: skip
  x = batch()["x"]
  np.testing.assert_array_equal(
    there.model.transform([state], x, None), back.model.transform([swapped], x, None)
  )


def test_data_without_a_second_domain_are_refused():
  with pytest.raises(UserError, match="two domains"):
    cyclegan.build(Spec.of((8, 8, 3), 256))

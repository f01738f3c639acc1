import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Field, Spec, UserError, fold_each
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import pix2pix
from gen_jax.models.pix2pix import CriticNet, GeneratorNet, Noise

SPEC = Spec.of((8, 8, 3), 256, y=Field((8, 8, 1), 17))
SMALL = dict(
  generator=GeneratorNet((4, 6), "none", 0.0, 0.2), critic=CriticNet((4,), "none", 0.2)
)  # fmt: skip
DROPPED = {**SMALL, "generator": GeneratorNet((4, 6), "instance", 0.5, 0.2)}


def batch(n=4):
  x_key, y_key = jax.random.split(jax.random.key(5))
  x = jax.random.randint(x_key, (n, 8, 8, 3), 0, 256).astype(jnp.uint8)
  return {"x": x, "y": jax.random.randint(y_key, (n, 8, 8, 1), 0, 17).astype(jnp.uint8)}


def test_critics_that_cannot_tell_lose_the_log_of_two():
  """D = 1/2 is the optimum for equal densities (Goodfellow et al. 2014, theorem 1)."""
  nothing = jnp.zeros((2, 3, 3))
  np.testing.assert_allclose(pix2pix.critic_loss(nothing, nothing), np.log(2), rtol=1e-6)
  np.testing.assert_allclose(pix2pix.adversarial_loss(nothing), np.log(2), rtol=1e-6)


def test_the_best_critic_is_the_share_of_real_density():
  """Of a patch that is real with density p and made with density q: D* = p / (p + q)."""
  p, q = 0.7, 0.2
  loss = lambda l: (
    p * pix2pix.critic_loss(l * jnp.ones((1, 1, 1)), jnp.full((1, 1, 1), -100.0))
    + q * pix2pix.critic_loss(jnp.full((1, 1, 1), 100.0), l * jnp.ones((1, 1, 1)))
  )[0]
  logit = np.linspace(-4, 4, 8001)
  values = jax.vmap(loss)(jnp.asarray(logit))
  best = logit[np.asarray(values).argmin()]
  assert 1 / (1 + np.exp(-best)) == pytest.approx(p / (p + q), abs=2e-3)


def test_a_step_follows_the_gradient_of_each_players_objective():
  """Both objectives written out over the whole batch, by finite differences."""
  rate, sgd = 1e-3, Optimizer("sgd", 1e-3)
  with jax.enable_x64(True):
    model = (
      pix2pix.build(SPEC, **SMALL, dtype="float64", generator_optimizer=sgd, critic_optimizer=sgd)
      .stages[0]
      .model
    )
    b = batch()
    state = model.init(jax.random.key(0), b)
    assert model.microbatches == 1
    after, _ = model.update(
      state, jax.tree.map(lambda leaf: leaf[None], b), jax.random.key(1), jnp.int32(0)
    )
    net = pix2pix.SkipTranslator(1, (4, 6), "none", 0.0, 0.2, jnp.float64)
    judge = pix2pix.PatchCritic((4,), "none", 0.2, jnp.float64)
    x, y = 2 * b["x"].astype(jnp.float64) / 255 - 1, 2 * b["y"].astype(jnp.float64) / 16 - 1

    def probability(critic, made):
      logits = judge.apply({"params": critic}, jnp.concatenate([x, made], -1))
      return 1 / (1 + jnp.exp(-logits))

    def objective(player, own):
      players = {**state["params"], player: own}
      made = net.apply({"params": players["generator"]}, x)
      fake = probability(players["critic"], made)
      if player == "generator":
        return -jnp.log(fake).mean() + 100 * abs(made - y).mean()
      return -(jnp.log(probability(players["critic"], y)) + jnp.log(1 - fake)).mean() / 2

    for player in ("generator", "critic"):
      before = state["params"][player]
      moved = jax.tree.map(lambda a, b: (a - b) / rate, before, after["params"][player])
      leaves, tree = jax.tree.flatten(before)
      noise = [np.random.default_rng(i).normal(size=leaf.shape) for i, leaf in enumerate(leaves)]
      along = jax.tree.unflatten(tree, noise)
      at = lambda e, p=player, a=before, d=along: objective(
        p, jax.tree.map(lambda u, v: u + e * v, a, d)
      )
      slope = (at(1e-7) - at(-1e-7)) / 2e-7
      dot = sum(jax.tree.leaves(jax.tree.map(lambda g, d: (g * d).sum(), moved, along)))
      np.testing.assert_allclose(dot, slope, rtol=1e-3)


def test_the_direction_says_what_is_given_and_what_is_made():
  there, back = (
    pix2pix.build(SPEC, **SMALL, direction=d).stages[0].model for d in ("x_to_y", "y_to_x")
  )
  b = batch()
  states = [m.init(jax.random.key(0), b) for m in (there, back)]
  made = [m.transform(s, b[m.given], None) for m, s in zip((there, back), states, strict=True)]
  assert [m.given for m in (there, back)] == ["x", "y"]
  assert [v.shape for v in made] == [(4, 8, 8, 1), (4, 8, 8, 3)]
  assert made[0].max() <= 16


def test_noise_is_drawn_by_the_examples_own_key():
  still, noisy = (
    pix2pix.build(SPEC, **DROPPED, sample=Noise(n)).stages[0].model for n in (False, True)
  )
  b = batch()
  state = still.init(jax.random.key(0), b)
  keys = fold_each(jax.random.key(1), jnp.arange(4))
  others = fold_each(jax.random.key(2), jnp.arange(4)).at[2].set(keys[2])
  x = b["x"]
  np.testing.assert_array_equal(still.transform(state, x, keys), still.transform(state, x, others))
  a, c = noisy.transform(state, x, keys), noisy.transform(state, x[:].at[0].set(0), others)
  np.testing.assert_array_equal(a[2], c[2])
  assert not np.array_equal(a[1], c[1])


@pytest.mark.parametrize("change,match", [
  (dict(generator=GeneratorNet((4,) * 4)), "give fewer widths"),
  (dict(critic=CriticNet((4,) * 4)), "give fewer"),
  (dict(sample=Noise(True)), "dropout"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(change, match):
  with pytest.raises(UserError, match=match):
    pix2pix.build(SPEC, **{**SMALL, **change})
  with pytest.raises(UserError, match="in pairs"):
    pix2pix.build(Spec.of((8, 8, 3), 256), **SMALL)

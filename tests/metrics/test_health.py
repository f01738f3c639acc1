"""Verdicts on games: on planted figures, and on games that are built to fail in each way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.data import load
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.penalties import Penalties
from gen_jax.metrics import game_health, health
from gen_jax.metrics.health import Kinds, cells_of, spread_ratio
from gen_jax.models import gan

DATA = load("toy2d:8gaussians").splits["train"].arrays()["x"][:4000]
NEW = load("toy2d:8gaussians").splits["validation"].arrays()["x"][:1000]
GOOD = {
  "critic_accuracy": 0.6, "critic_saturation": 0.1, "critic_on_real": 0.5, "critic_on_fake": -0.5,
  "critic_gradient_norm": 1.0, "generator_gradient_norm": 2.0,
}  # fmt: skip


def rows_of(**last):
  """Twenty rows of a good game, of which the last five differ."""
  return [GOOD] * 15 + [{**GOOD, **last}] * 5


@pytest.mark.parametrize(
  "last,verdict,why",
  [
    ({}, "healthy", "ranks 60% of pairs rightly"),
    ({"critic_saturation": 0.95}, "saturated", "sure of 95%"),
    ({"critic_on_fake": -2000.0}, "diverging", "scores come to 2e+03"),
    ({"generator_gradient_norm": 100.0}, "diverging", "grew 50 times"),
    ({"critic_loss": "nan"}, "diverging", "not finite"),
  ],
)
def test_rows(last, verdict, why):
  found = game_health(rows_of(**last), NEW, DATA)
  assert found.verdict == verdict and why in found.why


def test_a_game_without_logits():
  lacks = ("critic_accuracy", "critic_saturation")
  rows = [{name: v for name, v in row.items() if name not in lacks} for row in rows_of()]
  found = game_health(rows, NEW, DATA)
  assert found.verdict == "healthy" and "ranks" not in found.why


@pytest.mark.parametrize(
  "samples,verdict,why",
  [
    (NEW[:1].repeat(1000, axis=0), "collapsed", "less than 50%"),
    (
      NEW[np.linalg.norm(NEW - [4 / 1.414, 0], axis=1) > 2],
      "collapsed",
      "of the data lie in cells that are lost",
    ),
    (NEW[np.linalg.norm(NEW - NEW[0], axis=1) < 1], "collapsed", "less than 50%"),
    (5 * NEW, "diverging", "times as far out"),
    (np.where(NEW > 0, NEW, np.nan), "diverging", "not finite"),
    (NEW + 0.1, "healthy", ""),
  ],
  ids=["one point", "one mode", "all modes but one", "far out", "nan", "shifted a little"],
)
def test_samples(samples, verdict, why):
  found = game_health(rows_of(), samples, DATA)
  assert found.verdict == verdict and why in found.why


def test_the_figures_of_known_sets():
  assert spread_ratio(DATA, DATA) == 1
  centre = DATA.mean(axis=0)
  np.testing.assert_allclose(spread_ratio(centre + 3 * (DATA - centre), DATA), 3, rtol=1e-5)
  # Four points far apart are their own cells: one of them is a quarter, two are one half.
  four = np.repeat(100 * np.eye(4), 50, axis=0) + np.random.default_rng(0).normal(size=(200, 4))
  assert len(np.unique(four.round(), axis=0)) > 4  # each point has several cells
  ratio = lambda samples: cells_of(samples, four).perplexity_ratio()
  np.testing.assert_allclose(ratio(four), 1)
  np.testing.assert_allclose(ratio(four[:100]), 0.5, atol=0.1)
  np.testing.assert_allclose(ratio(four[:1]), 1 / 20, atol=0.02)
  assert spread_ratio(four, four[:1]) > 1e200  # data without spread


def test_cells_are_those_of_all_the_data_where_they_are_sorted(monkeypatch):
  monkeypatch.setattr(health, "FITTED", 500)
  by_mode = DATA[np.argsort(np.arctan2(*DATA.T), kind="stable")]
  two_modes = by_mode[:1000]  # a quarter of the circle
  for data in (DATA, by_mode):
    assert cells_of(two_modes, data).perplexity_ratio() < 0.4
    assert game_health(rows_of(), two_modes, data).verdict == "collapsed"
    assert game_health(rows_of(), NEW, data).verdict == "healthy"


@pytest.mark.parametrize(
  "shares,n,verdict,why",
  [
    ([0.1] * 10, 1000, "healthy", "fill"),
    ([0.011, *[0.1] * 8, 0.189], 1000, "healthy", "fill"),
    ([0.0, *[0.1] * 8, 0.2], 1000, "collapsed", "10.0% of the data are of classes that are lost"),
    ([0.009, *[0.1] * 8, 0.191], 1000, "collapsed", "10.0% of the data"),
    ([0.0, 0.0, *[0.1] * 7, 0.3], 30, "collapsed", "20.0% of the data"),
    # Of twenty samples two of each class are to be expected: one class in ten has none.
    ([0.0, *[0.1] * 8, 0.2], 20, "healthy", "too few to tell whether 1 classes"),
  ],
)
def test_a_lost_class_is_no_health(shares, n, verdict, why):
  """Ten classes of data, each a tenth; samples fall on all cells."""
  count = np.round(np.array(shares) * n).astype(int)
  classes = Kinds(np.repeat(np.arange(10), count), np.arange(500) % 10)
  found = game_health(rows_of(), NEW, DATA, classes)
  assert found.verdict == verdict and why in found.why


@pytest.mark.parametrize("gone,verdict", [(1, "healthy"), (9, "healthy"), (11, "collapsed")])
def test_of_many_classes_a_few_may_be_lost(gone, verdict):
  """500 classes of data, ten samples of each but of those that are lost."""
  classes = Kinds(np.repeat(np.arange(gone, 500), 10), np.arange(500))
  found = game_health(rows_of(), NEW, DATA, classes)
  assert found.verdict == verdict
  assert f"{gone / 500:.1%} of the data are of classes that are lost" in found.why


def test_runs_of_no_game_are_refused():
  with pytest.raises(UserError, match="adversarial games"):
    game_health([{"loss": 1.0}], NEW, DATA)


def adam(rate):
  return Optimizer(learning_rate=rate, b1=0.5, b2=0.9)


STEPS, ROWS, SEEDS, BATCH = 1000, 20, 10, 64


def verdicts(**game):
  """Plays a game of small networks on the eight Gaussians with ten seeds at once."""
  model = gan.build(
    Spec.of((2,)), generator=gan.GeneratorNet((), (32, 32), norm="none"),
    critic=gan.CriticNet((), (32, 32)), latent=2, init_std=0.0, ema=0.0, **game,
  ).stages[0].model  # fmt: skip
  data = jnp.asarray(DATA)

  def one(state, key, i):
    rows_key, key = jax.random.split(jax.random.fold_in(key, i))
    rows = jax.random.randint(rows_key, (model.microbatches, BATCH), 0, len(data))
    return model.update(state, {"x": data[rows]}, key, i)

  @jax.jit
  @jax.vmap
  def play(key):
    init_key, key, sample_key = jax.random.split(key, 3)

    def row(state, r):
      steps = r * (STEPS // ROWS) + jnp.arange(STEPS // ROWS)
      state, terms = jax.lax.scan(lambda s, i: one(s, key, i), state, steps)
      return state, jax.tree.map(lambda v: v.mean(), terms)

    state = model.init(init_key, {"x": data[:BATCH]})
    state, rows = jax.lax.scan(row, state, jnp.arange(ROWS))
    return rows, model.sample(state, fold_each(sample_key, jnp.arange(1000)))

  rows, samples = jax.device_get(play(jax.random.split(jax.random.key(0), SEEDS)))
  found = []
  for s in range(SEEDS):
    own = [{name: float(v[s][r]) for name, v in rows.items()} for r in range(ROWS)]
    found.append(game_health(own, samples[s], DATA).verdict)
  return found


@pytest.mark.slow
@pytest.mark.parametrize(
  "verdict,least,game",
  [
    # A good WGAN-GP; with one seed a tenth of the data lies in cells that it lost.
    ("healthy", 9, dict(loss="wgan", penalties=Penalties(wgan_gp=1.0), n_critic=5,
      critic_optimizer=adam(1e-3), generator_optimizer=adam(1e-3))),
    # The generator goes ten times as fast as the critic and runs after its maximum.
    ("collapsed", 9, dict(loss="ns", critic_optimizer=adam(1e-3), generator_optimizer=adam(1e-2))),
    # The generator hardly moves.
    ("saturated", 9, dict(loss="mm", n_critic=2, critic_optimizer=adam(2e-3),
      generator_optimizer=adam(1e-7))),
    # A learning rate a thousand times too high.
    ("diverging", 9, dict(loss="ns", critic_optimizer=adam(1.0), generator_optimizer=adam(1.0))),
  ],
  ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_games_built_to_end_in_each_way(verdict, least, game):
  found = verdicts(**game)
  assert found.count(verdict) >= least, found

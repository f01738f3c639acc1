"""Optimisers against the papers' updates by hand, schedules at the points where they are known."""

import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.core import UserError
from gen_jax.learn.optimizer import OPTIMIZERS, Optimizer


def run(optimizer, gradients, start):
  """Parameters after each of some gradients."""
  tx = optimizer.make()
  params, state, path = jnp.asarray(start), tx.init(jnp.asarray(start)), []
  update = jax.jit(lambda g, s, p: tx.update(g, s, p, value=0.0))
  for g in gradients:
    updates, state = update(jnp.asarray(g), state, params)
    params = optax.apply_updates(params, updates)
    path.append(np.asarray(params))
  return np.stack(path)


START = np.array([1.0, -2.0, 0.5], np.float32)
GRADIENTS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def test_adam_is_algorithm_1_of_the_paper():
  # Kingma & Ba 2015, in float64 and without the bias corrections folded into anything.
  rate, b1, b2, eps = 0.1, 0.8, 0.95, 1e-3
  theta, m, v, expected = START.astype(np.float64), np.zeros(3), np.zeros(3), []
  for t, g in enumerate(GRADIENTS.astype(np.float64), 1):
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g * g
    theta = theta - rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    expected.append(theta)
  found = run(Optimizer("adam", rate, b1=b1, b2=b2, eps=eps), GRADIENTS, START)
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_adamw_decays_weights_apart_from_the_gradient():
  plain = run(Optimizer("adam", 0.1), GRADIENTS[:1], START)
  decayed = run(Optimizer("adamw", 0.1, weight_decay=0.3), GRADIENTS[:1], START)
  np.testing.assert_allclose(decayed - plain, -0.1 * 0.3 * START[None], rtol=1e-4)
  still = run(Optimizer("adamw", 0.1, weight_decay=0.3), np.zeros((5, 3), np.float32), START)
  np.testing.assert_allclose(still[-1], 0.97**5 * START, rtol=1e-5)


def test_adamw_over_many_steps_of_a_schedule():
  # The decay is of the parameters before the step and follows the rate: x (1 - s_t w) - s_t adam.
  b1, b2, eps, decay, warmup = 0.8, 0.95, 1e-3, 0.3, 3
  theta, m, v, expected = START.astype(np.float64), np.zeros(3), np.zeros(3), []
  for t, g in enumerate(GRADIENTS.astype(np.float64), 1):
    rate = 0.1 * min((t - 1) / warmup, 1)
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    adam = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    theta = theta * (1 - rate * decay) - rate * adam
    expected.append(theta)
  fields = dict(b1=b1, b2=b2, eps=eps, weight_decay=decay, warmup=warmup)
  found = run(Optimizer("adamw", 0.1, **fields), GRADIENTS, START)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  np.testing.assert_array_equal(found[0], START)  # the warm-up's first step is of no length


def test_sgd_is_the_heavy_ball():
  velocity, theta, expected = np.zeros(3), START.astype(np.float64), []
  for g in GRADIENTS.astype(np.float64):
    velocity = 0.7 * velocity + g
    theta = theta - 0.2 * velocity
    expected.append(theta)
  np.testing.assert_allclose(run(Optimizer("sgd", 0.2, b1=0.7), GRADIENTS, START), expected, 1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_rmsprop_has_eps_outside_the_root(scale):
  # At gradients of 1e-6, eps = 1e-8 changes a step by a few hundredths outside the root; inside it
  # would stand for 1e-4, a hundred times the gradient.
  rate, decay, eps = 0.1, 0.99, 1e-8
  theta, square, expected = START.astype(np.float64), np.zeros(3), []
  for g in scale * GRADIENTS.astype(np.float64):
    square = decay * square + (1 - decay) * g * g
    theta = theta - rate * g / (np.sqrt(square) + eps)
    expected.append(theta)
  found = run(Optimizer("rmsprop", rate, b2=decay, eps=eps), np.float32(scale) * GRADIENTS, START)
  np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-7)


def test_sgd_with_momentum_under_a_constant_gradient_is_a_geometric_series():
  found = run(Optimizer("sgd", 0.5, b1=0.8), np.ones((6, 3), np.float32), np.zeros(3, np.float32))
  velocity = (1 - 0.8 ** np.arange(1, 7)) / (1 - 0.8)
  np.testing.assert_allclose(found[:, 0], -0.5 * np.cumsum(velocity), rtol=1e-5)
  plain = run(Optimizer("sgd", 0.5, b1=0.0), GRADIENTS, START)
  np.testing.assert_allclose(plain[-1], START - 0.5 * GRADIENTS.sum(axis=0), rtol=1e-5)


def test_rmsprop_under_a_constant_gradient_comes_to_steps_of_the_rate():
  found = run(Optimizer("rmsprop", 0.01, b2=0.5), np.full((40, 3), -7, np.float32), START)
  np.testing.assert_allclose(found[-1] - found[-2], 0.01, rtol=1e-3)
  # The first average of squares is (1 - b2) g^2.
  np.testing.assert_allclose(found[0] - START, 0.01 / 0.5**0.5, rtol=1e-3)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
@pytest.mark.parametrize("warmup", [0, 10])
def test_schedules(schedule, warmup):
  rate = Optimizer(learning_rate=0.2, schedule=schedule, warmup=warmup, decay_steps=50).rate()
  values = np.array([rate(step) for step in range(61)])
  ramp = np.arange(warmup + 1) / warmup if warmup else 1
  np.testing.assert_allclose(values[: warmup + 1], 0.2 * ramp, rtol=1e-6)
  if schedule == "constant":
    np.testing.assert_allclose(values[warmup:], 0.2, rtol=1e-6)
    return
  assert (np.diff(values[warmup:51]) < 0).all()
  np.testing.assert_allclose(values[50:], 0, atol=1e-8)
  middle = values[warmup + (50 - warmup) // 2]
  np.testing.assert_allclose(middle, 0.1, rtol=1e-5)  # both are symmetric about half way
  quarter = values[warmup + (50 - warmup) // 4 : warmup + 3 * (50 - warmup) // 4 + 1]
  straight = np.linspace(quarter[0], quarter[-1], len(quarter))
  assert np.allclose(quarter, straight, rtol=1e-4) == (schedule == "linear")


def test_burda_s_schedule_is_that_of_the_paper():
  # Section 5: 1e-4 * 10^(1 - i/7), to a tenth of 1e-4, for 3^i epochs, i = 0..7.
  rate = Optimizer(learning_rate=1e-3, schedule="burda", decay_steps=3280 * 5).rate()
  values = np.array(rate(np.arange(3280 * 5 + 10)))
  changes = np.flatnonzero(np.diff(values)) + 1
  np.testing.assert_array_equal(np.diff([0, *changes, 3280 * 5]), 5 * 3 ** np.arange(8))
  stages = values[[0, *changes]]
  np.testing.assert_allclose(stages, 1e-4 * 10 ** (1 - np.arange(8) / 7), atol=0.51e-5)
  np.testing.assert_allclose(stages * 1e5, np.round(stages * 1e5), rtol=1e-5)


def test_clip_shortens_long_gradients_only():
  still = np.zeros(3, np.float32)
  optimizer = Optimizer("sgd", 1.0, b1=0.0, clip=2.0)
  long, short = np.array([[3.0, 0.0, 4.0]], np.float32), np.array([[0.0, 1.0, 1.5]], np.float32)
  np.testing.assert_allclose(run(optimizer, long, still)[0], -long[0] * 2 / 5, rtol=1e-6)
  np.testing.assert_allclose(run(optimizer, short, still)[0], -short[0])
  unclipped = run(Optimizer("sgd", 1.0, b1=0.0), long, still)
  np.testing.assert_allclose(unclipped[0], -long[0])


@pytest.mark.parametrize(
  "fields,message",
  [
    (dict(learning_rate=0.0), "learning_rate must be positive, not 0.0"),
    (dict(learning_rate=-1.0), "learning_rate must be positive"),
    (dict(schedule="cosine"), "schedule=cosine needs optimizer.decay_steps"),
    (dict(schedule="burda"), "schedule=burda needs optimizer.decay_steps"),
    (dict(schedule="linear", warmup=5, decay_steps=5), "above optimizer.warmup=5; it is 5"),
    (dict(name="lion"), "name must be one of adam, adamw, sgd, rmsprop, muon, not 'lion'"),
    (dict(schedule="step"), "schedule must be one of constant, cosine, linear, burda, not 'step'"),
    (dict(b1=2.0), r"optimizer.b1 must be in \[0, 1\), not 2.0"),
    (dict(b2=-1.0), r"optimizer.b2 must be in \[0, 1\), not -1.0"),
    (dict(eps=-1e-8), "optimizer.eps must be 0 or more"),
    (dict(clip=-1.0), "optimizer.clip must be 0 or more, not -1.0"),
    (dict(warmup=-5), "optimizer.warmup must be 0 or more, not -5"),
    (dict(decay_steps=-5), "optimizer.decay_steps must be 0 or more"),
    (dict(accumulate=0), "optimizer.accumulate must be 1 or more, not 0"),
    (dict(name="adamw", weight_decay=-0.1), "optimizer.weight_decay must be 0 or more"),
    (dict(weight_decay=0.1), "optimizer.weight_decay=0.1 is of optimizer.name=adamw: adam has"),
    (dict(name="sgd", weight_decay=0.1), "sgd has none"),
    (dict(name="adam", other_rate=0.1), "adam has one rate for all"),
  ],
)
def test_refusals(fields, message):
  for use in (Optimizer.make, Optimizer.rate):
    with pytest.raises(UserError, match=message):
      use(Optimizer(**fields))


def about_orthogonal(u):
  """Newton and Schulz's five steps of a matrix in or out, as in the source's code."""
  x = u / np.linalg.norm(u)
  x = x.T if x.shape[0] > x.shape[1] else x
  for _ in range(5):
    a = x @ x.T
    x = 3.4445 * x - 4.7750 * a @ x + 2.0315 * a @ a @ x
  return x.T if u.shape[0] > u.shape[1] else x


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (2, 2, 3, 5)])
def test_muon_moves_kernels_by_orthogonal_matrices(shape):
  rng, rate, b = np.random.default_rng(0), 0.1, 0.95
  start, gradients = rng.normal(size=shape), rng.normal(size=(4, *shape))
  rows, columns = int(np.prod(shape[:-1])), shape[-1]
  x, m, expected = start.reshape(rows, columns), np.zeros((rows, columns)), []
  for t, g in enumerate(gradients.reshape(4, rows, columns), 1):
    m = b * m + (1 - b) * g
    u = b * m / (1 - b ** (t + 1)) + (1 - b) * g / (1 - b**t)
    x = x - rate * max(1, columns / rows) ** 0.5 * about_orthogonal(u)
    expected.append(x.reshape(shape))
  named = lambda value: {"layer": {"kernel": jnp.asarray(value)}}
  with jax.enable_x64(True):
    tx, params = Optimizer("muon", rate, eps=0.0).make(), named(start)
    state = tx.init(params)
    for g, want in zip(gradients, expected):
      updates, state = tx.update(named(g), state, params)
      params = optax.apply_updates(params, updates)
      np.testing.assert_allclose(params["layer"]["kernel"], want, rtol=1e-8)


def test_muon_leaves_all_but_kernels_of_hidden_layers_to_adam():
  rng = np.random.default_rng(1)
  shapes = {
    "layer": {"kernel": (3, 4), "bias": (4,)}, "norm": {"scale": (4,)},
    "token": {"embedding": (5, 4)}, "logits": {"kernel": (4, 5), "bias": (5,)},
  }  # fmt: skip
  draw = lambda: jax.tree.map(
    lambda shape: jnp.asarray(rng.normal(size=shape), jnp.float32), shapes,
    is_leaf=lambda x: isinstance(x, tuple),
  )  # fmt: skip
  params, gradients = draw(), [draw() for _ in range(3)]

  def run_all(tx, params):
    state = tx.init(params)
    for g in gradients:
      updates, state = tx.update(g, state, params)
      params = optax.apply_updates(params, updates)
    return params

  schedule = dict(schedule="linear", decay_steps=10)
  ours = run_all(Optimizer("muon", 0.1, other_rate=0.01, **schedule).make(), params)
  adam = run_all(optax.nadam(optax.linear_schedule(0.01, 0.0, 10)), params)
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max() > 1e-4, ours, adam)
  assert moved.pop("layer") == {"kernel": True, "bias": False}
  assert not any(jax.tree.leaves(moved))


def test_the_choices_of_a_config_are_those_of_the_tables():
  hints = typing.get_type_hints(Optimizer)
  assert typing.get_args(hints["name"]) == tuple(OPTIMIZERS)
  for name in OPTIMIZERS:
    assert np.isfinite(run(Optimizer(name), GRADIENTS, START)).all()

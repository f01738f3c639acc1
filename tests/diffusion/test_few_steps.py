"""Consistency and mean-velocity losses at the exact answers for Gaussian data, which are linear."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss

from gen_jax.core import fold_each
from gen_jax.diffusion import consistency, mean_velocity

MEAN, STD = -0.7, 0.6


@pytest.fixture(autouse=True)
def double():
  with jax.enable_x64(True):
    yield


def quadrature(nodes=12):
  """x_0 and eps [nodes^2, 1] of data N(MEAN, STD^2), and the weights of an expectation."""
  at, weight = hermegauss(nodes)
  weight /= weight.sum()
  x0, eps = (jnp.asarray(a.reshape(-1, 1)) for a in np.meshgrid(MEAN + STD * at, at))
  return x0, eps, jnp.asarray(np.outer(weight, weight).reshape(-1))


def full(value, x):
  return jnp.full(len(x), value)


def keys(n):
  return fold_each(jax.random.key(0), jnp.arange(n))


def flow_end(x, t):
  """Where the flow of x_0 + t eps through x ends."""
  return MEAN + STD * (x - MEAN) / jnp.sqrt(STD**2 + t**2)[:, None]


def slope_at_the_end_of_the_flow(t, r):
  """d/da of the expected loss of (1 + a) times the exact function about its mean, at a = 0. With a
  large c the loss is that of a square."""
  x0, eps, weight = quadrature()

  def value(a):
    f = lambda x, t: (1 + a) * (flow_end(x, t) - MEAN) + MEAN
    return (weight * consistency.loss(f, x0, eps, full(t, x0), full(r, x0), 100.0)).sum()

  return float(jax.grad(value)(0.0))


def test_the_end_of_the_flow_is_stationary_as_the_two_times_meet():
  wide, near, nearest = (abs(slope_at_the_end_of_the_flow(0.9, 0.9 - h)) for h in (0.2, 0.02, 2e-3))
  assert wide > 1e-4
  assert near == pytest.approx(wide / 10, rel=0.3)
  assert nearest == pytest.approx(near / 10, rel=0.05)


def test_at_zero_the_loss_is_a_denoiser_s_and_its_gradient_finite():
  x0, eps, weight = quadrature()
  t = full(0.9, x0)
  with_log = lambda a: lambda x, t: a * x / jnp.log(t)[:, None]  # as a clock of the network has it
  value = lambda a: consistency.loss(with_log(a), x0, eps, t, 0 * t, 1e-3)
  apart = jnp.abs(x0 * (1 - 1 / np.log(0.9)) - eps * 0.9 / np.log(0.9))[:, 0]
  np.testing.assert_allclose(value(1.0), (jnp.sqrt(apart**2 + 1e-6) - 1e-3) / 0.9, rtol=1e-12)
  assert np.isfinite(jax.grad(lambda a: value(a).sum())(1.0))


def test_the_gap_of_times_is_halved():
  t = jnp.array([1e-3, 0.1, 1.0, 10.0, 80.0])
  gaps = np.stack([t - consistency.nearer(t, a) for a in range(1, 9)])
  np.testing.assert_allclose(gaps[0], jnp.minimum(t, t * (1 + 8 / (1 + jnp.exp(t))) / 2))
  np.testing.assert_allclose(gaps[-1], gaps[-2] / 2)
  assert (np.diff(gaps, axis=0) <= 0).all() and (gaps <= t).all()


@pytest.mark.parametrize("times", [(80.0,), (80.0, 0.8), (80.0, 2.0, 0.3)])
def test_samples_of_the_exact_function_have_the_law_of_the_data(times):
  path = consistency.sample(flow_end, keys(20_000), (1,), times, jnp.float64)
  assert path.shape == (len(times) + 1, 20_000, 1)
  assert float(path[0].std()) == pytest.approx(80, rel=0.03)
  for x in path[1:]:
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(x.std()) == pytest.approx(STD, rel=0.02)


def deviation(t):
  return jnp.sqrt(((1 - t) * STD) ** 2 + t**2)


def average(z, r, t):
  """u of Gaussian data: (z - flow map) / (t - r), without the division."""
  both = deviation(t) * (deviation(t) + deviation(r))
  slope = ((t + r) * (1 + STD**2) - 2 * STD**2) / both
  return (z - (1 - t)[:, None] * MEAN) * slope[:, None] - MEAN


@pytest.mark.parametrize("tangent", ["example", "network"])
@pytest.mark.parametrize("r,t", [(0.2, 0.9), (0.0, 1.0), (0.5, 0.5)])
def test_the_exact_average_is_stationary(tangent, r, t):
  x0, eps, weight = quadrature()

  def value(change):
    offset, slope, curve = change
    u = lambda z, r, t: average(z, r, t) + offset + slope * z + curve * z**2 * (t - r)[:, None]
    each = mean_velocity.loss(u, x0, eps, full(r, x0), full(t, x0), tangent=tangent)
    return (weight * each).sum()

  gradient = jax.grad(value)(jnp.zeros(3))
  np.testing.assert_allclose(gradient, 0, atol=1e-12)
  away = jax.grad(value)(jnp.array([0.1, 0.1, 0.1]))
  assert (jnp.abs(away) > 1e-3).sum() >= 2


def test_one_step_of_the_exact_average_is_the_flow():
  z = jax.random.normal(jax.random.key(0), (50, 1), jnp.float64)
  for steps in (1, 3):
    path = mean_velocity.sample(average, z, steps)
    assert path.shape == (steps + 1, 50, 1)
    np.testing.assert_allclose(path[-1], MEAN + STD * z, atol=1e-12)


def test_the_adaptive_weight_scales_the_gradient():
  x0, eps, _ = quadrature(2)
  at = full(0.3, x0), full(0.8, x0)

  def value(a, **options):
    u = lambda z, r, t: a * average(z, r, t)
    return mean_velocity.loss(u, x0, eps, *at, **options)

  plain = jax.jacfwd(value)(1.3)
  weighted = jax.jacfwd(lambda a: value(a, power=1.0, floor=0.1))(1.3)
  np.testing.assert_allclose(weighted, plain / (value(1.3) + 0.1), rtol=1e-12)


@pytest.mark.parametrize("r,t", [(0.0, 1.0), (0.5, 1.0), (0.25, 0.5)])
def test_the_exact_average_is_the_mean_of_its_halves(r, t):
  x0, eps, weight = quadrature()
  at = full(r, x0), full(t, x0)
  loss = lambda u: mean_velocity.shortcut_loss(u, x0, eps, *at, smallest=1 / 64)
  assert float(loss(average).max()) < 1e-24
  other = lambda z, r, t: average(z, r, t) + 0.1 * (t - r)[:, None] ** 2
  # By hand: halves of length d / 2 are off by 0.1 (d / 2)^2 each, the first moves z for the second.
  assert (loss(other) > 1e-6).all()


def test_the_shortest_steps_are_halved_by_the_velocity():
  z, smallest = jnp.linspace(-3, 3, 8)[:, None], 1 / 32
  t, r = full(0.5, z), full(0.5 - smallest, z)
  euler = z
  for _ in range(2):
    v = average(euler, t, t)
    euler, t = euler - smallest / 2 * v, t - smallest / 2
  wanted = (((z - euler) / smallest - average(z, r, full(0.5, z))) ** 2).mean(1)
  # z is the corruption of any pair of which it is the noise and the data at once.
  found = mean_velocity.shortcut_loss(average, z, z, r, full(0.5, z), smallest=smallest)
  np.testing.assert_allclose(found, wanted, rtol=1e-9)
  assert (wanted > 1e-9).any()


def test_a_shortcut_without_length_is_flow_matching():
  x0, eps, _ = quadrature()
  t = full(0.4, x0)
  u = lambda z, r, t: 0.3 * z + (t - r)[:, None]
  found = mean_velocity.shortcut_loss(u, x0, eps, t, t, smallest=1 / 64)
  wanted = (0.3 * (0.6 * x0 + 0.4 * eps) - (eps - x0)) ** 2
  np.testing.assert_allclose(found, wanted[:, 0])


def test_the_halves_are_no_way_for_the_gradient():
  x0, eps, _ = quadrature(3)
  at = full(0.0, x0), full(1.0, x0)

  def value(a):
    return mean_velocity.shortcut_loss(
      lambda z, r, t: a * average(z, r, t), x0, eps, *at, smallest=1 / 64
    ).sum()

  target = value(1.3)
  u = average(eps, *at)
  z = eps - 0.5 * 1.3 * average(eps, full(0.5, x0), at[1])
  halves = 1.3 * (average(eps, full(0.5, x0), at[1]) + average(z, at[0], full(0.5, x0))) / 2
  assert float(target) == pytest.approx(float(((1.3 * u - halves) ** 2).sum()))
  gradient = 2 * ((1.3 * u - halves) * u).sum()
  assert float(jax.grad(value)(1.3)) == pytest.approx(float(gradient))


def test_lengths_of_shortcuts():
  r, t = mean_velocity.halved_times(jax.random.key(0), 10_000, 0.5, jnp.float64, halvings=3)
  length = np.asarray(t - r)
  assert set(length) == {0, 1, 0.5, 0.25} and (r >= 0).all() and (t <= 1).all()
  for d in (1, 0.5, 0.25):
    assert (length == d).mean() == pytest.approx(1 / 6, abs=0.02)
    assert set(np.asarray(t)[length == d]) == set(np.arange(d, 1 + d, d))
  assert float(t[length == 0].mean()) == pytest.approx(0.5, abs=0.02)


def test_pairs_of_times():
  r, t = mean_velocity.time_pairs(jax.random.key(0), 10_000, 0.25, jnp.float64)
  assert (r <= t).all()
  assert float((r < t).mean()) == pytest.approx(0.25, abs=0.02)
  # The larger of two uniform times has mean 2/3, and so has the mean of r where they differ 1/3.
  assert float(t.mean()) == pytest.approx(2 / 3, abs=0.01)
  assert float(r[r < t].mean()) == pytest.approx(1 / 3, abs=0.02)

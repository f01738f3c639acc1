"""Paths and kinds against numerical differentiation, round trips and exact Gaussian posteriors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.diffusion import algebra, denoise, grids, path, schedule, times
from gen_jax.diffusion.path import PATHS


def falling():
  """A path of a log_snr from 6 to -5, straight."""
  return path.of_log_snr(
    lambda t: 6 - 11 * t, lambda t: -11 + 0 * t, lambda l: (6 - l) / 11, lambda l: (6 - l) / 11
  )


EVERY = {**PATHS, "of_log_snr": falling}
every_path = pytest.mark.parametrize("name", EVERY)


@pytest.fixture(autouse=True)
def double():
  with jax.enable_x64(True):
    yield


def inside(p, n=7):
  """Times between the ends."""
  return np.geomspace(max(p.first, 0.02), 0.98 * p.last, n)


@every_path
def test_a_level_is_consistent_with_itself(name):
  p, h = EVERY[name](), 1e-6
  t = inside(p)
  at, above, below = p.level(t), p.level(t + h), p.level(t - h)
  np.testing.assert_allclose(at.log_snr, 2 * np.log(at.alpha / at.sigma), atol=1e-9)
  np.testing.assert_allclose(at.d_alpha, (above.alpha - below.alpha) / (2 * h), atol=1e-8)
  np.testing.assert_allclose(at.d_sigma, (above.sigma - below.sigma) / (2 * h), rtol=1e-7)
  np.testing.assert_allclose(p.time_of(at.log_snr), t, rtol=1e-9)
  assert (np.diff(at.log_snr) < 0).all()
  in_jax = p.level(jnp.asarray(t))
  for ours, theirs in zip(in_jax, at, strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@every_path
def test_clocks_run_from_0_to_1(name):
  p = EVERY[name]()
  with np.errstate(divide="ignore"):
    clock = p.level(np.array([p.first, p.last])).clock
  np.testing.assert_allclose(clock, [0, 1], atol=1e-4)


@pytest.mark.parametrize("name", ["cosine", "vp", "of_log_snr"])
def test_variance_is_preserved(name):
  p = EVERY[name]()
  at = p.level(inside(p))
  np.testing.assert_allclose(at.alpha**2 + at.sigma**2, 1, rtol=1e-14)


def test_vp_is_the_limit_of_the_linear_schedule():
  at = PATHS["vp"]().level(np.linspace(0, 1, 11)[1:])
  s = schedule.linear(100_000)
  np.testing.assert_allclose(at.alpha, s.alpha[10_000::10_000], atol=3e-5)


def test_a_discrete_table_is_the_schedule():
  s, t = schedule.cosine(50), np.array([50, 20, 1, 0])
  at = path.discrete(s, t)
  np.testing.assert_array_equal(at.alpha, s.alpha[t])
  np.testing.assert_array_equal(at.sigma, s.sigma[t])


@every_path
@pytest.mark.parametrize("kind", denoise.KINDS)
def test_every_kind_gives_back_x0_and_eps(name, kind):
  p = EVERY[name]()
  x0, eps = jax.random.normal(jax.random.key(0), (2, 7, 3, 2))
  level = p.level(jnp.asarray(inside(p)))
  x_t = algebra.corrupt(x0, eps, level.alpha, level.sigma)
  output = denoise.target(kind, x0, eps, level, 0.5)
  got = denoise.understood(output, kind, x_t, level, 0.5)
  np.testing.assert_allclose(got.x0, x0, rtol=1e-7, atol=1e-7)
  np.testing.assert_allclose(got.eps, eps, rtol=1e-7, atol=1e-7)


@every_path
def test_velocity_is_the_derivative_of_x_t(name):
  p, x0, eps = EVERY[name](), jnp.array([[0.4], [-1.0]]), jnp.array([[1.1], [0.3]])
  t = jnp.asarray(inside(p, 2))
  x = lambda t: algebra.corrupt(x0, eps, p.level(t).alpha, p.level(t).sigma)
  _, derivative = jax.jvp(x, (t,), (jnp.ones_like(t),))
  got = denoise.target("velocity", x0, eps, p.level(t))
  np.testing.assert_allclose(got, derivative, rtol=1e-9)


def test_edm_is_the_preconditioning_of_the_paper():
  # D = c_skip x + c_out F, of table 1 in numbers.
  sigma, data = np.array([0.01, 0.5, 30.0]), 0.5
  level = PATHS["edm"]().level(jnp.asarray(sigma))
  x, output = jnp.array([[0.3], [-0.7], [20.0]]), jnp.array([[0.2], [1.0], [-0.4]])
  skip, out = data**2 / (sigma**2 + data**2), sigma * data / np.sqrt(sigma**2 + data**2)
  got = denoise.understood(output, "edm", x, level, data)
  np.testing.assert_allclose(got.x0, skip[:, None] * x + out[:, None] * output, rtol=1e-9)
  net = denoise.denoiser(lambda x, clock: x, "edm", data)
  scaled = x / np.sqrt(sigma**2 + data**2)[:, None]
  want = skip[:, None] * x + out[:, None] * scaled
  np.testing.assert_allclose(net(x, level).x0, want, rtol=1e-9)


@every_path
def test_edm_of_zero_is_the_best_linear_denoiser(name):
  p, data = EVERY[name](), 0.7
  level = p.level(jnp.asarray(inside(p)))
  x = jax.random.normal(jax.random.key(1), (7, 2))
  gain = level.alpha * data**2 / ((level.alpha * data) ** 2 + level.sigma**2)
  got = denoise.understood(jnp.zeros_like(x), "edm", x, level, data)
  np.testing.assert_allclose(got.x0, gain[:, None] * x, rtol=1e-9)
  # Its targets have variance 1: of x_0 ~ N(0, data^2), by the coefficients.
  a, b = denoise.KINDS["edm"](level, data)
  np.testing.assert_allclose((a * data) ** 2 + b**2, 1, rtol=1e-12)


def test_edm_is_minus_v_where_variance_is_preserved():
  level = PATHS["cosine"]().level(jnp.linspace(0.1, 0.9, 4))
  for edm, v in zip(denoise.KINDS["edm"](level, 1.0), denoise.KINDS["v"](level, 1.0), strict=True):
    np.testing.assert_allclose(edm, -v, rtol=1e-12)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("grid", grids.GRIDS)
def test_grids_lead_from_noise_to_data(name, grid):
  p = PATHS[name]()
  t = grids.GRIDS[grid](p, 12)
  level = path.table(p, t)
  assert len(t) == 13 and (np.diff(t) < 0).all() and t[-1] == 0
  if grid != "uniform":
    ratio = np.exp(-level.log_snr[:-1] / 2)
    high, low = grids.ends(p)
    np.testing.assert_allclose(ratio[[0, -1]], [high, low], rtol=1e-6)
    even = np.log(ratio) if grid == "log_snr" else ratio ** (1 / 7)
    np.testing.assert_allclose(np.diff(even), (even[-1] - even[0]) / 11, rtol=1e-6)


def test_edm_s_grid_is_the_paper_s():
  i, n = np.arange(18), 18
  want = (80 ** (1 / 7) + i / (n - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
  np.testing.assert_allclose(grids.rho(PATHS["edm"](), n)[:-1], want, rtol=1e-12)


def test_times_have_the_laws_that_are_named():
  u = times.strata(jax.random.key(0), 4000, dtype=jnp.float64)
  assert (np.floor(np.asarray(u) * 4000) == np.arange(4000)).all()
  linear, edm = PATHS["linear"](), PATHS["edm"]()
  t = times.TIMES["uniform"](linear, 0, 1)(u)
  np.testing.assert_allclose([t.mean(), t.var()], [1 / 2, 1 / 12], atol=1e-3)
  t = times.TIMES["logit_normal"](linear, 0.3, 0.8)(u)
  logit = np.log(t / (1 - t))
  np.testing.assert_allclose([logit.mean(), logit.std()], [0.3, 0.8], atol=5e-3)
  for p in (linear, edm):
    level = p.level(times.TIMES["log_normal"](p, -1.2, 1.1)(u))
    ratio = np.log(level.sigma / level.alpha)
    np.testing.assert_allclose([ratio.mean(), ratio.std()], [-1.2, 1.1], atol=5e-3)


def test_strata_are_those_of_the_examples_that_are_not_padding():
  mask = jnp.array([False, True, True, False, True, False, True, True])
  u = np.asarray(times.strata(jax.random.key(0), 8, mask))
  assert ((u > 0) & (u < 1)).all()
  np.testing.assert_array_equal(np.floor(u[np.asarray(mask)] * 5), np.arange(5))
  none = times.strata(jax.random.key(0), 8, jnp.zeros(8, bool))
  assert ((none > 0) & (none < 1)).all()

"""Solvers and likelihoods in continuous time, where the denoiser and its flow are exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from gen_jax.core import fold_each
from gen_jax.diffusion import flow_solvers, grids, likelihood, solvers
from gen_jax.diffusion.algebra import forms
from gen_jax.diffusion.dpm import collocated, threes
from gen_jax.diffusion.flow_solvers import Churn, euler, heun
from gen_jax.diffusion.path import PATHS, table
from gen_jax.dynamics import trace

MEAN, STD = -0.3, 0.5


@pytest.fixture(autouse=True)
def double():
  with jax.enable_x64(True):
    yield


def gaussian(x, level):
  """E[x_0 | x_t] of data N(MEAN, STD^2)."""
  x0 = MEAN + level.alpha * STD**2 / variance(level) * (x - level.alpha * MEAN)
  return forms(x0, (x - level.alpha * x0) / level.sigma, level.alpha, level.sigma)


def variance(level):
  return (level.alpha * STD) ** 2 + level.sigma**2


CENTRES, WIDTH = np.array([-1.0, 0.2, 1.5]), 0.3


def mixture(x, level):
  """E[x_0 | x_t] of three equally likely Gaussians."""
  var = (level.alpha * WIDTH) ** 2 + level.sigma**2
  off = x[..., None] - level.alpha * CENTRES
  weight = jax.nn.softmax(-(off**2) / (2 * var), axis=-1)
  x0 = (weight * (CENTRES + level.alpha * WIDTH**2 / var * off)).sum(-1)
  return forms(x0, (x - level.alpha * x0) / level.sigma, level.alpha, level.sigma)


def log_mixture(x):
  return np.log(stats.norm.pdf(x[:, None], CENTRES, WIDTH).mean(1))


def follow(denoise, levels, solver, n=30, seed=0, **kwargs):
  keys = fold_each(jax.random.key(seed), jnp.arange(n))
  return np.asarray(
    solvers.follow(denoise, levels, keys, (), solver=solver, dtype=jnp.float64, **kwargs)
  )


METHODS = {
  "euler": (euler(), 1),
  "heun": (heun(), 2),
  "ddim": (solvers.solver_of("ddim"), 1),
  "dpmpp_2m": (solvers.solver_of("dpmpp_2m"), 2),
  "dpmpp_3m": (solvers.solver_of("dpmpp_3m"), 3),
  "dpmpp_3s": (solvers.solver_of("dpmpp_3s"), 3),
}


def stretch(p, method, steps, high=20):
  """Levels from sigma / alpha = high to 0.05, in equal steps of the method's own variable."""
  log_snr = np.linspace(-2 * np.log(high), -2 * np.log(0.05), steps + 1)
  t = p.time_of(log_snr)
  if method in ("euler", "heun") and p.last == 1:
    t = np.linspace(t[0], t[-1], steps + 1)
  return table(p, t)


@pytest.mark.parametrize("name", ["cosine", "vp", "ve", "linear"])
@pytest.mark.parametrize("method", METHODS)
def test_orders_on_gaussian_data(name, method):
  (solver, order), p, errors = METHODS[method], PATHS[name](), []
  # The third order's first steps are of lower ones: they are small where there is hardly a signal.
  steps, high = ((320, 640, 1280), 500) if method == "dpmpp_3m" else ((60, 120, 240), 20)
  for count in steps:
    levels = stretch(p, method, count, high)
    start, end = follow(gaussian, levels, solver, frames=1, scale=levels.sigma[0])
    v, a = variance(levels), levels.alpha
    exact = a[-1] * MEAN + np.sqrt(v[-1] / v[0]) * (start - a[0] * MEAN)
    errors.append(np.abs(end - exact).max())
  slopes = np.log2(np.array(errors[:-1]) / errors[1:])
  assert (np.abs(slopes - order) < 0.2).all(), (errors, slopes)


@pytest.mark.parametrize("method", METHODS)
def test_all_solvers_find_one_flow_of_a_mixture(method):
  solver, _ = METHODS[method]
  p = PATHS["linear"]()
  levels, fine = stretch(p, method, 400), stretch(p, "heun", 2000)
  got = follow(mixture, levels, solver, scale=levels.sigma[0])
  exact = follow(mixture, fine, heun(), scale=levels.sigma[0])
  assert np.abs(got - exact).max() < {1: 0.03, 2: 1e-3, 3: 1e-4}[METHODS[method][1]]


@pytest.mark.parametrize("method", ["dpmpp_2m", "dpmpp_3m", "dpmpp_3s"])
def test_a_constant_x0_is_reached_exactly(method):
  p = PATHS["cosine"]()
  constant = lambda x, level: forms(
    0 * x + 0.7, (x - 0.7 * level.alpha) / level.sigma, level.alpha, level.sigma
  )
  got = follow(constant, table(p, grids.log_snr(p, 5)), METHODS[method][0])
  np.testing.assert_allclose(got, 0.7, rtol=1e-12)


@pytest.mark.parametrize("nodes", [(0.0,), (0.0, 0.4), (0.0, 1 / 3, 2 / 3), (0.0, -1.0, -1.5)])
def test_collocation_integrates_its_polynomials_exactly(nodes):
  h, nodes = 0.7, np.array(nodes)
  for degree in range(len(nodes)):
    exact, _ = quad(lambda v, n=degree: np.exp(v - h) * (v / h) ** n, 0, h)
    assert collocated(nodes, h) @ nodes**degree == pytest.approx(exact, abs=1e-13)


def test_steps_of_three_end_in_what_is_left():
  sizes = lambda h: [size for _, size in threes(np.array(h))]
  assert sizes([1.0] * 7) == [3, 3, 1] and sizes([1.0] * 8) == [3, 3, 2]
  assert sizes([np.inf, *[1.0] * 5, np.inf]) == [1, 3, 2, 1]


def test_first_orders_are_one_method():
  # With one x_0 in memory and nothing before it, the second order has nothing to add.
  levels = table(PATHS["vp"](), np.array([0.9, 0.4]))
  end = lambda solver: follow(mixture, levels, solver)
  np.testing.assert_allclose(end(solvers.solver_of("dpmpp_2m")), end(solvers.solver_of("ddim")))
  small = solvers.solver_of("ancestral", "small")
  np.testing.assert_allclose(end(solvers.solver_of("sde_2m")), end(small), rtol=1e-12)


@pytest.mark.parametrize("name", ["cosine", "edm", "linear"])
@pytest.mark.parametrize("solver", ["sde_2m", "churned", "corrected"])
def test_noisy_solvers_reach_the_law_of_the_data(name, solver):
  p, n = PATHS[name](), 20_000
  levels = table(p, grids.rho(p, 60))
  how = heun(p, Churn(20.0)) if solver == "churned" else solvers.solver_of("sde_2m")
  how = flow_solvers.langevin(how, 1, 0.1) if solver == "corrected" else how
  x = follow(gaussian, levels, how, n=n, scale=levels.sigma[0])
  assert abs(x.mean() - MEAN) < 5 * STD / n**0.5 + 3e-3
  assert abs(x.var() / STD**2 - 1) < 5 * (2 / n) ** 0.5 + 0.01


def test_a_churn_keeps_the_law_of_x_t():
  p, n = PATHS["cosine"](), 40_000
  levels = table(p, np.array([0.6, 0.5]))
  solver = heun(p, Churn(0.5, noise=1.0))
  row = jax.tree.map(lambda column: column[0], solver.table(levels))
  x, z = np.random.default_rng(0).normal(size=(2, n))
  v = variance(jax.tree.map(lambda c: c[0], levels))
  lifted, at = solver.lift(levels.alpha[0] * MEAN + np.sqrt(v) * x, row, z)
  assert at.log_snr < levels.log_snr[0] - 0.5
  np.testing.assert_allclose(lifted.mean(), at.alpha * MEAN, atol=5 / n**0.5)
  np.testing.assert_allclose(lifted.var(), variance(at), rtol=5 * (2 / n) ** 0.5)


@pytest.mark.parametrize("solver", [euler(), heun(), heun(PATHS["edm"](), Churn(4.0))])
def test_frames_lead_to_the_same_sample(solver):
  p = PATHS["edm"]()
  levels = table(p, grids.rho(p, 9))
  final = follow(mixture, levels, solver, scale=80.0)
  path = follow(mixture, levels, solver, scale=80.0, frames=4)
  assert path.shape == (5, 30) and np.isfinite(path).all()
  np.testing.assert_array_equal(path[-1], final)


def linear_step(step):
  """slope, offset and spread of x -> step(x, noise) that is linear in both."""
  zero, one = jnp.zeros(1), jnp.ones(1)
  offset = step(zero, zero)
  return [float(v[0]) for v in (step(one, zero) - offset, offset, step(zero, one) - offset)]


@pytest.mark.parametrize("name", ["vp", "sub_vp", "ve", "edm"])
def test_a_step_of_the_reverse_sde_keeps_the_law_to_second_order(name):
  p, solver, errors = PATHS[name](), flow_solvers.euler_maruyama(), []
  t = p.time_of(np.array(-1.0))
  for h in (0.02, 0.01, 0.005):
    levels = table(p, np.array([t, t * (1 - h)]))
    row = jax.tree.map(lambda c: c[0], solver.table(levels))
    now = jax.tree.map(lambda c: c[0], levels)
    step = lambda x, z, now=now, row=row: solver.step(x, (), gaussian(x, now), row, z)[0]
    slope, offset, spread = linear_step(step)
    v, a = variance(levels), levels.alpha
    mean, var = slope * a[0] * MEAN + offset, slope**2 * v[0] + spread**2
    errors.append([abs(mean - a[1] * MEAN) + 1e-15, abs(var - v[1])])
  ratio = np.array(errors[:-1]) / np.array(errors[1:])
  assert (np.abs(np.log2(ratio[:, 1]) - 2) < 0.2).all(), errors
  assert errors[-1][0] < 1e-4


def test_langevin_steps_keep_the_law_to_second_order():
  # Of a Gaussian of variance V they make one of V (1 - e / V)^2 + 2 e = V + e^2 / V.
  level = jax.tree.map(lambda c: c[0], table(PATHS["vp"](), np.array([0.3])))
  solver, e = flow_solvers.langevin(euler(), 2, 0.3), 2 * (0.3 * level.sigma) ** 2
  step = lambda x, z: solver.relax(x, gaussian(x, level), level, z)
  slope, offset, spread = linear_step(step)
  v, mean = variance(level), level.alpha * MEAN
  np.testing.assert_allclose(slope * mean + offset, mean, rtol=1e-9)
  np.testing.assert_allclose(slope**2 * v + spread**2, v + e**2 / v, rtol=1e-9)


def test_a_corrected_sample_is_its_own():
  p = PATHS["vp"]()
  levels = table(p, grids.uniform(p, 5))
  corrected = flow_solvers.langevin(flow_solvers.euler_maruyama(), 2, 0.3)
  few, many = (follow(mixture, levels, corrected, n=n) for n in (3, 30))
  np.testing.assert_allclose(few, many[:3], rtol=1e-9)


@pytest.mark.parametrize("name", ["linear", "cosine", "vp", "sub_vp", "edm"])
def test_log_prob_is_exact(name):
  p = PATHS[name]()
  x = np.random.default_rng(0).normal(MEAN, STD, (20, 1))
  if p.first == 0:  # the exact denoisers above divide by sigma
    p = p._replace(first=1e-5)
  grid = likelihood.times(p, 100)
  run = lambda denoise, x, **kwargs: np.asarray(
    likelihood.log_prob(denoise, p, jnp.asarray(x), grid, **kwargs)
  )
  np.testing.assert_allclose(run(gaussian, x), stats.norm.logpdf(x[:, 0], MEAN, STD), atol=1e-2)
  y = np.linspace(-1.5, 2.0, 20)[:, None]
  np.testing.assert_allclose(run(mixture, y), log_mixture(y[:, 0]), atol=1e-2)
  # Of fields of one dimension Hutchinson's estimate is exact, whatever the sign.
  signs = trace.rademacher(fold_each(jax.random.key(0), jnp.arange(20)), (1,), 2, jnp.float64)
  np.testing.assert_allclose(run(mixture, y, probes=signs), run(mixture, y), rtol=1e-9)


def test_the_integration_converges():
  p = PATHS["linear"]()._replace(first=0.01)
  y = jnp.linspace(-1.5, 2.0, 20)[:, None]
  of = lambda steps: likelihood.log_prob(mixture, p, y, likelihood.times(p, steps))
  coarse, fine, finest = of(30), of(60), of(480)
  assert np.abs(fine - finest).max() < np.abs(coarse - finest).max() / 6


def test_slopes_of_a_flow_are_its_velocity():
  # d/dt of the flow map of Gaussian data, x(t) = alpha m + sqrt(V) z.
  p, z = PATHS["cosine"](), 0.8
  x = lambda t: p.level(t).alpha * MEAN + jnp.sqrt(variance(p.level(t))) * z
  value, derivative = jax.jvp(x, (jnp.array(0.4),), (jnp.array(1.0),))
  got = flow_solvers.slope(gaussian(value, p.level(jnp.array(0.4))), p.level(jnp.array(0.4)))
  np.testing.assert_allclose(got, derivative, rtol=1e-9)

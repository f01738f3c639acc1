"""Samplers on Gaussian data, where the optimal denoiser and the law of every x_t are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import UserError, fold_each
from gen_jax.diffusion import flow_solvers, schedule, solvers
from gen_jax.diffusion.algebra import convert, posterior
from gen_jax.diffusion.guidance import Guided, steered
from gen_jax.diffusion.path import PATHS, table

N = 40_000
every_solver = pytest.mark.parametrize("method", solvers.SOLVERS)


def optimal(s, mean, std):
  """E[x_0 | x_t] of data N(mean, std^2), as a denoiser."""
  alpha, sigma = jnp.asarray(s.alpha, jnp.float32), jnp.asarray(s.sigma, jnp.float32)

  def denoise(x_t, t):
    a, b = alpha[t], sigma[t]
    x0 = mean + std**2 * a / (a**2 * std**2 + b**2) * (x_t - a * mean)
    return convert(x0, "x0", x_t, a, b)

  return denoise


def test_steps_of_the_true_variance_have_the_law_of_the_data():
  # Of Gaussian data p(x_s | x_t) is a Gaussian: as wide as it is, any few steps are exact, but for
  # the last, which adds no noise.
  s, mean, std = schedule.cosine(1000), 0.3, 0.6
  t = solvers.times(s, 6)
  plain = optimal(s, mean, std)
  a, b, a_s, b_s = s.alpha[t[:-1]], s.sigma[t[:-1]], s.alpha[t[1:]], s.sigma[t[1:]]
  q = posterior(a, b, a_s, b_s)
  left = std**2 * b**2 / (a**2 * std**2 + b**2)  # of x_0 given x_t
  with np.errstate(divide="ignore", invalid="ignore"):
    share = np.log((q.var + q.from_0**2 * left) / q.var) / np.log(q.forward_var / q.var)
  share = jnp.asarray(np.nan_to_num(share), jnp.float32)
  of_time = jnp.zeros(1001).at[t[:-1]].set(share)
  denoise = lambda x, t: plain(x, t)._replace(share=of_time[t])
  x = draw(s, denoise, steps=6, variance="learned")
  variance = std**2 - left[-1]
  assert abs(x.mean() - mean) < 5 * std / N**0.5
  assert abs(x.var() / variance - 1) < 5 * (2 / N) ** 0.5


def at(denoise):
  """(x_t, level) -> Prediction of (x_t, t) -> Prediction."""
  return lambda x, level: denoise(x, level.t)


def draw(s, denoise, n=N, method="ancestral", variance="large", eta=0.0, **kwargs):
  keys = fold_each(jax.random.key(0), jnp.arange(n))
  solver = solvers.solver_of(method, variance, eta)
  return np.asarray(solvers.solve(at(denoise), s, keys, (), solver=solver, **kwargs), np.float64)


def law(s, mean, std, steps, kind):
  """Exact mean and variance of the sampler's output: a linear map of Gaussians, step by step."""
  t = solvers.times(s, steps)
  m, v = 0.0, 1.0
  for i, j in zip(t[:-1], t[1:], strict=True):
    a, b, a_s, b_s = s.alpha[i], s.sigma[i], s.alpha[j], s.sigma[j]
    r = a / a_s
    beta = b**2 - r**2 * b_s**2
    small = beta * b_s**2 / b**2
    gain = std**2 * a / (a**2 * std**2 + b**2)  # x_0 hat = mean + gain (x_t - a mean)
    if kind == "ddim":
      slope, noise = a_s * gain + b_s * (1 - a * gain) / b, 0.0
    else:
      slope = r * b_s**2 / b**2 + a_s * beta / b**2 * gain
      noise = 0.0 if j == 0 else {"small": small, "large": beta}[kind]
    m = a_s * mean + slope * (m - a * mean)
    v = slope**2 * v + noise
  return m, v


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("steps", [5, 50, 200])
@pytest.mark.parametrize(
  "kind,kwargs",
  [
    ("small", {"method": "ancestral", "variance": "small"}),
    ("large", {"method": "ancestral", "variance": "large"}),
    ("ddim", {"method": "ddim"}),
    ("small", {"method": "ddim", "eta": 1.0}),
  ],
)
def test_moments_are_exact(name, steps, kind, kwargs):
  s = schedule.make(name, 200)
  mean, std = 0.6, 0.3
  m, v = law(s, mean, std, steps, kind)
  x = draw(s, optimal(s, mean, std), steps=steps, **kwargs)
  assert abs(x.mean() - m) < 5 * (v / N) ** 0.5 + 1e-5
  assert abs(x.var() / v - 1) < 5 * (2 / N) ** 0.5 + 1e-4


def test_many_steps_reach_the_data():
  s = schedule.cosine(1000)
  for kind in ("small", "large", "ddim"):
    m, v = law(s, 0.6, 0.3, 1000, kind)
    assert abs(m - 0.6) < 2e-3 and abs(v / 0.09 - 1) < 0.03


def test_large_variance_is_exact_for_unit_gaussian_data_and_small_for_a_point():
  # Ho et al. 2020, section 3.2: the two choices are the optima for these two data sets.
  s = schedule.linear(100)
  x = draw(s, optimal(s, 0.0, 1.0), steps=100, variance="large")
  assert abs(x.var() / s.alpha[1] ** 2 - 1) < 5 * (2 / N) ** 0.5
  x = draw(s, optimal(s, 0.4, 0.0), n=100, steps=100, variance="small")
  np.testing.assert_allclose(x, 0.4, atol=1e-6)


def test_ddim_follows_the_probability_flow():
  # With the exact score of N(m, s^2), the flow maps x_T to m + s (x_T - a m) / sqrt(a^2 s^2 + b^2).
  s, mean, std = schedule.cosine(1000), -0.3, 0.5
  path = draw(s, optimal(s, mean, std), n=200, steps=1000, method="ddim", frames=1)
  a, b = s.alpha[-1], s.sigma[-1]
  exact = mean + std * (path[0] - a * mean) / np.sqrt(a**2 * std**2 + b**2)
  np.testing.assert_allclose(path[-1], exact, atol=5e-3)


@pytest.mark.parametrize("method,order", [("ddim", 1), ("dpmpp_2m", 2)])
@pytest.mark.parametrize("path", ["variance preserving", "variance exploding"])
def test_the_order_in_which_a_solver_approaches_the_probability_flow(path, method, order):
  # Along a path whose log-SNR falls evenly; from any x_T the flow of N(m, s^2) ends at
  # a' m + sqrt(V' / V) (x_T - a m), V = a^2 s^2 + b^2.
  log_snr = np.linspace(2.5, -2.5, 2**12 + 1)
  if path == "variance preserving":
    a, b = (1 + np.exp(-2 * log_snr)) ** -0.5, (1 + np.exp(2 * log_snr)) ** -0.5
  else:
    a, b = np.ones_like(log_snr), np.exp(-log_snr)
  s, mean, std, errors = schedule.Schedule(a, b), -0.3, 0.5, []
  variance = a**2 * std**2 + b**2

  def denoise(x_t, t):
    gain = jnp.asarray(std**2 * a / variance)[t]
    x0 = mean + gain * (x_t - jnp.asarray(a)[t] * mean)
    return convert(x0, "x0", x_t, jnp.asarray(a)[t], jnp.asarray(b)[t])

  with jax.enable_x64(True):
    for steps in (32, 64, 128):
      how = dict(n=50, steps=steps, method=method, frames=1, dtype=jnp.float64)
      start, end = draw(s, denoise, **how)
      exact = a[0] * mean + np.sqrt(variance[0] / variance[-1]) * (start - a[-1] * mean)
      errors.append(np.abs(end - exact).max())
  ratios = np.array(errors[:-1]) / errors[1:]
  assert (np.abs(np.log2(ratios) - order) < 0.15).all(), errors


def test_few_multistep_steps_are_closer_to_the_flow_than_many_of_ddim():
  s, mean, std = schedule.cosine(1000), -0.3, 0.5
  a, b = s.alpha[-1], s.sigma[-1]

  def error(method, steps):
    path = draw(s, optimal(s, mean, std), n=200, steps=steps, method=method, frames=1)
    exact = mean + std * (path[0] - a * mean) / np.sqrt(a**2 * std**2 + b**2)
    return np.abs(path[-1] - exact).max()

  assert error("dpmpp_2m", 25) < error("ddim", 100)


@every_solver
def test_frames_are_the_path_to_the_same_sample(method):
  s = schedule.cosine(30)
  final = draw(s, optimal(s, 0.0, 0.5), n=20, steps=30, method=method)
  path = draw(s, optimal(s, 0.0, 0.5), n=20, steps=30, frames=7, method=method)
  assert path.shape == (8, 20)
  np.testing.assert_array_equal(path[-1], final)


@every_solver
def test_a_sample_depends_on_its_own_key_only(method):
  s = schedule.cosine(20)
  keys = fold_each(jax.random.key(0), jnp.arange(6))
  other = fold_each(jax.random.key(1), jnp.arange(6))
  mixed = jax.random.wrap_key_data(
    jnp.where(jnp.arange(6)[:, None] == 2, jax.random.key_data(keys), jax.random.key_data(other))
  )
  solver = solvers.solver_of(method)
  run = lambda k: solvers.solve(at(optimal(s, 0.0, 1.0)), s, k, (3,), steps=20, solver=solver)
  np.testing.assert_array_equal(run(keys)[2], run(mixed)[2])
  assert not np.array_equal(run(keys)[1], run(mixed)[1])


def test_times_cover_the_schedule():
  s = schedule.cosine(1000)
  for steps in (1, 2, 7, 50, 999, 1000):
    t = solvers.times(s, steps)
    assert t[0] == 1000 and t[-1] == 0 and (np.diff(t) < 0).all() and len(t) == steps + 1


def test_other_grids_are_even_in_the_noise_that_integers_allow():
  s = schedule.cosine(1000)
  ratio = s.sigma[1:] / s.alpha[1:]
  for grid, power in (("log_snr", np.log), ("rho", lambda r: r ** (1 / 7))):
    t = solvers.times(s, 17, grid)
    assert t[0] == 1000 and t[-1] == 0 and (np.diff(t) < 0).all() and len(t) <= 18
    assert ratio[t[1] - 1] == pytest.approx(80, rel=0.1) and t[-2] == 1
    steps = np.diff(power(ratio[t[1:-1] - 1]))
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.2)


def test_calls_are_counted_as_they_are_made():
  made = []

  def of(cond):  # of the condition and of none in one call: each is counted
    def denoise(x, level):
      jax.debug.callback(lambda: made.append(len(x) // 2))
      return convert(0 * x, "x0", x, level.alpha, level.sigma)

    return denoise

  corrected = flow_solvers.langevin(flow_solvers.heun(), 2, 0.1)
  guides = Guided(), Guided(guidance=1.0), Guided(guidance=1.0, guidance_interval=(0.3, 9.0))
  levels, cond = table(PATHS["vp"](), np.linspace(1, 0, 6)), jnp.zeros(2, jnp.int32)
  keys, found = fold_each(jax.random.key(0), jnp.arange(2)), []
  for solver in (solvers.solver_of("dpmpp_3m"), flow_solvers.heun(), corrected):
    for guide in guides:
      made.clear()
      denoise = steered(of, cond, 1, guide)
      jax.block_until_ready(solvers.follow(denoise, levels, keys, (3,), solver=solver))
      jax.effects_barrier()
      found.append(sum(made))
      assert found[-1] == solvers.calls(solver, levels, guide)
  assert found == [5, 10, 8, 9, 18, 15, 19, 38, 31]


@pytest.mark.parametrize(
  "kwargs,message",
  [
    ({"steps": 2, "grid": "rho"}, "3 steps or more, not 2"),
    ({"steps": 0}, "1 to 20 steps"),
    ({"steps": 21}, "1 to 20 steps"),
    ({"steps": 5, "method": "euler"}, "sampler 'euler'"),
    ({"steps": 5, "variance": "wide"}, "variance 'wide'"),
    ({"steps": 5, "method": "ddim", "eta": 1.5}, "eta of DDIM"),
  ],
)
def test_refusals(kwargs, message):
  s = schedule.cosine(20)
  with pytest.raises(UserError, match=message):
    draw(s, optimal(s, 0.0, 1.0), n=2, **kwargs)

"""The bound against entropies and closed forms that need no network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from gen_jax.core import centre, fold_each
from gen_jax.diffusion import schedule
from gen_jax.diffusion.algebra import convert
from gen_jax.diffusion.bound import term, transitions, variational_bound
from gen_jax.diffusion.solvers import strided

LEVELS = 5


def discrete_denoiser(s, p):
  """E[x_0 | x_t] for independent pixels with P(level k) = p[k]: Bayes' rule, exact; its share is
  that of the variance of x_{t-1} given x_t, of every pixel."""
  q = transitions(s, jnp.float32)
  alpha, sigma = jnp.asarray(s.alpha, jnp.float32), jnp.asarray(s.sigma, jnp.float32)
  grid, log_p = centre(jnp.arange(LEVELS), LEVELS), jnp.log(jnp.asarray(p, jnp.float32))

  def predict(x_t, t):
    a, b = alpha[t][:, None, None], sigma[t][:, None, None]
    weight = jax.nn.softmax(log_p - (x_t[..., None] - a * grid) ** 2 / (2 * b**2), axis=-1)
    x0 = (weight * grid).sum(-1)
    spread = (weight * (grid - x0[..., None]) ** 2).sum(-1)
    small, large = (v[jnp.maximum(t, 2) - 1][:, None] for v in (q.var, q.forward_var))
    exact = small + q.from_0[t - 1][:, None] ** 2 * spread
    share = jnp.log(exact / small) / jnp.log(large / small)
    return convert(x0, "x0", x_t, alpha[t], sigma[t])._replace(share=share)

  return predict


def total(terms):
  return np.asarray(terms["L_T"] + terms["L_t"] + terms["L_0"], np.float64)


def bound(s, p, n=400, dims=4, **kwargs):
  k = jax.random.choice(jax.random.key(1), LEVELS, (n, dims), p=jnp.asarray(p))
  keys = fold_each(jax.random.key(2), jnp.arange(n))
  return k, jax.jit(
    lambda: variational_bound(
      discrete_denoiser(s, p), s, k, centre(k, LEVELS), keys, levels=LEVELS, **kwargs
    )
  )()


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_bounds_the_entropy_from_above_and_nearly_touches_it(name, variance):
  p = [0.4, 0.1, 0.05, 0.25, 0.2]
  k, terms = bound(schedule.make(name, 1000), p, variance=variance)
  total = np.asarray(terms["L_T"] + terms["L_t"] + terms["L_0"], np.float64)
  exact = -np.log(p)[np.asarray(k)].sum(-1)  # -log P of each example
  gap, error = (total - exact).mean(), (total - exact).std() / len(k) ** 0.5
  assert gap > -4 * error
  # The reverse process is Gaussian and the true one is not; beta_t is too wide for point masses.
  assert gap < {"small": 0.35, "large": 1.6}[variance]


def test_a_decoder_of_grey_levels_ends_the_bound_where_it_reads_them():
  # It knows what the best network finds out, at once: the entropy stays, from ever later steps on.
  p = [0.2] * LEVELS
  s = schedule.cosine(200)
  k, whole = bound(s, p, n=500, variance="small")
  exact = 4 * np.log(LEVELS)
  for first in (1, 10, 60):
    _, terms = bound(s, p, n=500, variance="small", first=first)
    gap, error = total(terms).mean() - exact, total(terms).std() / 500**0.5
    assert -4 * error < gap < 0.3, first
    assert terms["L_t"].mean() <= whole["L_t"].mean() + 1e-3
  # At 60 the levels are no longer told apart, and much of the entropy is the decoder's.
  assert terms["L_0"].mean() > 0.2 and abs(gap) < 4 * error + 0.05


def test_a_late_decoder_spares_what_a_network_ignorant_of_levels_pays():
  # Gaussian beliefs about pixels that are points: they cost at every step below the spacing.
  s, n = schedule.cosine(1000), 500
  alpha, sigma = jnp.asarray(s.alpha, jnp.float32), jnp.asarray(s.sigma, jnp.float32)
  k = jax.random.choice(jax.random.key(1), LEVELS, (n, 4))

  def predict(x_t, t):
    a, b = alpha[t][:, None], sigma[t][:, None]
    return convert(0.5 * a / (0.5 * a**2 + b**2) * x_t, "x0", x_t, alpha[t], sigma[t])

  keys, totals = fold_each(jax.random.key(2), jnp.arange(n)), []
  for first in (0, 50):
    terms = jax.jit(
      lambda first=first: variational_bound(
        predict, s, k, centre(k, LEVELS), keys, levels=LEVELS, times=50, first=first
      )
    )()
    totals.append(float((terms["L_T"] + terms["L_t"] + terms["L_0"]).mean()))
  # The spacing is 0.5, and sigma / alpha 0.09 there: log(0.09 / 0.0064) nats of each of 4 pixels.
  assert totals[0] - totals[1] == pytest.approx(4 * np.log(sigma[50] / sigma[1]), rel=0.15)


def test_the_true_variances_of_steps_are_the_best_bound():
  p, steps = [0.4, 0.1, 0.05, 0.25, 0.2], 25
  k, learned = bound(schedule.cosine(steps), p, n=2000, variance="learned")
  others = [
    total(bound(schedule.cosine(steps), p, n=2000, variance=v)[1]) for v in ("small", "large")
  ]
  exact = -np.log(p)[np.asarray(k)].sum(-1)
  gap = (total(learned) - exact).mean()
  assert 0 < gap < 0.8 * min((other - exact).mean() for other in others)


def test_the_term_of_a_learned_variance_is_least_where_the_error_says():
  # d KL / d log var_p = (1 - (var_q + (mean_q - mean_p)^2) / var_p) / 2, and no gradient of x_0.
  s = schedule.cosine(50)
  q, t = transitions(s, jnp.float32), jnp.array([30])
  alpha, sigma = (jnp.asarray(a, jnp.float32)[t] for a in (s.alpha, s.sigma))
  k = jnp.array([[1, 3]])
  x0, x_t = centre(k, LEVELS), jnp.array([[0.3, -0.7]])

  def value(output, share):
    p = convert(output, "eps", x_t, alpha, sigma)._replace(share=share)
    return term(p, k, x0, x_t, t, q, LEVELS).sum()

  output = jnp.array([[0.4, -0.2]])
  x0_hat = convert(output, "eps", x_t, alpha, sigma).x0
  best = q.var[29] + (q.from_0[29] * (x0 - x0_hat)) ** 2
  share = jnp.log(best / q.var[29]) / jnp.log(q.forward_var[29] / q.var[29])
  of_mean, of_share = jax.grad(value, (0, 1))(output, share)
  np.testing.assert_array_equal(of_mean, 0)
  np.testing.assert_allclose(of_share, 0, atol=1e-5)
  assert (jax.grad(value, 1)(output, share + 0.1) > 0).all()


def test_the_gap_closes_as_steps_are_added():
  p = [0.4, 0.1, 0.05, 0.25, 0.2]
  gaps = []
  for steps in (10, 50, 400):
    k, terms = bound(schedule.cosine(steps), p, n=2000, variance="small")
    exact = -np.log(p)[np.asarray(k)].sum(-1)
    gaps.append((np.asarray(terms["L_T"] + terms["L_t"] + terms["L_0"]) - exact).mean())
  assert gaps[0] > gaps[1] > gaps[2] > 0 and gaps[2] < gaps[0] / 5


def test_the_bound_of_fewer_steps_asks_the_network_at_the_times_that_are_kept():
  p, s = [0.4, 0.1, 0.05, 0.25, 0.2], schedule.cosine(400)
  gaps = []
  for steps in (10, 50, 0):
    kept, chain = strided(s, steps)
    assert chain.steps == (steps or 400) and kept[0] == 0 and kept[-1] == 400
    k = jax.random.choice(jax.random.key(1), LEVELS, (2000, 4), p=jnp.asarray(p))
    keys = fold_each(jax.random.key(2), jnp.arange(2000))
    denoise = discrete_denoiser(s, p)  # of the whole schedule, as a network is
    at_kept = lambda x_t, i, kept=kept, denoise=denoise: denoise(x_t, jnp.asarray(kept)[i])
    run = lambda predict, chain=chain, k=k, keys=keys: total(
      variational_bound(predict, chain, k, centre(k, LEVELS), keys, levels=LEVELS, variance="small")
    )
    own = run(discrete_denoiser(chain, p))
    np.testing.assert_allclose(run(at_kept), own, rtol=1e-4, atol=1e-4)
    gaps.append((own + np.log(p)[np.asarray(k)].sum(-1)).mean())
  assert gaps[0] > gaps[1] > gaps[2] > 0


def test_few_stratified_times_estimate_the_same_sum():
  p = [0.2] * 5
  s = schedule.cosine(200)
  _, all_times = bound(s, p, n=2000)
  _, few = bound(s, p, n=2000, times=10)
  for name in ("L_t", "simple_loss"):
    a, b = (np.asarray(x[name], np.float64) for x in (all_times, few))
    error = np.hypot(a.std(), b.std()) / len(a) ** 0.5
    assert abs(a.mean() - b.mean()) < 4 * error, name


def test_l_t_of_gaussian_data_in_closed_form():
  # With E[x_0 | x_t] linear in x_t, E_q of each KL is a quadratic that integrates by hand.
  s, mean, var, k = schedule.linear(60), 0.2, 0.25, 3
  alpha, sigma = jnp.asarray(s.alpha, jnp.float32), jnp.asarray(s.sigma, jnp.float32)

  def predict(x_t, t):
    a, b = alpha[t][:, None], sigma[t][:, None]
    x0 = mean + var * a / (a**2 * var + b**2) * (x_t - a * mean)
    return convert(x0, "x0", x_t, alpha[t], sigma[t])

  n = 20_000
  x = jnp.full((n, 1), k)
  keys = fold_each(jax.random.key(0), jnp.arange(n))
  got = variational_bound(
    predict, s, x, centre(x, LEVELS), keys, levels=LEVELS, variance="small", clip=False
  )
  x0, exact = 2 * k / (LEVELS - 1) - 1, 0.0
  for t in range(2, 61):
    a, b, a_s, b_s = s.alpha[t], s.sigma[t], s.alpha[t - 1], s.sigma[t - 1]
    gain = var * a / (a**2 * var + b**2)
    bias = (1 - gain * a) * (x0 - mean)  # x_0 - E[x_0 | x_t] at the mean of x_t
    error = bias**2 + gain**2 * b**2
    # Half the difference of the signal-to-noise ratios, Kingma et al. 2021, eq. 13.
    exact += error * (a_s**2 / b_s**2 - a**2 / b**2) / 2
  np.testing.assert_allclose(np.asarray(got["L_t"], np.float64).mean(), exact, rtol=0.02)


def test_l_0_alone_is_a_distribution_over_levels():
  # For a fixed x_1 the decoder is one; here every level in turn is scored by the same network.
  s = schedule.cosine(10)
  grid = jnp.arange(LEVELS)[:, None]
  predict = lambda x_t, t: convert(jnp.full_like(x_t, 0.3), "x0", x_t, 0.9, 0.4)
  keys = fold_each(jax.random.key(0), jnp.arange(LEVELS))
  terms = variational_bound(predict, s, grid, centre(grid, LEVELS), keys, levels=LEVELS)
  np.testing.assert_allclose(logsumexp(-np.asarray(terms["L_0"], np.float64)), 0, atol=1e-4)


def test_shares_of_the_levels_end_the_bound_where_they_are_no_longer_read():
  # The decoder is the true posterior of a pixel, whose neighbours say nothing: wherever it takes
  # over, it and what is left of the process are the entropy. Equal shares pay for the difference.
  p = [0.6, 0.1, 0.05, 0.05, 0.2]
  s, n = schedule.cosine(200), 500
  for first in (10, 60, 150):
    k, terms = bound(s, p, n=n, variance="small", first=first, shares=[10 * a for a in p])
    _, equal = bound(s, p, n=n, variance="small", first=first)
    off = total(terms) + np.log(p)[np.asarray(k)].sum(-1)
    error = off.std() / n**0.5
    assert -4 * error < off.mean() < 4 * error + 0.3, first
  np.testing.assert_array_equal(terms["L_t"], equal["L_t"])
  assert (total(equal) - total(terms)).mean() > 1  # nats of 4 pixels, at 150, of an entropy of 4.8

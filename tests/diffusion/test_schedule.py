"""Noise schedules against exact rational arithmetic and their closed forms."""

from fractions import Fraction

import numpy as np
import pytest

from gen_jax.core import UserError
from gen_jax.diffusion import schedule


def test_linear_is_the_product_of_its_betas_in_exact_arithmetic():
  s = schedule.linear(50)  # 20 times the paper's betas: 1000 / 50
  alpha_bar, step = Fraction(1), (Fraction(4, 10) - Fraction(2, 1000)) / 49
  for t in range(1, 51):
    alpha_bar *= 1 - (Fraction(2, 1000) + step * (t - 1))
    np.testing.assert_allclose(s.alpha[t] ** 2, float(alpha_bar), rtol=1e-13)
    np.testing.assert_allclose(s.sigma[t] ** 2, float(1 - alpha_bar), rtol=1e-13)


def test_the_papers_schedule_ends_in_noise():
  s = schedule.linear()
  assert s.steps == 1000
  # KL(q(x_T | x_0) || N(0, I)) is about 1e-5 bits/dim in the paper (section 4).
  x0 = np.linspace(-1, 1, 1001)
  var = s.sigma[-1] ** 2
  kl = 0.5 * (s.alpha[-1] ** 2 * x0**2 + var - 1 - np.log(var)).mean() / np.log(2)
  assert 0.5e-5 < kl < 2e-5


def test_the_linear_schedule_ends_in_as_much_noise_at_every_length():
  # alpha_bar_T = prod(1 - beta): at T = 1000 the paper's 4.0e-5, and sum beta is 10.05 at any T, so
  # that it tends to exp(-10.05) from below as the betas become small.
  ends = [schedule.make("linear", steps).alpha[-1] ** 2 for steps in (25, 50, 100, 1000, 4000)]
  assert (np.diff(ends) > 0).all()
  np.testing.assert_allclose(ends[3], 4.036e-5, rtol=1e-3)
  assert ends[4] < np.exp(-10.05) < 1.02 * ends[4]
  # Without the scaling T = 100 would leave exp(-1.005 - ...) = 0.36 of the data.
  assert ends[2] < 4e-5

  # In continuous time the schedules agree: log alpha_bar at half the length.
  halves = [np.log(schedule.linear(steps).alpha[steps // 2]) for steps in (1000, 8000)]
  np.testing.assert_allclose(*halves, rtol=5e-3)


@pytest.mark.parametrize("steps", [2, 3, 5, 10, 100])
def test_short_cosine_schedules_end_in_noise_too(steps):
  assert schedule.make("cosine", steps).alpha[-1] ** 2 < 1e-3


def test_what_does_not_reach_noise_is_refused(monkeypatch):
  for steps in (2, 10, 20):
    with pytest.raises(UserError, match=f"more than 20 timesteps, not {steps}.*cosine takes any"):
      schedule.make("linear", steps)
  assert schedule.make("linear", 21).alpha[-1] ** 2 < 1e-3
  unscaled = lambda steps: schedule.from_betas(np.linspace(1e-4, 0.02, steps))
  monkeypatch.setitem(schedule.SCHEDULES, "unscaled", unscaled)
  with pytest.raises(UserError, match="alpha_bar_T = 0.36 of the data at its 100 timesteps"):
    schedule.make("unscaled", 100)
  assert schedule.make("unscaled", 1000).steps == 1000


def test_cosine_is_its_closed_form_up_to_the_largest_beta():
  s = schedule.cosine(1000)
  t = np.arange(1001) / 1000
  phase = (t + 0.008) / 1.008 * np.pi / 2
  closed = (1 + np.cos(2 * phase)) / (1 + np.cos(2 * phase[0]))
  np.testing.assert_allclose(s.alpha[:995] ** 2, closed[:995], rtol=1e-9)
  assert (1 - (s.alpha[1:] / s.alpha[:-1]) ** 2).max() <= 0.999 + 1e-12


@pytest.mark.parametrize(
  "name,steps", [("linear", 21), ("linear", 1000), ("cosine", 2), ("cosine", 10), ("cosine", 1000)]
)
def test_every_schedule_goes_from_data_to_noise(name, steps):
  assert {"linear", "cosine"} == set(schedule.SCHEDULES)
  s = schedule.make(name, steps)
  assert s.alpha.dtype == s.sigma.dtype == np.float64
  assert s.alpha[0] == 1 and s.sigma[0] == 0
  np.testing.assert_allclose(s.alpha**2 + s.sigma**2, 1, rtol=1e-12)
  assert (np.diff(s.alpha) < 0).all() and (np.diff(s.sigma) > 0).all()


def test_refusals():
  with pytest.raises(UserError, match="'quadratic' is not known: one of linear, cosine"):
    schedule.make("quadratic", 10)
  with pytest.raises(UserError, match="at least 2 timesteps, not 1"):
    schedule.make("linear", 1)

"""Noise schedules against exact rational arithmetic and their closed forms."""

from fractions import Fraction

import numpy as np
import pytest

from gen_jax.core import UserError
from gen_jax.diffusion import schedule


def test_linear_is_the_product_of_its_betas_in_exact_arithmetic():
  s = schedule.linear(50, 1e-4, 0.02)
  alpha_bar, step = Fraction(1), (Fraction(2, 100) - Fraction(1, 10_000)) / 49
  for t in range(1, 51):
    alpha_bar *= 1 - (Fraction(1, 10_000) + step * (t - 1))
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


def test_cosine_is_its_closed_form_up_to_the_largest_beta():
  s = schedule.cosine(1000)
  t = np.arange(1001) / 1000
  phase = (t + 0.008) / 1.008 * np.pi / 2
  closed = (1 + np.cos(2 * phase)) / (1 + np.cos(2 * phase[0]))
  np.testing.assert_allclose(s.alpha[:995] ** 2, closed[:995], rtol=1e-9)
  assert (1 - (s.alpha[1:] / s.alpha[:-1]) ** 2).max() <= 0.999 + 1e-12


@pytest.mark.parametrize("name", schedule.SCHEDULES)
@pytest.mark.parametrize("steps", [2, 10, 1000])
def test_every_schedule_goes_from_data_to_noise(name, steps):
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

"""Codes and completions against Gaussian data, whose flow is a line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import fold_each
from gen_jax.diffusion import flow_solvers, grids, solvers
from gen_jax.diffusion.algebra import forms
from gen_jax.diffusion.editing import completing, encode
from gen_jax.diffusion.likelihood import times
from gen_jax.diffusion.path import PATHS, table

MEAN, STD = 0.4, 0.7


@pytest.fixture(autouse=True)
def double():
  with jax.enable_x64(True):
    yield


def exact(x, level):
  """The denoiser of independent entries N(MEAN, STD^2)."""
  away = (x - level.alpha * MEAN) / (level.alpha**2 * STD**2 + level.sigma**2)
  return forms(MEAN + STD**2 * level.alpha * away, level.sigma * away, level.alpha, level.sigma)


def spread(level):
  return np.hypot(level.alpha * STD, level.sigma)


@pytest.mark.parametrize("name,exactness", [("linear", 1e-6), ("cosine", 1e-6), ("edm", 1e-3)])
def test_a_code_is_as_far_from_the_mean_in_deviations_as_the_data(name, exactness):
  path = PATHS[name]()
  x = jnp.linspace(-2, 2, 6).reshape(2, 3)
  levels = table(path, grids.GRIDS["rho"](path, 200))
  grid = times(path, 200, levels.t[0])
  first, last = (table(path, t) for t in (grid[0], grid[-1]))
  z = encode(exact, path, x, grid)
  away = first.alpha * (x - MEAN) / spread(first)
  np.testing.assert_allclose(z, last.alpha * MEAN + spread(last) * away, rtol=exactness, atol=1e-6)
  keys = fold_each(jax.random.key(0), jnp.arange(2))
  back = solvers.follow(
    exact, levels, keys, (3,), solver=flow_solvers.heun(), start=z, dtype=jnp.float64
  )
  np.testing.assert_allclose(back, x, atol=2e-3)


HIDDEN = np.array([[False, True, True], [True, False, False]])
KNOWN = np.array([[5.0, 0.0, 0.0], [0.0, -5.0, 2.0]])


def test_what_is_known_takes_the_place_of_the_prediction():
  level = PATHS["vp"]().level(jnp.asarray(0.5))
  x = jax.random.normal(jax.random.key(0), (2, 3))
  p, plain = completing(exact, KNOWN, HIDDEN)(x, level), exact(x, level)
  np.testing.assert_array_equal(p.x0, np.where(HIDDEN, plain.x0, KNOWN))
  np.testing.assert_allclose(level.alpha * p.x0 + level.sigma * p.eps, x, atol=1e-12)


@pytest.mark.parametrize("solver", ["ancestral", "ddim", "dpmpp_2m"])
def test_samples_keep_what_is_known_and_draw_the_rest_as_without_it(solver):
  path = PATHS["vp"]()
  levels = table(path, grids.GRIDS["log_snr"](path, 20))
  keys = fold_each(jax.random.key(0), jnp.arange(2))
  draw = lambda denoise: solvers.follow(
    denoise, levels, keys, (3,), solver=solvers.solver_of(solver), dtype=jnp.float64
  )
  made, free = draw(completing(exact, KNOWN, HIDDEN)), draw(exact)
  np.testing.assert_allclose(np.where(HIDDEN, free, KNOWN), made, atol=1e-9)

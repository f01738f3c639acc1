"""Lengths of paths in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import metrics

N = 20_000


def pairs(z, seed=0):
  a, b = jax.random.normal(jax.random.key(seed), (2, N, z))
  return a, b, jax.random.uniform(jax.random.key(seed + 1), (N,))


def test_a_linear_map_of_normal_codes_in_a_line():
  matrix = jax.random.normal(jax.random.key(3), (4, 6))
  a, b, t = pairs(4)
  found = metrics.squared_speed(lambda z: z @ matrix, metrics.lerp, a, b, t)
  expected = 2 * float((matrix**2).sum())  # E ||A (b - a)||^2, a and b ~ N(0, I)
  assert float(found.mean()) == pytest.approx(expected, rel=0.03)
  at_the_end = metrics.squared_speed(lambda z: z @ matrix, metrics.lerp, a, b, 0 * t)
  np.testing.assert_allclose(found, at_the_end, rtol=1e-3)


@pytest.mark.parametrize("z", [2, 3, 64])
def test_on_the_unit_sphere_the_speed_is_the_angle(z):
  a, b, t = pairs(z)
  a, b = (v / jnp.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
  found = metrics.squared_speed(lambda z: z, metrics.slerp, a, b, t)
  angle = np.arccos(np.clip((np.asarray(a, np.float64) * np.asarray(b)).sum(1), -1, 1))
  told = angle < 3.1  # in float32, opposite points lie on no one circle
  np.testing.assert_allclose(found[told], angle[told] ** 2, rtol=0.02, atol=1e-3)
  # theta is uniform for Z = 2; its density is sin(theta) / 2 for Z = 3, and near pi / 2 for many.
  expected = {2: np.pi**2 / 3, 3: np.pi**2 / 2 - 2, 64: np.pi**2 / 4 + 1 / 62}[z]
  assert float(found.mean()) == pytest.approx(expected, rel=0.03)


def test_the_derivative_is_the_limit_of_the_difference_quotient():
  decode = lambda z: jnp.sin(z @ jnp.array([[1.0, 2.0], [0.5, -1.0], [0.3, 0.7]]))
  with jax.enable_x64(True):
    a, b = (v.astype(jnp.float64) for v in pairs(3)[:2])
    t, e = jnp.linspace(0.1, 0.8, N), 1e-4
    at = lambda t: decode(jax.vmap(metrics.slerp)(a, b, t))
    quotient = ((at(t + e) - at(t)) ** 2).sum(1) / e**2
    found = metrics.squared_speed(decode, metrics.slerp, a, b, t)
    np.testing.assert_allclose(found, quotient, rtol=0.02, atol=1e-3)

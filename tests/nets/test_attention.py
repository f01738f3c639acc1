"""Attention against its formula, position by position; a head at a time against all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nets import attention
from gen_jax.nets.attention import attend

T = 6
RNG = np.random.default_rng(0)
Q, K, V = (RNG.normal(size=(2, T, 3, 4)) for _ in range(3))
SEES = RNG.random((T, T)) < 0.5
SEES[:, 0] = True


@pytest.fixture(params=["at once", "in turn"])
def way(request, monkeypatch):
  monkeypatch.setattr(attention, "CACHED", 2**30 if request.param == "at once" else 0)


@pytest.mark.parametrize("sees", [SEES, None])
def test_it_is_a_mean_of_what_is_seen_weighted_by_its_score(sees, way):
  with jax.enable_x64(True):
    got = jax.jit(lambda *x: attend(*x, sees))(Q, K, V)
  for b, i, n in np.ndindex(2, T, 3):
    rows = np.arange(T) if sees is None else np.flatnonzero(sees[i])
    weight = np.exp(K[b, rows, n] @ Q[b, i, n] / 2)  # sqrt(4)
    want = np.average(V[b, rows, n], axis=0, weights=weight)
    np.testing.assert_allclose(got[b, i, n], want, rtol=1e-12)


@pytest.mark.parametrize("sees", [SEES, None])
def test_a_head_at_a_time_has_the_same_gradients(sees, monkeypatch):
  def gradients(cached):
    monkeypatch.setattr(attention, "CACHED", cached)
    loss = lambda *x: (attend(*x, sees) ** 2).sum()
    return jax.jit(jax.grad(loss, (0, 1, 2)))(Q, K, V)

  with jax.enable_x64(True):
    for a, b in zip(gradients(0), gradients(2**30), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_scores_are_float32_or_wider():
  q, k, v = (jnp.asarray(x, jnp.bfloat16) for x in (Q, K, V))
  (line,) = (x for x in str(jax.make_jaxpr(attend)(q, k, v)).splitlines() if "= exp " in x)
  assert ":f32[" in line

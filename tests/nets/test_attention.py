"""Attention against its formula, position by position; some examples at a time against all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nets import attention
from gen_jax.nets.attention import attend

T = 6
RNG = np.random.default_rng(0)
Q, K, V = (RNG.normal(size=(3, T, 3, 4)) for _ in range(3))
SEES = RNG.random((T, T)) < 0.5
SEES[:, 0] = True


B = len(Q)
MASKS = {
  "all": {},
  "some": {"sees": SEES},
  "each its own": {"sees": (RNG.random((B, 1, T, T)) < 0.8) | (np.arange(T) == 0)},
  "keys": {"sees": (RNG.random((B, 1, 1, T)) < 0.8) | (np.arange(T) == 0)},
  "causal": {"causal": True},
}


def seen(how):
  """The mask [B, T, T] that the options mean."""
  sees = np.tril(np.ones((T, T), bool)) if "causal" in how else how.get("sees", True)
  return np.broadcast_to(sees, (B, 1, T, T))[:, 0]


@pytest.fixture(params=["at once", "by one", "by two"])
def way(request, monkeypatch):
  most = {"at once": 2**30, "by one": 0, "by two": 2 * 4 * 3 * T * T}
  monkeypatch.setattr(attention, "CACHED", most[request.param])


@pytest.mark.parametrize("how", MASKS.values(), ids=MASKS)
def test_it_is_a_mean_of_what_is_seen_weighted_by_its_score(how, way):
  with jax.enable_x64(True):
    got = jax.jit(lambda *x: attend(*x, **how))(Q, K, V)
  for b, i, n in np.ndindex(B, T, 3):
    rows = np.flatnonzero(seen(how)[b, i])
    weight = np.exp(K[b, rows, n] @ Q[b, i, n] / 2)  # sqrt(4)
    want = np.average(V[b, rows, n], axis=0, weights=weight)
    np.testing.assert_allclose(got[b, i, n], want, rtol=1e-12)


@pytest.mark.parametrize("how", MASKS.values(), ids=MASKS)
def test_some_examples_at_a_time_have_the_same_gradients(how, monkeypatch):
  def gradients(cached):
    monkeypatch.setattr(attention, "CACHED", cached)
    loss = lambda *x: (attend(*x, **how) ** 2).sum()
    return jax.jit(jax.grad(loss, (0, 1, 2)))(Q, K, V)

  with jax.enable_x64(True):
    for a, b in zip(gradients(0), gradients(2**30), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("parts", [1, 2, 4, 100])
def test_queries_may_be_in_any_number_of_parts(parts, monkeypatch):
  with jax.enable_x64(True):
    want = jax.jit(lambda *x: attend(*x, causal=True))(Q, K, V)
    monkeypatch.setattr(attention, "CACHED", 0)
    monkeypatch.setattr(attention, "PARTS", parts)
    got = jax.jit(lambda *x: attend(*x, causal=True))(Q, K, V)
  np.testing.assert_allclose(got, want, rtol=1e-12)


def test_scores_are_float32_or_wider():
  q, k, v = (jnp.asarray(x, jnp.bfloat16) for x in (Q, K, V))
  (line,) = (x for x in str(jax.make_jaxpr(attend)(q, k, v)).splitlines() if "= exp " in x)
  assert ":f32[" in line

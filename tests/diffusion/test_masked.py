"""The bound and the samplers where every conditional of a joint of three tokens is known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import fold_each
from gen_jax.diffusion.masked import RULES, bound, hidden_nll, hide, unmask
from gen_jax.models.autoregressive import Sampler, drawn

T, K = 3, 2
EVERY = np.array(list(itertools.product(range(K), repeat=T)))
SEEN = list(itertools.product(range(K + 1), repeat=T))  # K where it is hidden
JOINT = np.array([0.34, 0.06, 0.04, 0.16, 0.02, 0.12, 0.2, 0.06])


def conditionals(joint):
  """log p(x_i | what is seen of the joint), [(K+1)^T, T, K], by summing the joint."""
  table = np.zeros((len(SEEN), T, K))
  for row, seen in enumerate(SEEN):
    fits = [all(s in (K, v) for s, v in zip(seen, x, strict=True)) for x in EVERY]
    for i, k in itertools.product(range(T), range(K)):
      table[row, i, k] = joint[fits & (EVERY[:, i] == k)].sum() / joint[fits].sum()
  return np.log(table.clip(1e-30))


def predictor(table):
  """x [B, T] -> logits [B, T, K] of such a table, with any constant added."""
  place = jnp.array([(K + 1) ** i for i in range(T)][::-1])
  return lambda x: jnp.asarray(table)[(x * place).sum(-1)] + 3.0


EXACT = predictor(conditionals(JOINT))


def keys_of(n, seed=0):
  return fold_each(jax.random.key(seed), jnp.arange(n))


def test_every_set_of_a_size_is_hidden_alike():
  n = jnp.repeat(jnp.arange(4), 4000)
  hidden = np.asarray(jax.jit(hide, static_argnums=2)(keys_of(len(n)), n, T))
  np.testing.assert_array_equal(hidden.sum(1), n)
  for size in (1, 2):
    share = hidden[n == size].mean(0)
    np.testing.assert_allclose(share, size / T, atol=5 * (0.25 / 4000) ** 0.5)


def bounds(predict, x, counts, repeats=3000):
  """Estimates [len(x), repeats] of the bound at x [n, T]."""
  many = jnp.repeat(jnp.asarray(x), repeats, axis=0)
  run = jax.jit(lambda x, keys: bound(predict, x, keys, K, counts))
  return np.asarray(run(many, keys_of(len(many)))).reshape(len(x), repeats)


@pytest.mark.parametrize("counts", [0, 2])
def test_with_exact_conditionals_the_bound_is_minus_log_p(counts):
  found = bounds(EXACT, EVERY, counts)
  error = found.std(1) / found.shape[1] ** 0.5
  assert (error > 0.001).all()  # it is an expectation: one estimate is not exact
  assert (np.abs(found.mean(1) + np.log(JOINT)) < 5 * error).all()


def test_it_is_the_integral_over_t_of_independent_masks():
  """With conditionals of no joint; t by Gauss-Legendre quadrature, exact for polynomials."""
  table = np.random.default_rng(0).normal(size=(len(SEEN), T, K))
  predict, x = predictor(table), EVERY[[0, 5]]
  node, weight = np.polynomial.legendre.leggauss(8)
  t, weight = (node + 1) / 2, weight / 2
  of_hidden = jax.jit(lambda hidden: hidden_nll(predict, jnp.asarray(x), hidden, K))
  integral = np.zeros(len(x))
  for hidden in itertools.product([False, True], repeat=T):
    n = sum(hidden)
    nll = np.asarray(of_hidden(np.array([hidden] * len(x))))
    integral += nll * (weight / t * t**n * (1 - t) ** (T - n)).sum()
  found = bounds(predict, x, 0)
  error = found.std(1) / found.shape[1] ** 0.5
  assert (np.abs(found.mean(1) - integral) < 5 * error).all() and (error < 0.02).all()


def test_of_one_position_it_is_exact():
  logits = jnp.array([[0.3, -1.0, 2.0]])
  x = jnp.array([[0], [1], [2]])
  found = bound(lambda x: jnp.broadcast_to(logits, (3, 1, 3)), x, keys_of(3), 3)
  np.testing.assert_allclose(found, -jax.nn.log_softmax(logits[0]), rtol=1e-6)


def test_what_is_hidden_is_not_seen_and_what_is_known_costs_nothing():
  rng = np.random.default_rng(1)
  x, hidden = rng.integers(K, size=(64, T)), rng.random((64, T)) < 0.5
  shown = []

  def predict(x):
    shown.append(np.asarray(x))
    return jnp.zeros((*x.shape, K))

  for given in (x, np.where(hidden, 1 - x, x)):
    nll = hidden_nll(predict, jnp.asarray(given), jnp.asarray(hidden), K)
    np.testing.assert_allclose(nll, hidden.sum(1) * np.log(2), rtol=1e-6)
  np.testing.assert_array_equal(*shown)
  np.testing.assert_array_equal(shown[0], np.where(hidden, K, x))


def draws(rule, steps, temperature=0.0, x=None, hidden=None, n=20_000, frames=0):
  draw = lambda keys, i, logits: drawn(keys, i, logits, Sampler())
  x = jnp.zeros((n, T), jnp.int32) if x is None else x
  hidden = jnp.ones((n, T), bool) if hidden is None else hidden
  run = jax.jit(
    lambda keys, x, hidden: unmask(
      EXACT, keys, x, hidden, levels=K, steps=steps, rule=RULES[rule], temperature=temperature,
      draw=draw, frames=frames,
    )
  )  # fmt: skip
  return np.asarray(run(keys_of(len(x), 3), x, hidden))


def distance(x, joint=JOINT):
  """Total variation of draws [n, T] to a joint."""
  share = np.bincount(x @ K ** np.arange(T)[::-1], minlength=K**T) / len(x)
  return np.abs(share - joint).sum() / 2


def test_one_at_a_time_in_an_order_of_chance_is_exact_and_the_surest_first_is_not():
  assert distance(draws("ancestral", T)) < 0.015
  assert distance(draws("confidence", T)) > 0.15
  # Noise that outweighs confidence makes an order of chance of it.
  assert distance(draws("confidence", T, temperature=1e4)) < 0.015


def test_all_at_once_is_the_product_of_the_marginals():
  share = np.array([JOINT[EVERY[:, i] == 1].sum() for i in range(T)])
  product = np.where(EVERY == 1, share, 1 - share).prod(1)
  assert np.abs(product - JOINT).sum() / 2 > 0.15
  for rule in RULES:
    assert distance(draws(rule, 1), product) < 0.015


@pytest.mark.parametrize("rule", RULES)
def test_what_is_given_stays_and_the_rest_follows_its_conditional(rule):
  """With one position hidden nothing is left to choose."""
  x = np.tile(EVERY, (2500, 1))
  hidden = np.tile([False, True, False], (len(x), 1))
  made = draws(rule, T, x=jnp.asarray(x), hidden=jnp.asarray(hidden))
  np.testing.assert_array_equal(made[~hidden], x[~hidden])
  for first, last in itertools.product(range(K), repeat=2):
    same = (x[:, 0] == first) & (x[:, 2] == last)
    both = JOINT.reshape(K, K, K)[first, :, last]
    share = both[1] / both.sum()
    assert abs(made[same, 1].mean() - share) < 5 * (share * (1 - share) / same.sum()) ** 0.5


@pytest.mark.parametrize("rule,left", [("ancestral", [6, 4, 2, 0]), ("confidence", [7, 5, 3, 0])])
def test_a_film_shows_what_is_hidden_yet(rule, left):
  """8 s for s of 3/4, 1/2, 1/4; 8 cos of 22.5, 45 and 67.5 degrees: 7.39, 5.66, 3.06."""
  n, length = 5, 8
  draw = lambda keys, i, logits: drawn(keys, i, logits, Sampler())
  how = dict(levels=K, steps=4, rule=RULES[rule], temperature=1.0, draw=draw)
  predict = lambda x: jnp.zeros((*x.shape, K))
  x, hidden = jnp.zeros((n, length), jnp.int32), jnp.ones((n, length), bool)
  run = jax.jit(lambda frames: unmask(predict, keys_of(n), x, hidden, **how, frames=frames),
                static_argnums=0)  # fmt: skip
  film = np.asarray(run(4))
  np.testing.assert_array_equal((film == K).sum(-1), np.repeat([left], n, 0).T)
  for a, b in itertools.pairwise(film):
    np.testing.assert_array_equal(b[a != K], a[a != K])
  np.testing.assert_array_equal(film[-1], run(0))
  np.testing.assert_array_equal(run(2), film[[1, 3]])

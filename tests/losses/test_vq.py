"""Codes against a loop in NumPy, gradients against those of the decoder alone, averages against the
means of k-means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.losses import vq


@pytest.fixture
def z_and_codebook():
  rng = np.random.default_rng(0)
  real = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
  return real(3, 2, 4, 5), real(7, 5)


def test_nearest_is_the_nearest_entry(z_and_codebook):
  z, codebook = z_and_codebook
  distance = np.linalg.norm(np.asarray(z)[..., None, :] - np.asarray(codebook), axis=-1)
  code = vq.nearest(z, codebook)
  assert code.dtype == jnp.int32
  np.testing.assert_array_equal(code, distance.argmin(-1))


def test_an_entry_is_nearest_to_itself_and_the_first_of_two_equal_ones_is_taken(z_and_codebook):
  _, codebook = z_and_codebook
  np.testing.assert_array_equal(vq.nearest(codebook, codebook), np.arange(7))
  twice = jnp.concatenate([codebook, codebook])
  np.testing.assert_array_equal(vq.nearest(codebook[None], twice)[0], np.arange(7))


def test_straight_through_is_the_entry_and_its_gradient_reaches_the_vector_only(z_and_codebook):
  z, codebook = z_and_codebook
  decoder = lambda e: jnp.sin(e).sum() + (e**3).mean()

  def reconstruction(z, codebook):
    e = codebook[vq.nearest(z, codebook)]
    return decoder(vq.straight_through(z, e))

  e = codebook[vq.nearest(z, codebook)]
  value, (to_z, to_codebook) = jax.value_and_grad(reconstruction, (0, 1))(z, codebook)
  np.testing.assert_allclose(value, decoder(e), rtol=1e-5)
  np.testing.assert_allclose(to_z, jax.grad(decoder)(e), rtol=1e-4, atol=1e-6)
  np.testing.assert_array_equal(to_codebook, 0)


def test_each_loss_moves_its_own_side(z_and_codebook):
  z, codebook = z_and_codebook
  code = vq.nearest(z, codebook)

  def gradients(loss):
    return jax.grad(lambda z, table: loss(z, table[code]).sum(), (0, 1))(z, codebook)

  to_z, to_codebook = gradients(vq.commitment_loss)
  gap = np.asarray(z - codebook[code])
  np.testing.assert_allclose(to_z, 2 * gap / (2 * 4 * 5), rtol=1e-5)
  np.testing.assert_array_equal(to_codebook, 0)
  to_z, to_codebook = gradients(vq.codebook_loss)
  np.testing.assert_array_equal(to_z, 0)
  want = np.zeros((7, 5))
  np.add.at(want, np.asarray(code), -2 * gap / (2 * 4 * 5))
  np.testing.assert_allclose(to_codebook, want, rtol=1e-4, atol=1e-7)


def test_without_memory_the_average_is_the_mean_of_the_assigned_vectors(z_and_codebook):
  z, codebook = z_and_codebook
  code = vq.nearest(z, codebook)
  n, total = vq.assigned(z, code, 7)
  after, count = vq.average(codebook, jnp.full(7, 3.0), n, total, 0.0)
  for k in range(7):
    members = np.asarray(z)[np.asarray(code) == k]
    assert count[k] == len(members)
    want = members.mean(0) if len(members) else np.asarray(codebook)[k]
    np.testing.assert_allclose(after[k], want, rtol=1e-5, atol=1e-6)


def test_the_average_is_the_ratio_of_two_moving_sums():
  """After batches b = 1..T, e = m / N with N and m geometric sums over the batches."""
  rng = np.random.default_rng(1)
  codebook, count, decay = rng.normal(size=(4, 3)), np.full(4, 5.0), 0.9
  batches = [(rng.normal(size=(2, 6, 3)), rng.integers(0, 3, (2, 6))) for _ in range(12)]
  e, N = jnp.asarray(codebook, jnp.float32), jnp.asarray(count, jnp.float32)
  for z, code in batches:
    n, total = vq.assigned(jnp.asarray(z, jnp.float32), jnp.asarray(code), 4)
    e, N = vq.average(e, N, n, total, decay)
  weights = [(1 - decay) * decay ** (11 - t) for t in range(12)]
  for k in range(4):
    member = [code == k for _, code in batches]
    total_n = decay**12 * 5 + sum(w * m.sum() for w, m in zip(weights, member))
    sums = [z[m].sum(0) for (z, _), m in zip(batches, member)]
    total_m = decay**12 * 5 * codebook[k] + sum(w * s for w, s in zip(weights, sums))
    np.testing.assert_allclose(N[k], total_n, rtol=1e-5)
    np.testing.assert_allclose(e[k], total_m / total_n, rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(e[3], jnp.asarray(codebook, jnp.float32)[3])  # never used


def test_padded_examples_count_for_nothing(z_and_codebook):
  z, codebook = z_and_codebook
  mask = jnp.array([True, False, True])
  rest = jnp.concatenate([z[:1], z[2:]])
  want = vq.assigned(rest, vq.nearest(rest, codebook), 7)
  for garbage in (z[1], z[1] * 1e6, jnp.full_like(z[1], jnp.nan)):
    padded = z.at[1].set(garbage)
    got = vq.assigned(padded, vq.nearest(padded, codebook), 7, mask)
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_allclose(got[1], want[1], rtol=1e-6)


def test_entropy_of_even_use_of_some_codes():
  np.testing.assert_allclose(vq.entropy(jnp.array([3.0, 3, 0, 3, 3])), np.log(4), rtol=1e-6)
  np.testing.assert_allclose(vq.entropy(jnp.array([0.0, 9])), 0, atol=1e-6)


def test_choose_draws_in_proportion_without_replacement():
  weight = jnp.array([0.0, 1, 2, 3, 0])
  keys = jax.random.split(jax.random.key(0), 4000)
  drawn = np.asarray(jax.vmap(lambda key: vq.choose(key, weight, 2))(keys))
  assert (drawn[:, 0] != drawn[:, 1]).all() and set(drawn.flat) == {1, 2, 3}
  # Standard error at most 0.008.
  np.testing.assert_allclose([(drawn[:, 0] == i).mean() for i in (1, 2, 3)], [1/6, 1/3, 1/2],
                             atol=0.03)  # fmt: skip
  # Sequential draws: P({2, 3}) = 1/3 * 3/4 + 1/2 * 2/3.
  np.testing.assert_allclose((drawn != 1).all(1).mean(), 7 / 12, atol=0.03)
  assert vq.choose(jax.random.key(0), weight, 8).shape == (8,)


def test_restart_sets_dead_entries_to_distinct_far_vectors_that_count(z_and_codebook):
  _, codebook = z_and_codebook
  z = jnp.concatenate([codebook, codebook[:3] + 50.0, codebook[:1] + 1e6])
  use = jnp.arange(11) < 10
  dead = jnp.array([False, True, False, False, True, False, True])
  for seed in range(5):
    after = np.asarray(vq.restart(jax.random.key(seed), codebook, dead, z, use))
    np.testing.assert_array_equal(after[~np.asarray(dead)], codebook[~dead])
    # All other vectors lie on entries, at distance 0.
    assert {tuple(row) for row in after[np.asarray(dead)]} == {
      tuple(r) for r in np.asarray(z[7:10])
    }

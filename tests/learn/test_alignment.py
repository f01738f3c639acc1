"""Dictionaries from sentences of either language, part by part: closed forms and plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import ibm1
from gen_jax.learn import alignment, cooccurrence, mining, spelling
from gen_jax.models import dictionary

FIRST = 4
ALL = lambda n: np.ones(n, bool)


@pytest.fixture
def rng():
  return np.random.default_rng(0)


def unit(rng, *shape):
  x = rng.normal(size=shape)
  return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def test_procrustes_finds_a_rotation_from_pairs(rng):
  x = rng.normal(size=(30, 6))
  turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
  with jax.enable_x64(True):
    # The last pairs are wrong, and count nothing.
    y = np.concatenate([x[:20] @ turn, rng.normal(size=(10, 6))])
    u, v = alignment.procrustes(jnp.asarray(x), jnp.asarray(y), jnp.asarray(np.arange(30) < 20.0))
    np.testing.assert_allclose(u @ v.T, turn, atol=1e-10)


def test_pairs_say_nothing_of_directions_they_do_not_have(rng):
  x = rng.normal(size=(3, 6)).astype(np.float32)
  u, v = alignment.procrustes(x, x, jnp.ones(3))
  np.testing.assert_allclose(u @ v.T, np.linalg.pinv(x) @ x, atol=1e-5)
  assert (np.asarray(u)[:, 3:] == 0).all() and (np.asarray(v)[:, 3:] == 0).all()


def test_csls_is_that_of_a_plain_loop(rng):
  x, y = unit(rng, 7, 4), unit(rng, 9, 4)
  known = np.arange(9) != 3
  found = alignment.csls(x, y, 3, (ALL(7), known))
  for i in range(7):
    for j in range(9):
      of_x = sorted((x[i] @ y[k] for k in range(9) if known[k]), reverse=True)[:3]
      of_y = sorted((x[k] @ y[j] for k in range(7)), reverse=True)[:3]
      wanted = 2 * x[i] @ y[j] - np.mean(of_x) - np.mean(of_y)
      assert found[i, j] == pytest.approx(wanted, abs=1e-5)


def test_mutual_pairs_are_one_to_one():
  score = jnp.array([[3.0, 1, 9], [2, 2, 0], [4, 0, 0]])
  partner, sure = alignment.mutual(score, (ALL(3), np.array([True, True, False])))
  np.testing.assert_array_equal(partner, [0, 0, 0])
  np.testing.assert_array_equal(sure, [False, False, True])
  # Words alike but for rounding are equal.
  for noise in (-1e-6, 1e-6):
    alike = jnp.array([[0.3, 0.3 + noise], [0.3 + noise, 0.3]])
    partner, sure = alignment.mutual(alike, (ALL(2), ALL(2)))
    np.testing.assert_array_equal((partner, sure), [[0, 0], [1, 0]])


def test_counts_are_those_of_a_plain_loop_and_sentences_have_no_order(rng):
  tokens = rng.integers(0, 8, size=(6, 7))
  found = cooccurrence.cooccurrences(jnp.asarray(tokens), 8, 3, FIRST, jnp.float32)
  wanted = np.zeros((8, 8))
  for row in tokens:
    for i in range(7):
      for j in range(max(0, i - 3), min(7, i + 4)):
        if i != j and min(row[i], row[j]) >= FIRST:
          wanted[row[i], row[j]] += 1 / abs(i - j)
  np.testing.assert_allclose(found, wanted, rtol=1e-6)
  other = cooccurrence.cooccurrences(jnp.asarray(tokens[::-1]), 8, 3, FIRST, jnp.float32)
  np.testing.assert_allclose(found, other, rtol=1e-6)


def test_words_that_are_independent_have_no_mutual_information(rng):
  often = rng.uniform(1, 9, size=5)
  independent = jnp.asarray(np.outer(often, often))
  np.testing.assert_allclose(cooccurrence.ppmi(independent, 1.0), 0, atol=1e-5)
  # Words that only ever stand with themselves: log 1 / p.
  alone = jnp.diag(jnp.array([1.0, 2, 5]))
  wanted = np.diag(np.log(8 / np.array([1.0, 2, 5])))
  np.testing.assert_allclose(cooccurrence.ppmi(alone, 1.0), wanted, rtol=1e-5)


@pytest.mark.parametrize("exact", [10, 1000])
def test_vectors_are_the_singular_value_decomposition_s(rng, monkeypatch, exact):
  monkeypatch.setattr(cooccurrence, "EXACT", exact)
  matrix = rng.normal(size=(80, 3)) @ rng.normal(size=(3, 80))
  found = cooccurrence.vectors(jnp.asarray(matrix, jnp.float32), 5, jax.random.key(0))
  u, s, _ = np.linalg.svd(matrix)
  wanted = u[:, :3] * np.sqrt(s[:3])
  np.testing.assert_allclose(found @ found.T, wanted @ wanted.T, rtol=1e-3, atol=1e-3)
  assert (np.asarray(found)[:, 3:] == 0).all()


def test_marks_by_hand():
  tokens = jnp.array([[1, 4, 5, 6, 2, 0], [1, 4, 4, 2, 0, 0]])
  found = cooccurrence.marks(tokens, 8, FIRST, jnp.float32)
  np.testing.assert_allclose(np.exp(found.frequency[4:7]), [3 / 5, 1 / 5, 1 / 5], rtol=1e-5)
  # Word 4 stands at 0, 0 and 1, twice first and once last.
  deviation = np.std([0, 0, 1])
  wanted = [1 / 3, deviation, np.log(2.5 / 4), np.log(1.5 / 4)]
  np.testing.assert_allclose(found.place[4], wanted, rtol=1e-5)
  np.testing.assert_allclose(found.place[5, :2], [0.5, 0], atol=1e-3)
  np.testing.assert_allclose(found.place[7, :2], [0.5, 0])


def test_model_1_never_loses_likelihood_and_finds_a_dictionary(rng):
  shift = lambda e: np.where(e >= FIRST, (e - FIRST + 3) % 9 + FIRST, e)
  e = np.where(np.arange(6) < rng.integers(2, 7, size=(60, 1)), rng.integers(4, 13, (60, 6)), 0)
  f = shift(e)[:, ::-1]
  weight = np.ones(60, np.float32)
  t, before = jnp.full((13, 13), 1 / 13, jnp.float32), -np.inf
  for _ in range(8):
    t, log_p = ibm1.step(t, e, f, weight, FIRST)
    assert float(log_p.sum()) >= before - 1e-3
    before = float(log_p.sum())
  np.testing.assert_array_equal(t[FIRST:].argmax(1), shift(np.arange(FIRST, 13)))
  np.testing.assert_allclose(t.sum(1), 1, rtol=1e-5)
  # Pairs that weigh nothing are not there; the order of pairs does not count.
  most = ibm1.fit(e, f, np.r_[np.ones(30), np.zeros(30)].astype(np.float32), (13, 13), FIRST, 3)
  half = ibm1.fit(e[:30][::-1], f[:30][::-1], weight[:30], (13, 13), FIRST, 3)
  np.testing.assert_allclose(most, half, atol=1e-5)
  # One sentence of one word each: half of it comes from the word that stands for none.
  e, f, fair = jnp.array([[4]]), jnp.array([[5]]), jnp.full((6, 6), 0.25)
  one, log_p = ibm1.step(fair, e, f, jnp.ones(1), FIRST)
  assert float(one[4, 5]) == 1 and float(log_p[0]) == pytest.approx(np.log(0.5))


def test_mining_finds_the_counterparts(rng, monkeypatch):
  monkeypatch.setattr(mining, "AT_ONCE", 16)
  e = rng.integers(4, 24, size=(50, 5))
  order = rng.permutation(50)
  f = ((e - 4 + 7) % 20 + 4)[order]
  score = jnp.zeros((24, 24)).at[jnp.arange(4, 24), (jnp.arange(20) + 7) % 20 + 4].set(5.0)
  found = mining.mine(jnp.asarray(e), jnp.asarray(f), score, FIRST, 30)
  assert found.first.shape == (30,) and found.mutual.mean() > 0.9
  same = np.sort((e[found.first] - 4 + 7) % 20 + 4, 1) == np.sort(f[found.second], 1)
  assert same.all(1).mean() > 0.9
  np.testing.assert_allclose(np.asarray(found.similarity)[same.all(1)], 1, atol=0.05)
  # log(N / sentences with the word), a word twice in a sentence once.
  twice = jnp.array([[4, 4, 5], [5, 6, 0], [5, 0, 0]])
  np.testing.assert_allclose(
    mining.idf(twice, 8, FIRST, jnp.float32)[3:], [0, np.log(3), 0, np.log(3), 0], rtol=1e-5
  )


def test_spelling():
  found = spelling.alike(["volleyball", "sand", "2"], ["volley-ball", "sable", "2", "sand"])
  cosine = np.zeros((3, 4))
  cosine[found.rows, found.columns] = found.cosine
  assert cosine[1, 3] == pytest.approx(1) and cosine[2, 2] == pytest.approx(1)
  assert cosine[0].argmax() == 0 and 0.5 < cosine[0, 0] < 1
  assert 0 < cosine[1, 1] < 0.5 and cosine[2, 0] == 0
  # "2" is ^2, 2$ and ^2$.
  assert spelling.ngrams("2") == {"^2": 1, "2$": 1, "^2$": 1}


def test_the_rounds_find_a_language_that_is_another_renamed(rng):
  """Words that follow each other by rule, each of a frequency of its own."""
  how = dictionary.Dictionary(
    spelling=0.0, dim=8, rounds=6, start=4, minings=1, pairs=60, steps=3, least=1
  )
  chain = rng.dirichlet(np.full(12, 0.3), size=12)

  def sentences(n):
    rows = np.zeros((n, 10), int)
    rows[:, 0] = 1
    rows[:, 1] = rng.choice(12, n, p=np.arange(1, 13) / 78)
    for i in range(2, 9):
      rows[:, i] = [rng.choice(12, p=chain[k]) for k in rows[:, i - 1]]
    rows[:, 1:9] += FIRST
    rows[:, 9] = 2
    return rows

  renamed = np.r_[np.arange(FIRST), FIRST + rng.permutation(12)]
  x, y = sentences(600), renamed[sentences(600)]
  find = jax.jit(
    lambda x, y: dictionary.learnt(x, y, None, (16, 16), how, jnp.float32, jax.random.key(0))
  )
  found = find(x, y)
  assert (np.asarray(found["forward"]) == renamed).mean() > 0.9
  sure = np.flatnonzero(found["sure"])
  assert len(sure) > 8
  np.testing.assert_array_equal(np.asarray(found["backward"])[found["forward"][sure]], sure)
  # The order of sentences does not count.
  np.testing.assert_array_equal(find(x[::-1], y[::-1])["forward"], found["forward"])

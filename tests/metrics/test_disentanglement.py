"""Scores of codes that are the factors, that mix them, and that know nothing of them."""

import numpy as np
import pytest

from gen_jax.core import UserError
from gen_jax.metrics import disentanglement as d

RNG = np.random.default_rng(0)
FACTORS = np.stack(np.meshgrid(np.arange(4), np.arange(3), np.arange(5)), -1).reshape(-1, 3)
FACTORS = np.tile(FACTORS, (12, 1))
ONE_EACH = FACTORS[:, [2, 0, 1]] * [1.0, -3.0, 0.5]
NOISE = RNG.standard_normal(FACTORS.shape)
ROTATED = ONE_EACH / ONE_EACH.std(0) @ np.linalg.qr(RNG.standard_normal((3, 3)))[0]


def test_mutual_information_of_known_tables():
  a = np.repeat([0, 1], 50)
  assert d.mutual_information(a, a) == pytest.approx(np.log(2))
  assert d.mutual_information(a, np.tile([0, 1], 50)) == pytest.approx(0, abs=1e-12)
  # A channel that flips one in five: log 2 - H(1/5).
  b = a.copy()
  b[:10], b[50:60] = 1, 0
  flip = 0.2 * np.log(5) + 0.8 * np.log(1.25)
  assert d.mutual_information(a, b) == pytest.approx(np.log(2) - flip)


def test_gap():
  assert d.mutual_information_gap(ONE_EACH, FACTORS) == pytest.approx(1)
  twice = np.concatenate([ONE_EACH, ONE_EACH], 1)
  assert d.mutual_information_gap(twice, FACTORS) == pytest.approx(0, abs=1e-12)
  # Factor 0 alone stands twice: its gap is 0, the others' are 1.
  again = np.concatenate([ONE_EACH, FACTORS[:, :1]], 1)
  assert d.mutual_information_gap(again, FACTORS) == pytest.approx(2 / 3)
  assert d.mutual_information_gap(NOISE, FACTORS) < 0.02


def test_dci():
  half = len(FACTORS) // 2

  def found(codes):
    return d.dci(codes[:half], FACTORS[:half], codes[half:], FACTORS[half:])

  assert found(ONE_EACH) == pytest.approx(dict.fromkeys(found(ONE_EACH), 1), abs=1e-6)
  mixed = found(ROTATED)
  assert mixed["dci_informativeness"] > 0.95
  assert mixed["dci_disentanglement"] < 0.6 and mixed["dci_completeness"] < 0.6
  assert found(NOISE)["dci_informativeness"] < 0.5


@pytest.mark.parametrize("score", [d.beta_vae_score, d.factor_vae_score])
def test_interventions(score):
  of = lambda codes: score(codes, FACTORS, np.random.default_rng(1))
  assert of(ONE_EACH) == 1
  assert of(NOISE) < 0.5  # one in three by chance
  with_dead = np.concatenate([ONE_EACH, 1e-6 * NOISE], 1)
  assert of(with_dead) > 0.99


def test_a_vote_cannot_tell_two_factors_that_two_latents_share_evenly():
  a, b = FACTORS[:, 0] / FACTORS[:, 0].std(), FACTORS[:, 2] / FACTORS[:, 2].std()
  shared = np.stack([a + b, a - b, FACTORS[:, 1]], 1)
  found = d.factor_vae_score(shared, FACTORS, np.random.default_rng(1))
  assert 0.5 < found < 0.85  # one factor in three is sure, the others are guessed


@pytest.fixture(scope="module")
def scores():
  """(codes, factors) -> all the figures."""
  order = RNG.permutation(len(FACTORS))

  def of(codes, factors=FACTORS):
    codes, factors = codes[order], factors[order]
    half = len(codes) // 2
    return d.dci(codes[:half], factors[:half], codes[half:], factors[half:]) | {
      "mig": d.mutual_information_gap(codes, factors),
      "beta": d.beta_vae_score(codes, factors, np.random.default_rng(1)),
      "factor": d.factor_vae_score(codes, factors, np.random.default_rng(1)),
    }

  return of


@pytest.mark.parametrize("scale", [[100, 1, 1], [1e-4, 1, 1e4], [1e-3, 1e-3, 1e-3]])
def test_no_score_depends_on_the_unit_of_a_latent(scores, scale):
  whole = scores(ONE_EACH * scale)
  assert whole == pytest.approx(dict.fromkeys(whole, 1), abs=1e-6)
  for codes in (ROTATED, ONE_EACH + NOISE):
    assert scores(codes * scale) == pytest.approx(scores(codes), abs=0.05)


def test_constant_codes_have_the_scores_of_a_guess(scores):
  for constant in (np.zeros((len(FACTORS), 2)), np.full((len(FACTORS), 3), 7.1)):
    found = scores(constant)
    assert all(np.isfinite(v) for v in found.values())
    zero = ("dci_disentanglement", "dci_completeness", "mig", "factor")
    assert [found[name] for name in zero] == pytest.approx([0] * 4, abs=1e-6)
    assert found["beta"] < 0.45 and found["dci_informativeness"] < 0.5
  # In float32 a constant is not quite one.
  rounded = np.float32(1e3) * (1 + 1e-7 * RNG.standard_normal((len(FACTORS), 2)))
  assert scores(rounded)["factor"] == 0


def test_a_constant_latent_or_factor_changes_nothing(scores):
  still = np.concatenate([ONE_EACH, np.full((len(FACTORS), 1), 3.0)], 1)
  assert scores(still) == pytest.approx(dict.fromkeys(scores(still), 1), abs=1e-6)
  known = np.concatenate([FACTORS, np.full((len(FACTORS), 1), 2)], 1)
  assert scores(ONE_EACH, known) == scores(ONE_EACH)


def test_a_single_latent(scores):
  found = scores(ONE_EACH[:, :1])
  assert all(np.isfinite(v) for v in found.values())
  assert found["dci_completeness"] == pytest.approx(1) and found["mig"] == 0


def test_what_has_no_score_is_refused_in_one_line():
  still = np.zeros_like(FACTORS)
  one = np.concatenate([FACTORS[:, :1], still], 1)
  rng = np.random.default_rng(0)
  for score in (
    lambda f: d.dci(ONE_EACH, f, ONE_EACH, f),
    lambda f: d.beta_vae_score(ONE_EACH, f, rng),
    lambda f: d.factor_vae_score(ONE_EACH, f, rng),
  ):
    with pytest.raises(UserError, match="needs 2 factors that vary, and 1 of 4 do"):
      score(one)
  assert d.mutual_information_gap(FACTORS * 1.0, one) == pytest.approx(1)
  with pytest.raises(UserError, match="needs 1 factors that vary, and 0 of 3 do"):
    d.mutual_information_gap(ONE_EACH, still)
  with pytest.raises(UserError, match="the codes hold NaN"):
    d.mutual_information_gap(ONE_EACH * np.nan, FACTORS)

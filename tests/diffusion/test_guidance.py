"""Guidance against the densities that it moves between, and thresholds against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import UserError
from gen_jax.diffusion.algebra import convert
from gen_jax.diffusion.bound import clip_x0
from gen_jax.diffusion.guidance import Guided, across, check, counts, rescaled, steered
from gen_jax.diffusion.path import PATHS

MEANS, STD = np.array([[-1.0, 0.0, 0.5], [1.0, 0.5, 0.0]]), 0.4  # of two classes of vectors
NOTHING = 2


def log_p(x, level, label):
  """log p_t(x | label) up to a constant, of their even mixture where the label is NOTHING."""
  variance = (level.alpha * STD) ** 2 + level.sigma**2
  each = -((x - level.alpha * MEANS) ** 2).sum(-1) / (2 * variance)
  return jnp.where(label == NOTHING, jax.nn.logsumexp(each), each[jnp.minimum(label, 1)])


def exact(label):
  """The denoiser of that mixture, by its score."""
  label = jnp.asarray(label)

  def denoise(x, level):
    score = jax.vmap(lambda x, k: jax.grad(log_p)(x, level, k))(x, label)
    return convert(score, "score", x, level.alpha, level.sigma)

  return denoise


LABEL = np.array([0, 1, 1, 0])


@pytest.fixture(autouse=True)
def double():
  with jax.enable_x64(True):
    yield


@pytest.fixture
def x():
  return jax.random.normal(jax.random.key(0), (4, 3), jnp.float64)


def level_at(t):
  return PATHS["vp"]().level(jnp.asarray(t, jnp.float64))


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_the_score_is_that_of_the_density_to_the_power_over_the_mixtures(x, t):
  level, w = level_at(t), 1.7
  p = steered(exact, LABEL, NOTHING, Guided(guidance=w))(x, level)
  tilted = lambda x, k: (1 + w) * log_p(x, level, k) - w * log_p(x, level, NOTHING)
  np.testing.assert_allclose(p.score, jax.vmap(jax.grad(tilted))(x, LABEL), atol=1e-10)
  np.testing.assert_allclose(level.alpha * p.x0 + level.sigma * p.eps, x, atol=1e-12)


def test_without_w_or_condition_nothing_is_wrapped():
  of = lambda cond: ("asked", cond)
  assert steered(of, LABEL, NOTHING, Guided()) == ("asked", LABEL)
  assert steered(of, None, NOTHING, Guided(guidance=1.0)) == ("asked", None)


def test_an_interval_guides_inside_itself_alone(x):
  ratio = lambda level: float(level.sigma / level.alpha)
  plain = steered(exact, LABEL, NOTHING, Guided())
  full = steered(exact, LABEL, NOTHING, Guided(guidance=1.7))
  ends = (ratio(level_at(0.2)), ratio(level_at(0.6)))
  part = steered(exact, LABEL, NOTHING, Guided(guidance=1.7, guidance_interval=ends))
  for t, want in ((0.1, plain), (0.3, full), (0.59, full), (0.7, plain)):
    np.testing.assert_allclose(part(x, level_at(t)).x0, want(x, level_at(t)).x0, atol=1e-12)
  assert not np.allclose(plain(x, level_at(0.3)).x0, full(x, level_at(0.3)).x0)
  everywhere = steered(exact, LABEL, NOTHING, Guided(guidance=1.7, guidance_interval=(0.0, 1e9)))
  a, b = (denoise(x, level_at(0.1)).x0 for denoise in (everywhere, full))
  np.testing.assert_allclose(a, b, atol=1e-12)


def test_the_lower_end_is_outside_and_the_upper_inside():
  guide = Guided(guidance=1.0, guidance_interval=(0.5, 2.0))
  log_snr = -2 * np.log(np.array([0.5, 0.501, 1.0, 2.0, 2.001]))
  assert counts(guide, log_snr).tolist() == [False, True, True, True, False]
  assert not counts(Guided(), log_snr).any()
  assert counts(Guided(guidance=1.0), np.array([-np.inf, 0.0, 20.0])).all()


def test_rescaling_puts_the_contrast_of_each_example_back(x):
  level = level_at(0.5)
  plain = steered(exact, LABEL, NOTHING, Guided())(x, level)
  pushed = steered(exact, LABEL, NOTHING, Guided(guidance=3.0))(x, level)
  std = lambda p: np.asarray(p.x0).std(1)
  whole = rescaled(pushed, plain, x, level, 1.0)
  np.testing.assert_allclose(std(whole), std(plain), rtol=1e-10)
  half = rescaled(pushed, plain, x, level, 0.5)
  np.testing.assert_allclose(std(half), (std(plain) + std(pushed)) / 2, rtol=1e-10)
  np.testing.assert_allclose(level.alpha * half.x0 + level.sigma * half.eps, x, atol=1e-12)
  got = steered(exact, LABEL, NOTHING, Guided(guidance=3.0, guidance_rescale=0.5))(x, level)
  np.testing.assert_allclose(got.x0, half.x0, atol=1e-12)


def test_what_is_out_of_range_is_clipped_or_shrunk_by_its_own_quantile(x):
  level = level_at(0.5)
  p = convert(3 * x, "x0", x, level.alpha, level.sigma)
  still = clip_x0(p, x, level.alpha, level.sigma)
  np.testing.assert_array_equal(still.x0, np.clip(3 * x, -1, 1))
  moved = clip_x0(p, x, level.alpha, level.sigma, 0.6)
  s = np.maximum(np.quantile(np.abs(3 * np.asarray(x)), 0.6, axis=1, keepdims=True), 1)
  np.testing.assert_allclose(moved.x0, np.clip(3 * x, -s, s) / s, atol=1e-12)
  small = convert(0.1 * x, "x0", x, level.alpha, level.sigma)
  np.testing.assert_allclose(
    clip_x0(small, x, level.alpha, level.sigma, 0.6).x0, 0.1 * x, atol=1e-12
  )


def test_a_guide_takes_the_place_of_the_model_without_condition(x):
  level, w = level_at(0.5), 1.7
  weak = lambda x, level: exact(jnp.full(4, NOTHING))(x, level)
  own = steered(exact, LABEL, NOTHING, Guided(guidance=w))
  by_guide = steered(exact, LABEL, NOTHING, Guided(guidance=w, guide="run"), weak)
  np.testing.assert_allclose(by_guide(x, level).x0, own(x, level).x0, atol=1e-12)
  itself = steered(exact, LABEL, NOTHING, Guided(guidance=w, guide="run"), exact(LABEL))
  np.testing.assert_allclose(itself(x, level).x0, exact(LABEL)(x, level).x0, atol=1e-12)


@pytest.mark.parametrize("name", ["linear", "cosine", "sub_vp", "ve", "edm"])
def test_what_a_network_of_another_path_says_is_the_same(x, name):
  level = level_at(0.5)
  asked = across(exact(LABEL), PATHS[name]())(x, level)
  np.testing.assert_allclose(asked.x0, exact(LABEL)(x, level).x0, atol=1e-6)
  np.testing.assert_allclose(level.alpha * asked.x0 + level.sigma * asked.eps, x, atol=1e-10)


@pytest.mark.parametrize(
  "guide,conditional,message",
  [
    (dict(guidance=1.0), False, "sample.guidance needs model.conditional=True"),
    (dict(guidance_interval=(0.1, 2.0)), True, "guidance_interval is of sample.guidance"),
    (dict(guidance_rescale=0.7), True, "guidance_rescale is of sample.guidance"),
    (dict(guide="runs/weak"), True, "guide is of sample.guidance"),
    (dict(guidance=1.0, guidance_interval=(2.0, 0.1)), True, "the lower first"),
    (dict(guidance=1.0, guidance_interval=(2.0,)), True, "two values"),
  ],
)
def test_refusals(guide, conditional, message):
  with pytest.raises(UserError, match=message):
    check(Guided(**guide), conditional, "model.conditional=True")

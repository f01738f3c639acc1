"""Modes of a model that is only what they need of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Model, Spec, UserError
from gen_jax.data import ArraySplit, Source
from gen_jax.report import uses
from gen_jax.run import pictures
from tests.report import made


def run_with(encode, workdir):
  """A finished run of 8 examples 0..7 whose codes are encode(x)."""
  split = ArraySplit({"x": np.arange(8, dtype=np.float32)[:, None]})
  source = Source("numbers", Spec.of((1,)), {"test": split})
  model = Model(None, None, None, encode=lambda states, x, keys, cond: encode(x))
  return uses.Use(made.trained(model, source, workdir=workdir), 1)


def test_use_of_codes_counts_them_over_all_positions(tmp_path, monkeypatch):
  drawn = []
  monkeypatch.setattr(pictures, "shares", lambda path, share, what: drawn.append(share))
  # Two codes an example: its number modulo 3, and 7.
  encode = lambda x: jnp.concatenate([x.astype(int) % 3, jnp.full(x.shape, 7)], axis=1)
  said = uses.use_of_codes(run_with(encode, tmp_path))
  np.testing.assert_allclose(drawn[0], [8 / 16, 3 / 16, 3 / 16, 2 / 16])
  assert "4 codes in use, the first 50.0%" in said
  with pytest.raises(UserError, match="discrete codes"):
    uses.use_of_codes(run_with(lambda x: x, tmp_path))


def test_shares_are_drawn_as_bars(tmp_path):
  even, uneven = (
    pictures.shares(tmp_path / "a.png", np.array(share), "codes")
    for share in ([0.25] * 4, [0.7, 0.1, 0.1, 0.1])
  )
  assert even.shape == (300, 800, 3)
  blue = lambda image: ((image[..., 2] > 150) & (image[..., 0] < 60)).sum(0)
  heights = lambda image: blue(image)[[150, 350, 550, 700]]
  assert np.ptp(heights(even)) <= 1
  high, *low = heights(uneven)
  assert high / low[0] == pytest.approx(7, rel=0.1)


def test_styles_are_crossed_by_row_and_column():
  left, top = np.arange(6).reshape(2, 3), 10 * np.arange(1, 10).reshape(3, 3)
  crossed = uses.styles.crossed(left, top, np.array([1]))
  expected = [[0, 20, 2], [0, 50, 2], [0, 80, 2], [3, 20, 5], [3, 50, 5], [3, 80, 5]]
  np.testing.assert_array_equal(crossed, expected)


def test_a_model_without_codes_of_examples_is_interpolated_between_draws(tmp_path, monkeypatch):
  drawn = {}
  monkeypatch.setattr(pictures, "show", lambda path, x, *args: drawn.update({path.stem: x}))
  run = run_with(None, tmp_path)
  decode = lambda states, code, cond: code.reshape(len(code), -1)
  styles = lambda states, code, cond: code[:, None] ** 2
  prior = lambda states, keys, cond: jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys)
  run.model = Model(None, None, None, decode=decode)
  with pytest.raises(UserError, match="needs a model with encode"):
    uses.interpolate(run)
  run.model = Model(None, None, None, prior=prior, decode=decode, styles=styles)
  uses.interpolate(run)
  assert drawn.keys() == {"linear", "spherical", "styles"}
  line, sphere, styled = (drawn[name] for name in ("linear", "spherical", "styles"))
  np.testing.assert_allclose(line, np.linspace(line[0], line[-1], 10), atol=1e-6)
  np.testing.assert_allclose(sphere[[0, -1]], line[[0, -1]], rtol=1e-5)
  norms = np.linalg.norm(sphere, axis=1)
  np.testing.assert_allclose(norms, np.linspace(norms[0], norms[-1], 10), rtol=1e-5)
  np.testing.assert_allclose(styled, np.linspace(line[0] ** 2, line[-1] ** 2, 10), atol=1e-5)

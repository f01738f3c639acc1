"""Modes of a model that is only what they need of it."""

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

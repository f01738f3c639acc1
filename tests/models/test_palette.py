"""Colour segmentation against scikit-learn on the pixels, and pictures of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import cluster

from gen_jax.colour import rgb_to_lab
from gen_jax.core import Spec, UserError
from gen_jax.models import palette
from tests.models.fitting import batches, fit

SPEC = Spec.of((8, 8, 3), 256)
TONES = np.array([[200, 30, 30], [30, 160, 40], [240, 240, 230]])


def pictures(n=2, height=8, width=8):
  """Three tones, column by column, under noise; and which is where [H, W]."""
  which = np.broadcast_to(np.arange(width) * 3 // width, (height, width))
  noise = np.random.default_rng(0).normal(0, 4, (n, height, width, 3))
  return (TONES[which] + noise).clip(0, 255).astype(np.uint8), which


def lab(x):
  return np.asarray(rgb_to_lab(jnp.asarray(x) / 255)).reshape(-1, 3).astype(np.float64)


@pytest.mark.parametrize("method", ["meanshift", "kmeans"])
def test_a_picture_is_segmented_as_scikit_learn_segments_its_pixels(method):
  x, _ = pictures()
  program = palette.build(SPEC, method=method, colours=3)
  state, _ = fit(program.stages[0].model, batches(2, x=x), 3)
  own, which = pictures(1, 6, 12)
  logits = np.asarray(jax.jit(program.model.predict)([state], own))[0]
  pixels = lab(own[0])
  if method == "meanshift":
    found = cluster.MeanShift(bandwidth=12.0).fit(pixels)
  else:
    start = np.asarray(state["params"]["centres"], np.float64)[:, :3]
    found = cluster.KMeans(3, init=start, n_init=1, tol=0).fit(pixels)
  assert logits.shape == (6, 12, 3)
  np.testing.assert_array_equal(logits.argmax(-1).reshape(-1), found.labels_)
  far = ((pixels[:, None] - found.cluster_centers_) ** 2).sum(-1)
  np.testing.assert_allclose(-2 * logits.reshape(-1, 3), far, rtol=1e-2, atol=0.05)
  for kind in range(3):
    assert len(np.unique(found.labels_.reshape(6, 12)[which == kind])) == 1
  painted = np.asarray(jax.jit(program.model.transform)([state], own))[0]
  assert painted.dtype == np.uint8 and len(np.unique(painted.reshape(-1, 3), axis=0)) == 3
  assert np.abs(painted - TONES[which]).max() < 12


def test_colours_of_all_pictures_are_learnt_and_used_where_none_are_its_own():
  x, _ = pictures(3)
  program = palette.build(SPEC, colours=5, own=0)
  state, metrics = fit(program.stages[0].model, batches(2, x=x), 6)
  assert metrics["colours"][-1] == 3
  oracle = cluster.MeanShift(bandwidth=12.0).fit(lab(x))
  ours = np.asarray(state["params"]["centres"])[:3, :3]
  np.testing.assert_allclose(ours[ours[:, 0].argsort()],
                             oracle.cluster_centers_[oracle.cluster_centers_[:, 0].argsort()],
                             atol=0.3)  # fmt: skip
  shown = np.asarray(jax.jit(program.model.pictures)([state])["colours"])
  assert shown.shape == (5, 8, 8, 3) and (shown[3:] == shown[0]).all()
  painted = np.asarray(jax.jit(program.model.transform)([state], x[:1]))
  assert {tuple(c) for c in painted.reshape(-1, 3)} == {tuple(c) for c in shown[:3, 0, 0]}


def test_place_tells_regions_of_one_colour_apart():
  x = np.zeros((1, 8, 24, 3), np.uint8)
  x[:, :, 8:16] = 255
  parts = []
  for place in (0.0, 100.0):
    program = palette.build(SPEC, place=place, bandwidth=35.0)
    state = jax.jit(program.stages[0].model.init)(jax.random.key(0), {"x": x[:, :, :8]})
    parts.append(np.asarray(jax.jit(program.model.predict)([state], x)).argmax(-1)[0])
  assert len(np.unique(parts[0])) == 2 and parts[0][0, 0] == parts[0][0, -1]
  assert parts[1][0, 0] != parts[1][0, -1]


def test_a_grid_is_even_and_no_larger_than_it_may_be():
  for height, width, most in ((8, 8, 64), (30, 50, 200), (7, 3, 1), (1000, 700, 8192)):
    grid = palette.grid_of(height, width, most)
    assert 0 < len(grid) <= most and grid.max() < height * width
    rows, columns = np.unique(grid // width), np.unique(grid % width)
    assert len(rows) * len(columns) == len(grid) or len(grid) == most


def test_refusals():
  with pytest.raises(UserError, match="of RGB images"):
    palette.build(Spec.of((8, 8, 1), 17))
  with pytest.raises(UserError, match="model.bandwidth must be positive"):
    palette.build(SPEC, bandwidth=0.0)

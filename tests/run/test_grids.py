"""The picture that a stage leaves: examples above what is made of them, whole rows of each."""

import numpy as np

from gen_jax.core import Field, Model, Spec
from gen_jax.data import SPECIAL, ArraySplit, Source
from gen_jax.run import grids
from tests.report import made

RNG = np.random.default_rng(0)
NOTHING = Model(init=None, update=None, evaluate=None)


def grid_of(model, spec, n, **fields):
  x = RNG.integers(0, 256, size=(n, *spec.shape)).astype(np.uint8)
  source = Source("made", spec, {"train": ArraySplit({"x": x, **fields})}, {})
  return grids.Grid(made.trained(model, source).system, 0)


def test_few_examples_stand_above_what_is_made_of_them(tmp_path):
  model = NOTHING._replace(transform=lambda states, x, keys, cond: 255 - x)
  grid = grid_of(model, Spec.of((8, 8, 1), 256), 5)
  picture = grid.save(tmp_path / "samples" / "1.png", [{}])
  side, pad = (picture.shape[1] - 2) // 5 - 2, 2
  assert picture.shape[0] == 2 * (side + pad) + pad
  rows = [picture[pad + i * (side + pad) :][:side, pad:-pad].astype(int) for i in (0, 1)]
  inside = np.arange(rows[0].shape[1]) % (side + pad) < side
  np.testing.assert_array_equal((rows[0] + rows[1])[:, inside], 255)


def test_a_classifier_of_images_with_label_images_has_no_picture(tmp_path):
  spec = Spec.of((8, 8, 1), 256, 3, segmentation=Field((8, 8), 2, aligned=True))
  fields = {"label": np.zeros(4, np.int32), "segmentation": np.zeros((4, 8, 8), np.uint8)}
  classify = lambda states, x: x[:, 0, :3, 0] * 1.0
  grid = grid_of(NOTHING._replace(predict=classify), spec, 4, **fields)
  assert grid.save(tmp_path / "samples" / "1.png", [{}]) is None
  segment = grid_of(NOTHING._replace(predict=lambda s, x: 1.0 * x.repeat(2, -1)), spec, 4, **fields)
  assert segment.save(tmp_path / "samples" / "1.png", [{}]).ndim == 3


def test_the_captions_of_samples_stand_beside_them(tmp_path):
  words = (*SPECIAL, *"abcdefgh")
  tokens = np.array([[1, 4 + i, 2] for i in range(8)])
  draw = lambda states, keys, cond: 10 * cond["caption"][:, 1, None, None, None].astype(np.uint8)
  model = NOTHING._replace(sample=draw, cond=("caption",))
  spec = Spec.of((1, 1, 1), 256, caption=Field((3,), len(words), words))
  grid = grid_of(model, spec, 8, caption=tokens)
  x, columns, said = grid.samples([{}])
  assert [words[level // 10] for level in x.reshape(-1)] == said.split()
  grid.save(tmp_path / "samples" / "1.png", [{}])
  assert (tmp_path / "samples" / "1.txt").read_text() == said and columns == 8

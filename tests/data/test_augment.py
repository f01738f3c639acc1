"""Augmentations against every image that they may return, enumerated in NumPy."""

import itertools
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax import core, data
from gen_jax.core import UserError
from gen_jax.data import augment

N = 2000
IMAGE = np.arange(16 * 8 * 2, dtype=np.uint8).reshape(16, 8, 2)  # no two pixels alike


def seen(function, images):
  """Which of `images` each of N augmented copies of IMAGE is."""
  x = np.asarray(jax.jit(function)(jnp.asarray(np.tile(IMAGE, (N, 1, 1, 1))), jax.random.key(0)))
  assert x.shape == (N, *IMAGE.shape) and x.dtype == IMAGE.dtype
  equal = (x[:, None] == np.stack(images)[None]).all(axis=(2, 3, 4))
  assert (equal.sum(axis=1) == 1).all()
  return np.bincount(equal.argmax(axis=1), minlength=len(images))


def test_flip_mirrors_half_of_the_images():
  counts = seen(augment.flip, [IMAGE, np.fliplr(IMAGE)])
  assert stats.chisquare(counts).pvalue > 1e-3


def test_shift_moves_by_every_offset_up_to_an_eighth_alike():
  padded = np.pad(IMAGE, [(2, 2), (1, 1), (0, 0)], mode="edge")
  windows = [padded[i : i + 16, j : j + 8] for i, j in itertools.product(range(5), range(3))]
  counts = seen(augment.shift, windows)
  assert stats.chisquare(counts).pvalue > 1e-3


def test_rotate_makes_every_quarter_turn_alike():
  square = IMAGE[:8]
  x = jnp.asarray(np.tile(square, (N, 1, 1, 1)))
  turned = np.asarray(jax.jit(augment.rotate)(x, jax.random.key(0)))
  turns = np.stack([np.rot90(square, k) for k in range(4)])
  equal = (turned[:, None] == turns).all(axis=(2, 3, 4))
  assert (equal.sum(axis=1) == 1).all() and turned.dtype == square.dtype
  assert stats.chisquare(equal.sum(axis=0)).pvalue > 1e-3


def test_augmentations_are_made_in_turn_with_keys_of_their_own():
  both = seen(lambda x, key: augment.augment(x, key, ("flip", "flip")), [IMAGE, np.fliplr(IMAGE)])
  assert stats.chisquare(both).pvalue > 1e-3  # one coin for both would undo every flip
  x = jnp.asarray(IMAGE[None])
  assert augment.augment(x, jax.random.key(0), ()) is x


@pytest.mark.parametrize(
  "names", [*((name,) for name in augment.AUGMENTATIONS), tuple(augment.AUGMENTATIONS)]
)
def test_aligned_fields_move_with_the_picture(names):
  shapes = data.load("shapes")
  whole = shapes.splits["train"].take(np.arange(256))
  assert (whole["segmentation"] == (whole["x"].max(-1) >= 128)).all()
  moved = jax.jit(lambda batch, key: augment.augment_batch(batch, shapes.spec, key, names))
  batch = jax.tree.map(np.asarray, moved(whole, jax.random.key(3)))
  assert (batch["x"] != whole["x"]).any(axis=(1, 2, 3)).mean() > 0.4
  bright = batch["x"].max(-1)
  # Elastic images are mixed at the sprite's edge, where the nearest pixel may be another's.
  sure = ((bright == 0) | (bright == 255)) | ("elastic" not in names)
  assert sure.mean() > 0.85 and (batch["segmentation"] == (bright >= 128)).mean() > 0.99
  np.testing.assert_array_equal(batch["segmentation"][sure], (bright >= 128)[sure])
  assert batch["segmentation"].dtype == whole["segmentation"].dtype
  np.testing.assert_array_equal(batch["label"], whole["label"])
  assert set(batch) == {"x", "label", "segmentation"}  # captions and factors are no longer true


def test_the_other_domain_has_a_geometry_of_its_own():
  spec = core.Spec.of((16, 8, 2), 256, y=core.Field((16, 8, 2), 256))
  x = np.tile(IMAGE, (400, 1, 1, 1))
  batch = augment.augment_batch({"x": x, "y": x}, spec, jax.random.key(0), ("flip",))
  flipped = [np.asarray(batch[name] != x).any(axis=(1, 2, 3)) for name in "xy"]
  table = np.histogram2d(*flipped, bins=2)[0]
  assert stats.chi2_contingency(table).pvalue > 1e-3 and (table > 60).all()


def test_the_choices_of_the_config_are_the_table():
  kind, _ = typing.get_args(typing.get_type_hints(data.Feed)["augment"])
  assert typing.get_args(kind) == tuple(augment.AUGMENTATIONS)


def test_refusals():
  shapes = data.load("shapes").spec
  data.check_feed(data.Feed(), core.Spec.of((2,)))
  data.check_feed(data.Feed(augment=("shift", "flip")), shapes, ("label", "segmentation"))
  with pytest.raises(UserError, match="must be one of flip, shift, rotate, elastic, not 'turn'"):
    data.check_feed(data.Feed(augment=("flip", "turn")), shapes)
  with pytest.raises(UserError, match="rotate is for square images, and x is of 16x8 pixels"):
    data.check_feed(data.Feed(augment=("rotate",)), core.Spec.of((16, 8, 1), 256))
  with pytest.raises(UserError, match="for images, not for data of shape \\(2,\\)"):
    data.check_feed(data.Feed(augment=("flip",)), core.Spec.of((2,)))
  for name in ("caption", "factors"):
    with pytest.raises(UserError, match=f"data.augment=flip would make {name} untrue, which this"):
      data.check_feed(data.Feed(augment=("flip",)), shapes, ("label", name))
  small = core.Spec.of((8, 8, 1), 256, y=core.Field((4, 4, 1), 256, aligned=True))
  with pytest.raises(UserError, match="moves y with x"):
    data.check_feed(data.Feed(augment=("flip",)), small)

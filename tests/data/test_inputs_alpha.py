"""Pictures of the user's own whose transparent pixels are to be filled."""

import numpy as np
import pytest
from PIL import Image

from gen_jax import data
from gen_jax.core import Field, UserError


def saved(path, mode, alpha):
  x = np.random.default_rng(0).integers(0, 256, size=(6, 9, 4)).astype(np.uint8)
  x[..., 3] = alpha
  Image.fromarray(x).convert(mode).save(path)
  return np.asarray(Image.open(path).convert("RGBA"))


def test_alpha_comes_with_the_picture_at_its_own_size(tmp_path):
  alpha = np.full((6, 9), 255)
  alpha[2:4, 3:7], alpha[5, 0] = 0, 100
  x = saved(tmp_path / "a.png", "RGBA", alpha)
  found = data.read_input(tmp_path / "a.png", Field((16, 16, 4), 256), stride=4)
  assert found.sizes == ((6, 9),) and found.x[0].shape == (8, 12, 4)
  np.testing.assert_array_equal(found.x[0][:6, :9], x)
  saved(tmp_path / "g.png", "LA", alpha)
  grey = data.read_input(tmp_path / "g.png", Field((16, 16, 2), 256), stride=2)
  assert grey.x[0].shape == (6, 10, 2)
  np.testing.assert_array_equal(grey.x[0][:, :9, 1], alpha)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_picture_without_a_hole_is_refused(tmp_path, mode):
  saved(tmp_path / "a.png", mode, 255)
  with pytest.raises(UserError, match="no pixel of it is transparent"):
    data.read_input(tmp_path / "a.png", Field((16, 16, 4), 256), stride=4)
  assert data.read_input(tmp_path / "a.png", Field((16, 16, 3), 256)).x[0].shape == (16, 16, 3)

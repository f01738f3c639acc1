"""VGG: names, layout and inputs of torchvision's tensors, by explicit sums."""

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import UserError
from gen_jax.nets import vgg
from gen_jax.nets.vgg import VGG, converted, names_of

RNG = np.random.default_rng(0)
# Of torchvision.models.vgg16().features, by hand: 0 is a convolution, 1 a ReLU, 4 a pooling, ...
VGG16 = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21]
VGG19 = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25]


@pytest.fixture
def narrow(monkeypatch):
  monkeypatch.setattr(vgg, "WIDTHS", (2, 3, 4, 5))


def tensors(places, counts, widths=(2, 3, 4, 5)):
  out, channels, place = {}, 3, iter(places)
  for count, width in zip(counts, widths, strict=True):
    for _ in range(count):
      i = next(place)
      out[f"features.{i}.weight"] = RNG.normal(size=(width, channels, 3, 3)).astype(np.float32)
      out[f"features.{i}.bias"] = RNG.normal(size=width).astype(np.float32)
      channels = width
  return out


def slow_convolution(x, weight, bias):
  """x [C, H, W] by weight [O, C, 3, 3], as torch defines it, then ReLU."""
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
  out = np.zeros((len(weight), *x.shape[1:]))
  for o, i, j in np.ndindex(out.shape):
    out[o, i, j] = (padded[:, i : i + 3, j : j + 3] * weight[o]).sum() + bias[o]
  return np.maximum(out, 0)


def test_names_are_torchvisions():
  for kind, places in (("vgg16", VGG16), ("vgg19", VGG19)):
    assert list(names_of(kind).values()) == [f"features.{i}" for i in places]
  assert list(names_of("vgg16"))[:3] == ["conv1_1", "conv1_2", "conv2_1"]


def test_maps_are_those_of_torchs_layout(narrow):
  given = tensors(VGG16, (2, 2, 3, 3))
  x = RNG.uniform(size=(8, 8, 3)).astype(np.float32)
  maps = VGG("vgg16").apply({"params": converted("vgg16", given)}, x[None])
  mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
  h, want = ((x - mean) / std).transpose(2, 0, 1), []
  for i in VGG16:
    if i in (5, 10, 17):
      want.append(h)
      h = h.reshape(h.shape[0], h.shape[1] // 2, 2, h.shape[2] // 2, 2).max((2, 4))
    h = slow_convolution(h, given[f"features.{i}.weight"], given[f"features.{i}.bias"])
  for found, expected in zip(maps, [*want, h], strict=True):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found[0] / scale, expected.transpose(1, 2, 0) / scale, atol=1e-5)


def test_grey_images_are_seen_as_grey_colours(narrow):
  params = converted("vgg19", tensors(VGG19, (2, 2, 4, 4)))
  x = RNG.uniform(size=(2, 8, 8, 1)).astype(np.float32)
  grey, colours = (VGG("vgg19").apply({"params": params}, v) for v in (x, jnp.tile(x, 3)))
  for a, b in zip(grey, colours, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5)


def test_what_is_no_vgg_is_refused(narrow):
  given = tensors(VGG16, (2, 2, 3, 3))
  with pytest.raises(UserError, match="of a vgg19: there is no features.16.weight"):
    converted("vgg19", given)
  given["features.5.weight"] = given["features.5.weight"].transpose(2, 3, 1, 0)
  with pytest.raises(UserError, match=r"features.5.weight is \(3, 3, 2, 3\), not \(3, 2, 3, 3\)"):
    converted("vgg16", given)

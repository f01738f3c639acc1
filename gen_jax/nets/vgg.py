"""VGG's first four blocks (Simonyan & Zisserman 2015, table 1, D and E), by the user's weights.

They are as torchvision names and lays them out: features.N.weight [O, I, 3, 3], features.N.bias.
"""

from __future__ import annotations

from collections.abc import Mapping

import chex
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax.core import Array, PyTree, UserError
from gen_jax.nets.conv import max_pool

CONVOLUTIONS = {"vgg16": (2, 2, 3, 3), "vgg19": (2, 2, 4, 4)}  # of each block
WIDTHS = (64, 128, 256, 512)
# Of ImageNet's pixels in [0, 1]: what the nets were trained on.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGG(nn.Module):
  """Images x [B, H, W, C] in [0, 1], grey or RGB, of 8 pixels a side or more -> the last maps of
  each block, after the rectifier (relu1_2, relu2_2, relu3_3, relu4_3 of vgg16).

  kind: one of CONVOLUTIONS.
  dtype: of the computation; parameters are float32 or wider.
  """

  kind: str
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> tuple[Array, ...]:
    chex.assert_rank(x, 4)
    kwargs = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
    mean, std = jnp.asarray(MEAN, x.dtype), jnp.asarray(STD, x.dtype)
    x, maps = (x - mean) / std, []
    for block, (count, width) in enumerate(zip(CONVOLUTIONS[self.kind], WIDTHS, strict=True)):
      x = x if block == 0 else max_pool(x)
      for i in range(count):
        x = nn.relu(nn.Conv(width, (3, 3), name=f"conv{block + 1}_{i + 1}", **kwargs)(x))
      maps.append(x)
    return tuple(maps)


def names_of(kind: str) -> dict[str, str]:
  """Our name of each convolution -> torchvision's, which counts rectifiers and poolings too."""
  names, index = {}, 0
  for block, count in enumerate(CONVOLUTIONS[kind], 1):
    for i in range(1, count + 1):
      names[f"conv{block}_{i}"] = f"features.{index}"
      index += 2
    index += 1
  return names


def converted(kind: str, tensors: Mapping[str, np.ndarray]) -> PyTree:
  """Parameters of `VGG` from torchvision's tensors.

  Raises:
    UserError: for one that is missing, or of another shape.
  """
  params, channels = {}, 3
  for ours, theirs in names_of(kind).items():
    width = WIDTHS[int(ours[4]) - 1]
    shapes = {f"{theirs}.weight": (width, channels, 3, 3), f"{theirs}.bias": (width,)}
    for name, shape in shapes.items():
      if name not in tensors:
        raise UserError(f"these are not the weights of a {kind}: there is no {name}")
      if tensors[name].shape != shape:
        found = tensors[name].shape
        raise UserError(f"these are not the weights of a {kind}: {name} is {found}, not {shape}")
    weight, bias = (np.asarray(tensors[name]) for name in shapes)
    params[ours] = {"kernel": weight.transpose(2, 3, 1, 0), "bias": bias}
    channels = width
  return params

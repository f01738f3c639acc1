"""Networks that enlarge pictures by s, [B, H, W, C] -> [B, s H, s W, C], and what they start from.

Reduction and enlargement are bicubic with Keys' kernel (a = -1/2), antialiased on the way down, as
MATLAB's `imresize` does it; they differ from that at the borders only, where weights that fall
outside are left out.

  srcnn     9x9, 1x1, 5x5 convolutions of the bicubic picture             (Dong et al. 2014)
  espcn     5x5, 3x3, 3x3 convolutions of the small one, the last to s^2 times the channels, which
            are laid out as s x s pixels; tanh                            (Shi et al. 2016)
  srresnet  residual blocks of two 3x3 convolutions of the small one, a skip over all of them, and
            the same last layer (Ledig et al. 2017, without batch normalisation, as in Lim et al.
            2017, and without its two 9x9 layers)

With `skip` the result is added to the bicubic picture, and the last layer starts at zero: the net
starts as the bicubic, and learns what that lacks (as in Kim et al. 2016, VDSR). The sources of the
first two have none.
"""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.conv import shuffle


def reduce(x: Array, scale: int) -> Array:
  """Bicubic, antialiased: [B, s H, s W, C] -> [B, H, W, C]."""
  batch, height, width, channels = x.shape
  chex.assert_is_divisible(height, scale)
  chex.assert_is_divisible(width, scale)
  return jax.image.resize(x, (batch, height // scale, width // scale, channels), "cubic")


def enlarge(x: Array, scale: int) -> Array:
  """Bicubic: [B, H, W, C] -> [B, s H, s W, C]."""
  batch, height, width, channels = x.shape
  return jax.image.resize(x, (batch, scale * height, scale * width, channels), "cubic")


def srcnn(layer: Callable, last: Callable, small: Array, large: Array, net: Enlarger) -> Array:
  x = nn.relu(layer(net.width, 9)(large))
  x = nn.relu(layer(max(net.width // 2, 1), 1)(x))
  return last(small.shape[-1], 5)(x)


def espcn(layer: Callable, last: Callable, small: Array, large: Array, net: Enlarger) -> Array:
  x = jnp.tanh(layer(net.width, 5)(small))
  x = jnp.tanh(layer(max(net.width // 2, 1), 3)(x))
  return shuffle(last(net.scale**2 * small.shape[-1], 3)(x), net.scale)


def srresnet(layer: Callable, last: Callable, small: Array, large: Array, net: Enlarger) -> Array:
  first = x = nn.relu(layer(net.width, 3)(small))
  for _ in range(net.blocks):
    x = x + layer(net.width, 3)(nn.relu(layer(net.width, 3)(x)))
  x = first + layer(net.width, 3)(x)
  return shuffle(last(net.scale**2 * small.shape[-1], 3)(x), net.scale)


def reach(net: str, scale: int, blocks: int) -> int:
  """How many pixels of the small picture away a net still sees, the bicubic's two included."""
  return {"srcnn": 2 + -(-(4 + 0 + 2) // scale), "espcn": 2 + 1 + 1, "srresnet": 2 * blocks + 3}[
    net
  ]


# (layers, the last layer, small picture, bicubic picture, the module) -> picture
NETS = {"srcnn": srcnn, "espcn": espcn, "srresnet": srresnet}


class Enlarger(nn.Module):
  """x [B, H, W, C] in [0, 1] -> [B, s H, s W, C], not clipped, of any H and W.

  scale: s.
  net: one of NETS.
  width: channels of its widest layers.
  blocks: of srresnet.
  skip: whether the result is added to the bicubic picture.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  scale: int
  net: str = "srresnet"
  width: int = 32
  blocks: int = 6
  skip: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    chex.assert_rank(x, 4)
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}

    def layer(features, size):
      return nn.Conv(features, (size, size), **kwargs)

    def last(features, size):
      start = nn.initializers.zeros if self.skip else nn.linear.default_kernel_init
      return nn.Conv(features, (size, size), kernel_init=start, **kwargs)

    large = enlarge(x, self.scale)
    made = NETS[self.net](layer, last, x, large, self).astype(real)
    return large.astype(real) + made if self.skip else made

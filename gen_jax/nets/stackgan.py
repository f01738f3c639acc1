"""StackGAN's networks (Zhang et al. 2017, arXiv:1612.03242, section 3) without batch norm.

Strided convolutions are dense layers on windows, as in `nets.gan`, whose reasons hold here too.
Where the source normalises over a batch, these do over each example: statistics of a batch of real,
made or mismatched pairs would tell a critic which it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import chex
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.conv import Conv3, border, double, halve, windows
from gen_jax.nets.dense import Dense
from gen_jax.nets.gan import layer_norm, leaky
from gen_jax.nets.mlp import join
from gen_jax.nets.superres import enlarge
from gen_jax.nets.text import TextEncoder


def unit_vectors(x: Array) -> Array:
  """x [..., E] divided by its norm."""
  return x / jnp.sqrt((x**2).sum(-1, keepdims=True) + 1e-12)


class Sentence(nn.Module):
  """Captions, tokens [B, T], as unit vectors [B, E]. Padding is not seen.

  words, length, width, layers, heads: of the `TextEncoder`.
  embedding: E.
  """

  words: int
  length: int
  embedding: int
  width: int = 64
  layers: int = 1
  heads: int = 4
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, tokens: Array) -> Array:
    real = jnp.promote_types(self.dtype, jnp.float32)
    h, _, _ = TextEncoder(
      self.words, self.length, self.width, self.layers, self.heads, self.dtype
    )(tokens)  # fmt: skip
    h = Dense(self.embedding, dtype=self.dtype, param_dtype=real)(h)
    return unit_vectors(h.astype(real))


class Augmentation(nn.Module):
  """Conditioning augmentation (section 3.2): text [B, E], eps [B, K] -> c = mu + sigma eps [B, K],
  mu and log sigma^2, which are linear in the text. eps is drawn from N(0, I)."""

  size: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, text: Array, eps: Array) -> tuple[Array, Array, Array]:
    chex.assert_shape(eps, (text.shape[0], self.size))
    real = jnp.promote_types(self.dtype, jnp.float32)
    both = Dense(2 * self.size, dtype=self.dtype, param_dtype=real)(text).astype(real)
    mean, log_var = jnp.split(both, 2, axis=-1)
    return mean + jnp.exp(log_var / 2) * eps, mean, log_var


class Refiner(nn.Module):
  """Stage II's generator (section 3.4): a picture [B, H, W, C] in [-1, 1] and c [B, K] -> twice as
  large, [B, 2 H, 2 W, C].

  widths: channels of the encoder, the first at the picture's own resolution, each further one at
    half of that; c is joined to the last at every pixel. The decoder mirrors them.
  blocks: residual ones behind that.
  skip: whether the result is added to the bicubic picture, as which the net starts. The source has
    none, and a tanh at the end.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  widths: Sequence[int]
  blocks: int = 2
  skip: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, c: Array) -> Array:
    chex.assert_rank([x, c], [4, 2])
    real = jnp.promote_types(self.dtype, jnp.float32)
    types = {"dtype": self.dtype, "param_dtype": real}
    conv = lambda features, h, **how: Conv3(features, **types, **how)(h)
    active = lambda h: leaky(layer_norm(h, **types))
    h = leaky(conv(self.widths[0], x))
    for width in self.widths[1:]:
      h = active(Dense(width, **types)(windows(halve(border(h)), 2)))
    h = active(conv(self.widths[-1], join(h, c[:, None, None, :])))
    for _ in range(self.blocks):
      r = active(conv(self.widths[-1], h))
      h = leaky(h + layer_norm(conv(self.widths[-1], r), **types))
    for width in self.widths[-2::-1]:
      h = active(double(conv(4 * width, h)))
    start = nn.initializers.zeros if self.skip else nn.linear.default_kernel_init
    y = double(conv(4 * x.shape[-1], h, kernel_init=start)).astype(real)
    return enlarge(x, 2).astype(real) + y if self.skip else jnp.tanh(y)

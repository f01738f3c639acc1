"""A dense network that takes vectors and their time, with Fourier features of both."""

from __future__ import annotations

import math

import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.dense import Dense
from gen_jax.nets.unet import sinusoidal

TIME_FEATURES = 64


def octaves(x: Array, first: int, count: int) -> Array:
  """sin and cos of 2^k pi / 2 x, k = first..first + count - 1: x [..., D] -> [..., 2 count D].

  A dense network of x alone learns fine detail last (Tancik et al. 2020, arXiv:2006.10739; of
  diffusion: Kingma et al. 2021, arXiv:2107.00630, section 6.2 and appendix C).
  """
  frequency = math.pi / 2 * 2.0 ** jnp.arange(first, first + count, dtype=x.dtype)
  angle = (x[..., None] * frequency).reshape(*x.shape[:-1], -1)
  return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


class DenoiserMLP(nn.Module):
  """x_t [B, D] and a clock [B] in 0..1, or several [B, K] -> [B, D], 0 at initialisation.

  width, layers: of the hidden layers, with SiLU.
  octaves: how many octaves of x are seen besides x, the lowest of wavelength 4.
  classes: of the label embedding, which has one more entry (the last) for "no label"; 0 for none.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  out: int
  width: int = 128
  layers: int = 3
  octaves: int = 0
  classes: int = 0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, clock: Array, label: Array | None = None, train: bool = False):
    del train
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    clocks = clock.reshape(x.shape[0], -1).T
    seen = [x, *(sinusoidal(1000 * one, TIME_FEATURES) for one in clocks)]
    if self.octaves:
      seen.append(octaves(x, 0, self.octaves))
    if self.classes:
      label = jnp.full(x.shape[:1], self.classes) if label is None else label
      seen.append(nn.Embed(self.classes + 1, self.width, **kwargs)(label))
    h = jnp.concatenate([a.astype(self.dtype) for a in seen], axis=-1)
    for _ in range(self.layers):
      h = nn.silu(Dense(self.width, **kwargs)(h))
    zero = nn.initializers.zeros
    return Dense(self.out, kernel_init=zero, **kwargs)(h).astype(real)

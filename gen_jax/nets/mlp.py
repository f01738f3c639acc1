"""Dense networks, and an encoder and a decoder made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.dense import Dense

Activation = Literal["relu", "leaky_relu", "elu", "silu", "gelu", "tanh", "sigmoid"]


def activation_of(name: Activation) -> Callable[[Array], Array]:
  """The function of that name."""
  return getattr(nn, name)


def join(x: Array, condition: Array | None) -> Array:
  """x [..., B, D] and condition [B, K], if there is one -> [..., B, D + K]."""
  if condition is None:
    return x
  condition = jnp.broadcast_to(condition, (*x.shape[:-1], condition.shape[-1]))
  return jnp.concatenate([x, condition.astype(x.dtype)], axis=-1)


class MLP(nn.Module):
  """x [..., D] -> [..., out]: dense layers with an activation, then a linear one.

  dtype: of the computation; parameters and the result are float32 or wider.
  """

  out: int
  hidden: Sequence[int]
  activation: Callable = nn.relu
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    for width in self.hidden:
      x = self.activation(Dense(width, **kwargs)(x))
    return Dense(self.out, **kwargs)(x).astype(real)


class Encoder(nn.Module):
  """x [B, ...], condition [B, K] or None -> [B, out]."""

  out: int
  hidden: Sequence[int]
  activation: Callable = nn.relu
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, condition: Array | None = None) -> Array:
    x = join(x.reshape(len(x), -1), condition)
    return MLP(self.out, self.hidden, self.activation, self.dtype)(x)


class Decoder(nn.Module):
  """z [..., B, Z], condition [B, K] or None -> [..., B, *shape]."""

  shape: Sequence[int]
  hidden: Sequence[int]
  activation: Callable = nn.relu
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, z: Array, condition: Array | None = None) -> Array:
    out = math.prod(self.shape)
    x = MLP(out, self.hidden, self.activation, self.dtype)(join(z, condition))
    return x.reshape(*z.shape[:-1], *self.shape)

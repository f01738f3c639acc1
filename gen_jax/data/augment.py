"""Augmentation inside the compiled step: each (x [B, H, W, C], key) -> x of the same shape."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gen_jax.core import Array, UserError


def flip(x: Array, key: Array) -> Array:
  """Mirrors each image left to right with probability 1/2."""
  coin = jax.random.bernoulli(key, 0.5, (len(x), 1, 1, 1))
  return jnp.where(coin, x[:, :, ::-1], x)


def shift(x: Array, key: Array, share: int = 8) -> Array:
  """Moves each image by up to 1/share of its size each way, the border repeated."""
  limit = [max(size // share, 1) for size in x.shape[1:3]]
  pad = [(0, 0), (limit[0], limit[0]), (limit[1], limit[1]), (0, 0)]
  padded = jnp.pad(x, pad, mode="edge")
  start = jax.random.randint(key, (len(x), 2), 0, 2 * jnp.asarray(limit) + 1)
  crop = lambda image, at: jax.lax.dynamic_slice(image, (*at, 0), x.shape[1:])
  return jax.vmap(crop)(padded, start)


AUGMENTATIONS = {"flip": flip, "shift": shift}


def augment(x: Array, key: Array, names: tuple[str, ...]) -> Array:
  """The named augmentations, one after the other."""
  for i, name in enumerate(names):
    x = AUGMENTATIONS[name](x, jax.random.fold_in(key, i))
  return x


def check(names: tuple[str, ...], shape: tuple[int, ...]) -> None:
  """Refuses unknown names, and augmentation of what is not an image [H, W, C]."""
  for name in names:
    if name not in AUGMENTATIONS:
      raise UserError(f"data.augment {name!r} is not known: any of {', '.join(AUGMENTATIONS)}")
  if names and len(shape) != 3:
    raise UserError(f"data.augment is for images, not for data of shape {shape}")

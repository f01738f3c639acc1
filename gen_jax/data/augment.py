"""Augmentation inside the compiled step: one geometry for an example and all aligned with it.

Each function takes x [B, H, W, ...] and a key, and gives x of the same shape. What it draws depends
on the key and on B, H and W only: with one key, fields of one size move together. Pixels are moved
and repeated; those of label images [B, H, W] are never mixed, so that they keep their labels.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection

import jax
import jax.numpy as jnp

from gen_jax.core import Array, Field, Spec, UserError
from gen_jax.data.elastic import elastic


def flip(x: Array, key: Array) -> Array:
  """Mirrors each image left to right with probability 1/2."""
  coin = jax.random.bernoulli(key, 0.5, (len(x), *(1,) * (x.ndim - 1)))
  return jnp.where(coin, x[:, :, ::-1], x)


def shift(x: Array, key: Array, share: int = 8) -> Array:
  """Moves each image by up to 1/share of its size each way, the border repeated."""
  limit = [max(size // share, 1) for size in x.shape[1:3]]
  pad = [(0, 0), (limit[0], limit[0]), (limit[1], limit[1])] + [(0, 0)] * (x.ndim - 3)
  padded = jnp.pad(x, pad, mode="edge")
  start = jax.random.randint(key, (len(x), 2), 0, 2 * jnp.asarray(limit) + 1)
  rest = (0,) * (x.ndim - 3)
  crop = lambda image, at: jax.lax.dynamic_slice(image, (*at, *rest), x.shape[1:])
  return jax.vmap(crop)(padded, start)


def rotate(x: Array, key: Array) -> Array:
  """Turns each square image by 0, 1, 2 or 3 quarters, all alike probable."""
  turns = jax.random.randint(key, (len(x), *(1,) * (x.ndim - 1)), 0, 4)
  return jnp.select(
    [turns == k for k in range(1, 4)], [jnp.rot90(x, k, (1, 2)) for k in (1, 2, 3)], x
  )


AUGMENTATIONS = {"flip": flip, "shift": shift, "rotate": rotate, "elastic": elastic}


def augment(x: Array, key: Array, names: tuple[str, ...]) -> Array:
  """The named augmentations, one after the other."""
  for i, name in enumerate(names):
    x = AUGMENTATIONS[name](x, jax.random.fold_in(key, i))
  return x


def stays_true(field: Field) -> bool:
  """Whether a field can follow: it stays (a label) or moves (an image); vectors would be false."""
  return len(field.shape) != 1


def augment_batch(batch: dict, spec: Spec, key: Array, names: tuple[str, ...]) -> dict:
  """A batch [B, ...] with the named augmentations.

  x and the fields aligned with it move together, and other images with a geometry of their own.
  Vectors (captions, factors, actions) may say what is no longer so, and are left out.
  """
  if not names:
    return batch
  out = {}
  for name, value in batch.items():
    field = spec.x if name == "x" else spec.fields.get(name, Field())
    if len(field.shape) > 1:
      together = name == "x" or field.aligned
      own = key if together else jax.random.fold_in(key, zlib.crc32(name.encode()))
      out[name] = augment(value, own, names)
    elif stays_true(field):
      out[name] = value
  return out


def check(names: tuple[str, ...], spec: Spec, reads: Collection[str]) -> None:
  """Refuses augmentation of what is not an image [H, W, C], or that a field cannot follow.

  Args:
    names: of augmentations.
    spec: of the data.
    reads: names of the fields that the model reads.
  """
  if not names:
    return
  if len(spec.shape) != 3:
    raise UserError(f"data.augment is for images, not for data of shape {spec.shape}")
  images = {"x": spec.x} | {name: f for name, f in spec.fields.items() if len(f.shape) > 1}
  for name, field in images.items():
    if "rotate" in names and field.shape[0] != field.shape[1]:
      raise UserError(
        f"data.augment=rotate is for square images, and {name} is of {field.shape[0]}x"
        f"{field.shape[1]} pixels: take data.patch or data.resolution"
      )
  for name, field in spec.fields.items():
    if name in reads and not stays_true(field):
      raise UserError(
        f"data.augment={','.join(names)} would make {name} untrue, which this model reads: leave"
        " data.augment empty"
      )
    if field.aligned and field.shape[:2] != spec.shape[:2]:
      raise UserError(
        f"data.augment moves {name} with x, but they are of {field.shape[:2]} and"
        f" {spec.shape[:2]} pixels: leave data.augment empty"
      )

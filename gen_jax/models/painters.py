"""The generators of `models.stackgan`: what they draw, and how they paint it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.core import Array, PyTree
from gen_jax.nets import gan
from gen_jax.nets.stackgan import Augmentation, Refiner
from gen_jax.schema import Count, Natural


@dataclasses.dataclass(frozen=True)
class GeneratorNet:
  """Both generators' networks.

  hidden: dense layers at the beginning of stage I.
  first: channels of stage I from its lowest resolution on, each doubled once.
  second: channels of stage II's encoder, the first at the small picture's resolution, each further
    one at half of that.
  blocks: residual ones of stage II.
  skip: see `nets.stackgan.Refiner`.
  """

  hidden: tuple[Count, ...] = (256,)
  first: tuple[Count, ...] = (256, 128)
  second: tuple[Count, ...] = (64, 128)
  blocks: Natural = 4
  skip: bool = True


class Painter(NamedTuple):
  """What makes pictures [B, H, W, C] in [-1, 1] of text, in one stage.

  size: of what is drawn from N(0, I) for one picture.
  init: (key) -> parameters.
  paint: (parameters, what is frozen, e [B, size], t [B, E]) -> (picture, mu and log sigma^2 of c).
  """

  size: int
  init: Callable[[Array], PyTree]
  paint: Callable[..., tuple[Array, Array, Array]]


def first_painter(shape, embedding, latent, condition, net: GeneratorNet, dtype) -> Painter:
  """Stage I: e is z, and eps of c."""
  real, how = jnp.promote_types(dtype, jnp.float32), jnp.dtype(dtype)
  augment = Augmentation(condition, how)
  generator = gan.Generator(
    shape, net.hidden, net.first, norm="layer", activation="leaky_relu", dtype=how
  )

  def init(key):
    a_key, g_key = jax.random.split(key)
    of = lambda *sizes: [jnp.zeros((1, size), real) for size in sizes]
    return {
      "augmentation": augment.init(a_key, *of(embedding, condition))["params"],
      "net": generator.init(g_key, *of(latent, condition))["params"],
    }

  def paint(params, frozen, e, text):
    del frozen
    z, eps = jnp.split(e, [latent], axis=1)
    c, mean, log_var = augment.apply({"params": params["augmentation"]}, text, eps)
    return generator.apply({"params": params["net"]}, z, c), mean, log_var

  return Painter(latent + condition, init, paint)


def second_painter(
  first: Painter, shape, embedding, condition, net: GeneratorNet, dtype
) -> Painter:
  """Stage II: e is that of stage I, and eps of a c of its own. Stage I is frozen["first"]."""
  real, how = jnp.promote_types(dtype, jnp.float32), jnp.dtype(dtype)
  augment = Augmentation(condition, how)
  refiner = Refiner(net.second, net.blocks, net.skip, how)

  def init(key):
    a_key, r_key = jax.random.split(key)
    small = jnp.zeros((1, shape[0] // 2, shape[1] // 2, shape[2]), real)
    eps = jnp.zeros((1, condition), real)
    return {
      "augmentation": augment.init(a_key, jnp.zeros((1, embedding), real), eps)["params"],
      "net": refiner.init(r_key, small, eps)["params"],
    }

  def paint(params, frozen, e, text):
    before, eps = jnp.split(e, [first.size], axis=1)
    small, *_ = first.paint(frozen["first"], {}, before, text)
    c, mean, log_var = augment.apply({"params": params["augmentation"]}, text, eps)
    y = refiner.apply({"params": params["net"]}, jax.lax.stop_gradient(small), c)
    return y, mean, log_var

  return Painter(first.size + condition, init, paint)

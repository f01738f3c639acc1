"""A study of upsampling: one autoencoder, and one layer in it that doubles the resolution.

  learn      || x - g(f(x)) ||^2, pixels in [0, 1]

Source: Odena, Dumoulin & Olah 2016 (Deconvolution and checkerboard artifacts), whose advice of a
kernel that is a multiple of the stride keeps windows from overlapping unevenly, and no more.
"""

from __future__ import annotations

from typing import Annotated, Literal

import chex
import jax.numpy as jnp
from annotated_types import Ge

from gen_jax.core import Program, Spec, UserError, single, unit
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.likelihoods import sum_dims
from gen_jax.models.common import in_levels, require_images, require_multiples
from gen_jax.nets.upsample import UPSAMPLERS, Autoencoder
from gen_jax.schema import Count, Dtype, builder


@builder
def build(
  spec: Spec,
  *,
  up: Literal[tuple(UPSAMPLERS)] = "nearest",
  kernel: Annotated[int, Ge(2)] = 4,
  width: Count = 16,
  latent: Count = 4,
  dtype: Dtype = "float32",
  optimizer: Optimizer = Optimizer(learning_rate=2e-3),
) -> Program:
  """Autoencoder of images [H, W, C] with codes of [H / 2, W / 2, latent].

  `evaluate` gives squared_error, summed over an image. `transform` restores images of any even
  height and width, real-valued, in grey levels. With up=unpool where the encoder's maxima were
  reaches the decoder too, two bits of each of width x H/2 x W/2 numbers besides the code.

  Args:
    spec: of the data.
    up: one of `nets.upsample.UPSAMPLERS`.
    kernel: k, of the upsampling: all have k^2 width^2 + width parameters.
    width, latent, dtype: of the `Autoencoder`.
    optimizer: see there.

  Raises:
    UserError: if the data are no images with grey levels and even sides, or the kernel does not fit
      the upsampling.
  """
  require_images(spec, "upsample")
  require_multiples(spec, 2, "upsample halves an image once")
  if UPSAMPLERS[up].tiles and kernel % 2:
    raise UserError(f"model.kernel must be even with model.up={up}, not {kernel}")
  real, channels = jnp.promote_types(dtype, jnp.float32), spec.shape[-1]
  net = Autoencoder(channels, width, latent, up, kernel, jnp.dtype(dtype))

  def scaled(x):
    chex.assert_shape(x, (None, None, None, channels))
    return unit(x, spec.levels, real)

  def init(key, batch):
    return {"net": net.init(key, scaled(batch["x"][:1]))["params"]}, {"net": {}}

  def error(params, x):
    """[B]; x [B, H, W, C] in [0, 1]."""
    return sum_dims((x - net.apply({"params": params}, x)) ** 2)

  def loss(params, mutable, batch, key, step):
    del key, step
    value = error(params["net"], scaled(batch["x"]))
    return value, (mutable["net"], {"squared_error": value})

  def transform(state, x, keys=None, cond=None):
    del keys, cond
    return in_levels(net.apply({"params": averaged(state, "net")}, scaled(x)), spec)

  model = game(
    {"net": Player(minimise("net", loss, optimizer.accumulate), optimizer.make())},
    init,
    evaluate=lambda state, batch, keys: {
      "squared_error": error(averaged(state, "net"), scaled(batch["x"]))
    },
    transform=transform,
    stride=2,
  )
  return single(model)

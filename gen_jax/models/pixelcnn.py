"""PixelCNN: an exact likelihood, one pixel after another (van den Oord et al. 2016).

  model      p(x | c) = prod_i p(x_i | x_1, ..., x_{i-1}, c), by gated masked convolutions
                                                     (arXiv:1601.06759, eq. 1; 1606.05328, eq. 1, 3)

Pixels are in raster order, and the channels of a colour pixel in theirs: an image [H, W, C] is
taken as one of H rows of W C values, so that green is conditioned on red and blue on both.
Learning and sampling are those of `models.autoregressive`.
"""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp
from annotated_types import Ge

from gen_jax.core import Program, Spec, UserError
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.autoregressive import Sampler, autoregressive, check
from gen_jax.models.common import require_images
from gen_jax.nets.pixelcnn import PixelCNN
from gen_jax.schema import Count, Decay, Dtype, builder

Kernel = Annotated[int, Ge(3)]


@builder
def build(
  spec: Spec,
  *,
  conditional: bool = False,
  embed: bool = False,
  channel_order: tuple[int, ...] = (),
  width: Count = 64,
  dilations: tuple[Count, ...] = (1, 2, 1, 4, 1, 2, 1),
  kernel: Kernel = 3,
  first_kernel: Kernel = 5,
  head: Count = 64,
  dropout: Decay = 0.0,
  dtype: Dtype = "float32",
  ema: Decay = 0.999,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  sample: Sampler = Sampler(),
) -> Program:
  """Gated PixelCNN of images [H, W, C] of integers 0..K-1: grey levels, or codes.

  Args:
    spec: of the data; K is spec.levels.
    conditional: condition on the label.
    embed: look levels up in a table instead of scaling them: for codes, which have no order.
    channel_order: of the channels of a pixel, such as (1, 0, 2) for green first; () for their
      own.
    width: channels of the network.
    dilations: of its layers under mask B, one for each.
    kernel, first_kernel: odd sizes of the kernels before masking, the latter of the layer under
      mask A.
    head: channels of the layer before the logits.
    dropout: of the gated features.
    dtype: of the network's computation.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample: see there.

  Raises:
    UserError: if the data are not images of integers, labels are asked for that they lack, or an
      option is out of range.
  """
  require_images(spec, "pixelcnn")
  for name, size in (("kernel", kernel), ("first_kernel", first_kernel)):
    if size % 2 == 0:
      raise UserError(f"model.{name} must be odd, not {size}")
  check(spec, conditional, sample, channel_order)
  height, columns, channels = spec.shape[0], spec.shape[1] * spec.shape[2], spec.shape[2]
  net = PixelCNN(
    spec.levels, columns, embed, channels, head, width, dilations, kernel, first_kernel, dropout,
    spec.classes if conditional else 0, jnp.dtype(dtype),
  )  # fmt: skip
  return autoregressive(
    "pixelcnn", net, (height, columns), spec, condition="label" if conditional else "", ema=ema,
    optimizer=optimizer, sample=sample, channel_order=channel_order,
  )  # fmt: skip

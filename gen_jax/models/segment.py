"""Segmentation: a U-Net, or an FCN, says of each pixel which class it belongs to.

learn      the cross-entropy of the pixels, 1 - soft Dice, or their sum
"""

from __future__ import annotations

from typing import Literal

import chex
import jax.numpy as jnp

from gen_jax.core import Program, Spec, UserError, centre, single
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses import segmentation as losses
from gen_jax.nets.segmentation import FCN, UPSAMPLING, SegmentationUNet, reach
from gen_jax.schema import Count, Decay, Dtype, Positive, builder


@builder
def build(
  spec: Spec,
  *,
  net: Literal["unet", "fcn"] = "unet",
  widths: tuple[Count, ...] = (16, 32, 64, 128),
  every: Count = 8,
  up: Literal[tuple(UPSAMPLING)] = "bilinear",
  norm: Literal["group", "none"] = "group",
  loss: Literal[tuple(losses.LOSSES)] = "both",
  class_weights: tuple[Positive, ...] = (),
  ignore: int = -1,
  dtype: Dtype = "float32",
  ema: Decay = 0.99,
  optimizer: Optimizer = Optimizer(learning_rate=2e-3),
) -> Program:
  """U-Net of images [H, W, C] with a label image `segmentation` [H, W] of K classes.

  `predict` gives logits [B, H, W, K] of images of any height and width that are multiples of
  2^(levels - 1). Where the data have `border` [H, W], pixels weigh that much more than their
  classes. `evaluate`, of the pixels that count: cross_entropy (nats a pixel, weighted), dice_error
  (1 - soft Dice) and pixel_accuracy (their share, unweighted).

  Args:
    spec: of the data, with `segmentation`.
    net: a `SegmentationUNet`, or an `FCN`.
    widths, norm, dtype: of either.
    every: s of the FCN.
    up: of the U-Net.
    loss: what is minimised: cross_entropy, dice, or both, their sum.
    class_weights: one for each class, in the loss; () for 1 each.
    ignore: label of pixels that do not count; -1 for none. Labels beyond K-1 never count.
    ema: decay of the parameter average that predicts; 0 for none.
    optimizer: see there.

  Raises:
    UserError: if the data are no images with label images of their size, or there is not one weight
      a class.
  """
  field = spec.fields.get("segmentation")
  if len(spec.shape) != 3 or field is None or field.shape != spec.shape[:2]:
    raise UserError(
      "segmentation needs images with a label image each, such as data.name=pairs:segmentation;"
      f" these have shape {spec.shape} and the fields {', '.join(spec.fields) or 'none'}"
    )
  if not field.levels or field.levels < 2:
    raise UserError("segmentation needs label images of two classes or more")
  classes, stride = field.levels, 2 ** (len(widths) - 1)
  if not widths:
    raise UserError("model.widths must have 1 or more entries, not ()")
  if min(spec.shape[:2]) < stride:
    raise UserError(
      f"{len(widths)} model.widths halve an image {len(widths) - 1} times, and the data are of"
      f" {spec.shape[0]}x{spec.shape[1]} pixels: give fewer widths"
    )
  if class_weights and len(class_weights) != classes:
    raise UserError(
      f"model.class_weights must have one weight for each of the {classes} classes of segmentation,"
      f" not {len(class_weights)}"
    )
  if net == "fcn" and every not in [2**k for k in range(len(widths))]:
    raise UserError(
      f"model.every must be 1, 2, 4, ..., {stride} with {len(widths)} model.widths, not {every}"
    )
  segmenter = {
    "unet": SegmentationUNet(classes, widths, up, norm, jnp.dtype(dtype)),
    "fcn": FCN(classes, widths, every, norm, jnp.dtype(dtype)),
  }[net]
  real = jnp.promote_types(dtype, jnp.float32)

  def scaled(x):
    chex.assert_shape(x, (None, None, None, spec.shape[-1]))
    return x.astype(real) if spec.levels is None else centre(x, spec.levels, real)

  def weights_of(batch):
    """Of the pixels: in the loss, and in what counts them."""
    labels, border = batch["segmentation"], batch.get("border")
    chex.assert_shape(labels, (None, *field.shape))
    ones = jnp.ones(classes, real)
    weighted = jnp.asarray(class_weights, real) if class_weights else ones
    more = 0.0 if border is None else border.astype(real)
    weight = losses.pixel_weights(labels, weighted, ignore, more)
    return weight, losses.pixel_weights(labels, ones, ignore)

  def init(key, batch):
    return {"net": segmenter.init(key, scaled(batch["x"][:1]))["params"]}, {"net": {}}

  def objective(params, mutable, batch, key, step):
    del key, step
    labels = batch["segmentation"]
    logits = segmenter.apply({"params": params["net"]}, scaled(batch["x"]))
    weight, one = weights_of(batch)
    accuracy = losses.per_weight((logits.argmax(-1) == labels).astype(real), one)
    value = losses.LOSSES[loss](logits, labels, weight)
    return value, (mutable["net"], {"pixel_accuracy": accuracy})

  def predict(state, x):
    return segmenter.apply({"params": averaged(state, "net")}, scaled(x))

  def evaluate(state, batch, keys):
    del keys
    logits, labels = predict(state, batch["x"]), batch["segmentation"]
    weight, one = weights_of(batch)
    return {
      "cross_entropy": losses.pixel_cross_entropy(logits, labels, weight),
      "dice_error": losses.soft_dice_error(logits, labels, weight),
      "pixel_accuracy": losses.per_weight((logits.argmax(-1) == labels).astype(real), one),
    }

  direction = minimise("net", objective, optimizer.accumulate)
  model = game(
    {"net": Player(direction, optimizer.make())},
    init,
    ema={"net": ema} if ema else {},
    evaluate=evaluate,
    predict=predict,
    stride=stride,
    context=reach(len(widths)) if norm == "none" else None,
  )
  return single(model)

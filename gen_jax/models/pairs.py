"""Encoders of pictures and of captions, learnt by telling which belong together.

  u_i of picture i, v_i of caption i, unit vectors;  descend  `losses.contrastive.info_nce`

A joint embedding as Reed et al. (2016, section 4.1) have it, by the loss of van den Oord et al.
(2018) over the batch, symmetric and with a learnt temperature as in Radford et al. (2021, section
2.3). Other pictures with the same caption are no negatives.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.core import Array, Model, PyTree, Spec, UserError, centre
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.contrastive import info_nce, same_rows
from gen_jax.models.common import field_of, require_captions, require_images, scaling
from gen_jax.models.whitening import followed, no_moments
from gen_jax.nets import gan
from gen_jax.nets.stackgan import Sentence, unit_vectors
from gen_jax.schema import Count

FIRST_SCALE, LARGEST_SCALE = 1 / 0.07, 100.0  # of Radford et al., section 2.5


@dataclasses.dataclass(frozen=True)
class Encoders:
  """The encoders' networks.

  embedding: E.
  widths, hidden: of the pictures' convolutions, each of which halves them, and of the dense layers
    behind them.
  text, layers, heads: width, blocks and heads of the captions' transformer.
  """

  embedding: Count = 64
  widths: tuple[Count, ...] = (32, 64, 128)
  hidden: tuple[Count, ...] = (128,)
  text: Count = 64
  layers: Count = 1
  heads: Count = 4


class Pairs(NamedTuple):
  """The encoders as others use them.

  init: (key) -> their parameters, as they begin.
  image: (parameters, x [B, H, W, C] in grey levels) -> u [B, E].
  text: (parameters, captions [B, T]) -> v [B, E].
  model: what learns them.
  """

  init: Callable[[Array], PyTree]
  image: Callable[[PyTree, Array], Array]
  text: Callable[[PyTree, Array], Array]
  model: Model


def pairs_of(
  spec: Spec, net: Encoders, optimizer: Optimizer, dtype: str, moments: bool = False
) -> Pairs:
  """The encoders of pictures and captions of spec.

  moments: whether the state's mutable part keeps those of v, as `models.whitening` takes them.

  `evaluate` gives similarity [B], <u_i, v_i>, and similarity_of_next [B], <u_i, v_{i+1}>. Updates
  log matched, the share of pictures that are most like a caption of their own, and temperature.

  Raises:
    UserError: if the data are no images with captions, or cannot be halved often enough.
  """
  require_images(spec, "an encoder of pictures")
  field = require_captions(spec, "an encoder of captions")
  if net.text % net.heads:
    raise UserError(f"model.encoders.heads={net.heads} must divide its text={net.text}")
  real = jnp.promote_types(dtype, jnp.float32)
  scaled = scaling(spec, real, centre)
  image_net = gan.Critic(
    net.widths, hidden=net.hidden, code=net.embedding, norm="layer", dtype=jnp.dtype(dtype)
  )
  text_net = Sentence(
    field.levels, field.shape[0], net.embedding, net.text, net.layers, net.heads, jnp.dtype(dtype)
  )

  def fresh(key):
    x_key, t_key = jax.random.split(key)
    return {
      "image": image_net.init(x_key, jnp.zeros((1, *spec.shape), real))["params"],
      "text": text_net.init(t_key, jnp.zeros((1, *field.shape), jnp.int32))["params"],
      "log_scale": jnp.asarray(math.log(FIRST_SCALE), real),
    }

  def image(params, x):
    return unit_vectors(image_net.apply({"params": params["image"]}, scaled(x)))

  def text(params, captions):
    return text_net.apply({"params": params["text"]}, captions)

  def both(params, x, cond):
    return image(params, x), text(params, field_of(cond, "caption"))

  def loss(params, mutable, batch, key, step):
    del key
    own, mask = params["encoders"], batch.get("mask")
    u, v = both(own, batch["x"], batch)
    scale = jnp.minimum(jnp.exp(own["log_scale"]), LARGEST_SCALE)
    same = same_rows(batch["caption"])
    value = info_nce(u, v, scale, same, mask)
    likeness = u @ v.T if mask is None else jnp.where(mask, u @ v.T, -2)
    right = jnp.take_along_axis(same, likeness.argmax(1)[:, None], axis=1)[:, 0]
    kept = followed(mutable["encoders"], v, mask, step) if moments else mutable["encoders"]
    return value, (kept, {"matched": right.astype(real), "temperature": 1 / scale})

  def evaluate(state, batch, keys):
    del keys
    u, v = both(averaged(state, "encoders"), batch["x"], batch)
    product = lambda v: (u * v).sum(-1)
    return {"similarity": product(v), "similarity_of_next": product(jnp.roll(v, -1, axis=0))}

  def embed(state, x, keys=None, cond=None):
    del keys
    return both(averaged(state, "encoders"), x, cond)

  start = no_moments(net.embedding, real) if moments else {}
  model = game(
    {"encoders": Player(minimise("encoders", loss, optimizer.accumulate), optimizer.make())},
    lambda key, batch: ({"encoders": fresh(key)}, {"encoders": start}),
    evaluate=evaluate,
    embed=embed,
    cond=("caption",),
  )
  return Pairs(fresh, image, text, model)


def wrong_captions(
  key: Array, captions: Array, mask: Array | None = None, word: bool = False
) -> tuple[Array, Array]:
  """Captions [B, T] of the examples before, and which [B] are wrong ones: not equal by accident,
  and of no padding.

  word: whether all but one word, drawn from those in which the two differ, are the example's own.
  """
  wrong = jnp.roll(captions, 1, axis=0)
  if word:
    among = jnp.where(wrong != captions, 0.0, -jnp.inf)
    place = jax.random.categorical(key, among)[:, None]
    wrong = jnp.where(jnp.arange(captions.shape[1]) == place, wrong, captions)
  mismatched = (wrong != captions).any(-1)
  return wrong, mismatched if mask is None else mismatched & jnp.roll(mask, 1)

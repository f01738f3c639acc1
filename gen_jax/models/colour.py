"""Colourisation: the colours a, b of a picture from how light it is.

  regression      |ab - f(g)|^2 / 110^2, or the sum of absolute values
  classification  - w(q*) sum_q z_q log p_q(g), of bins q of ab    (Zhang, Isola & Efros 2016)
  gan             100 |ab - f(g)| / 110 - log D(g, f(g))           (Isola et al. 2017, see pix2pix)

Each is a mean over pixels. A picture in grey has many colourings, of which the squared error takes
the mean, which is grey itself where they are far apart; a mean over a sharpened distribution of
bins, or a critic, keeps to one of them (Zhang et al. 2016, section 2.3).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from gen_jax.colour import lab_to_rgb, rgb_to_lab
from gen_jax.core import (
  Array,
  Program,
  Spec,
  UserError,
  as_integers,
  masked_mean,
  quantize,
  single,
  unit,
)
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses import colour as losses
from gen_jax.models.common import require_images
from gen_jax.models.cyclegan import CriticNet
from gen_jax.models.pix2pix import conditional_game
from gen_jax.nets.segmentation import UPSAMPLING, SegmentationUNet
from gen_jax.nets.translation import PatchCritic, smallest_map
from gen_jax.schema import Count, Decay, Dtype, NonNegative, Share, builder

SCALE = 110  # of a and b, which networks see and give in -1..1
BISECTIONS = 20


@dataclasses.dataclass(frozen=True)
class Decoding:
  """How classified colours are decoded.

  temperature: T of the annealed mean; 0 for the most probable bin, 1 for the mean.
  """

  temperature: NonNegative = 0.38


@dataclasses.dataclass(frozen=True)
class Net:
  """The network from grey to ab or bins, see `nets.segmentation.SegmentationUNet`."""

  widths: tuple[Count, ...] = (24, 48, 96)
  up: Literal[tuple(UPSAMPLING)] = "bilinear"
  norm: Literal["group", "none"] = "group"


def lightness_of(rgb: Array) -> Array:
  """L / 100 [...] of rgb [..., 3] in [0, 1]."""
  return rgb_to_lab(rgb)[..., 0] / 100


def with_lightness(given: Array, ab: Array) -> Array:
  """rgb [..., 3] of that L / 100 [...] and ab [..., 2], clipped to what sRGB has."""
  return lab_to_rgb(jnp.concatenate([100 * given[..., None], ab], axis=-1)).clip(0, 1)


def value_of(rgb: Array) -> Array:
  """The largest channel [...] of rgb [..., 3], V of HSV."""
  return rgb.max(-1)


def with_value(given: Array, ab: Array) -> Array:
  """rgb [..., 3] of that largest channel [...] and ab [..., 2], clipped to what sRGB has.

  The largest channel rises with L, which is found by bisection.
  """
  low = jnp.zeros_like(given)
  high = low + 1
  for _ in range(BISECTIONS):
    middle = (low + high) / 2
    below = value_of(lab_to_rgb(jnp.concatenate([100 * middle[..., None], ab], axis=-1))) < given
    low, high = jnp.where(below, middle, low), jnp.where(below, high, middle)
  return with_lightness((low + high) / 2, ab)


ERRORS: dict[str, Callable] = {"l2": jnp.square, "l1": jnp.abs}
# What a picture in grey tells: (rgb -> given in [0, 1], (given, ab) -> rgb).
GIVEN: dict[str, tuple[Callable, Callable]] = {
  "lightness": (lightness_of, with_lightness),
  "value": (value_of, with_value),
}


@builder
def build(
  spec: Spec,
  *,
  learn: Literal["regression", "classification", "gan"] = "classification",
  given: Literal[tuple(GIVEN)] = "lightness",
  error: Literal[tuple(ERRORS)] = "l2",
  sigma: NonNegative = 5.0,
  uniform: Share = 1.0,
  l1_weight: NonNegative = 100.0,
  net: Net = Net(),
  critic: CriticNet = CriticNet(),
  dtype: Dtype = "float32",
  ema: Decay = 0.0,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  critic_optimizer: Optimizer = Optimizer(learning_rate=2e-4, b1=0.5),
  sample: Decoding = Decoding(),
) -> Program:
  """Colourisation of images [H, W, 3] with grey levels.

  `observe` gives the grey picture [H, W, 3], of equal channels, that the model sees, rounded to the
  data's levels; `transform` takes it, or the picture in colours, of which it sees no more, and
  gives RGB in the data's levels. `evaluate` gives ab_squared_error, |ab - ab^|^2 a pixel, before
  colours are rounded and clipped to sRGB; and where bins are classified, in nats a pixel,
  cross_entropy (- log p of the nearest bin) and, of soft codes, code_divergence (KL(z || p), see
  `losses.colour`). Where the data have label images, the names that end in _foreground are of the
  pixels of classes above 0.

  Args:
    spec: of the data.
    learn: what is minimised, see above.
    given: what the model sees: L of Lab, or V of HSV, which says nothing of the hue of a pure
      colour.
    error: of regression.
    sigma: of the bins' soft codes, in units of ab; 0 for the nearest bin alone.
    uniform: lambda, the share of the uniform distribution in what rare bins are weighted by, 1/2 in
      the source; 1 for no weights. The other share is the mean code of the training data, which
      averages over the batches seen.
    l1_weight: of the absolute error, with a critic.
    net, critic: networks, see there.
    dtype: of the networks' computation.
    ema: decay of the average of the net's parameters that colours; 0 for none.
    optimizer, critic_optimizer: see there.
    sample: see there.

  Raises:
    UserError: if the data are not RGB images with grey levels, or the networks do not fit them.
  """
  check(spec, net, critic if learn == "gan" else None)
  real = jnp.promote_types(dtype, jnp.float32)
  classify, stride = learn == "classification", 2 ** (len(net.widths) - 1)
  outputs = len(losses.bins()) if classify else 2
  network = SegmentationUNet(outputs, **dataclasses.asdict(net), dtype=jnp.dtype(dtype))
  judge = PatchCritic(**dataclasses.asdict(critic), dtype=jnp.dtype(dtype))
  see, recombine = GIVEN[given]
  name = "generator" if learn == "gan" else "net"

  def seen(x):
    """[B, H, W, 1] in [-1, 1]."""
    chex.assert_shape(x, (None, None, None, 3))
    return 2 * see(unit(x, spec.levels, real))[..., None] - 1

  def colours(x):
    """ab [B, H, W, 2]."""
    chex.assert_shape(x, (None, *spec.shape))
    return rgb_to_lab(unit(x, spec.levels, real))[..., 1:]

  def apply(params, g):
    return network.apply({"params": params}, g)

  def score(params, g, ab):
    return judge.apply({"params": params}, jnp.concatenate([g, ab], axis=-1))

  def decoded(out):
    """ab [B, H, W, 2] of the net's output."""
    return losses.annealed_mean(out, sample.temperature) if classify else SCALE * out

  def init(key, batch):
    net_key, critic_key = jax.random.split(key)
    g = seen(batch["x"][:1])
    params, mutable = {name: network.init(net_key, g)["params"]}, {name: {}}
    if learn == "gan":
      pair = jnp.concatenate([g, colours(batch["x"][:1]) / SCALE], axis=-1)
      params["critic"], mutable["critic"] = judge.init(critic_key, pair)["params"], {}
    elif classify and uniform < 1:
      prior = mean_code(colours(batch["x"]), sigma, batch.get("mask"))
      mutable[name] = {"prior": prior, "batches": jnp.int32(0)}
    return params, mutable

  def regression(params, mutable, batch, key, step):
    del key, step
    apart = colours(batch["x"]) / SCALE - apply(params[name], seen(batch["x"]))
    return ERRORS[error](apart).sum(-1).mean((1, 2)), (mutable[name], {})

  def classification(params, mutable, batch, key, step):
    del key, step
    ab, own = colours(batch["x"]), mutable[name]
    value = losses.cross_entropy(apply(params[name], seen(batch["x"])), ab, sigma)
    terms = {"cross_entropy": value.mean((1, 2))}
    if uniform < 1:
      value = value * losses.bin_weights(own["prior"], uniform)[losses.nearest(ab)]
      more = (mean_code(ab, sigma, batch.get("mask")) - own["prior"]) / (own["batches"] + 1)
      own = {"prior": own["prior"] + more, "batches": own["batches"] + 1}
    return value.mean((1, 2)), (own, terms)

  def evaluate(state, batch, keys):
    """Terms [B], see above."""
    del keys
    ab, out = colours(batch["x"]), apply(averaged(state, name), seen(batch["x"]))
    terms = {"ab_squared_error": ((ab - decoded(out)) ** 2).sum(-1)}
    terms |= class_terms(out, ab, sigma) if classify else {}
    return over_pixels(terms, batch.get("segmentation"))

  def observe(state, x, keys=None, cond=None):
    """The picture in grey: its L as that of a grey, or its V."""
    del state, keys, cond
    tone = see(unit(x, spec.levels, real))
    grey = recombine(tone, jnp.zeros((*tone.shape, 2), real))
    return as_integers(jnp.round((spec.levels - 1) * grey), spec.levels)

  def transform(state, x, keys=None, cond=None):
    """In colours, clipped to sRGB and rounded to the data's levels."""
    del keys, cond
    g = seen(x)
    rgb = recombine((g[..., 0] + 1) / 2, decoded(apply(averaged(state, name), g)))
    return quantize(2 * rgb - 1, spec.levels)

  if learn == "gan":
    players = conditional_game(
      lambda batch: (seen(batch["x"]), colours(batch["x"]) / SCALE),
      lambda params, g, key: apply(params, g),
      score, l1_weight=l1_weight, generator_optimizer=optimizer, critic_optimizer=critic_optimizer,
    )  # fmt: skip
  else:
    loss = classification if classify else regression
    players = {name: Player(minimise(name, loss, optimizer.accumulate), optimizer.make())}
  return single(
    game(
      players,
      init,
      ema={name: ema} if ema else {},
      evaluate=evaluate,
      observe=observe,
      transform=transform,
      stride=stride,
    )
  )


def mean_code(ab: Array, sigma: float, mask: Array | None) -> Array:
  """The mean [Q] of the codes of all pixels of ab [B, H, W, 2]."""
  codes = losses.soft_code(ab, sigma).mean((1, 2))
  return jax.vmap(lambda code: masked_mean(code, mask), 1)(codes)


def class_terms(out: Array, ab: Array, sigma: float) -> dict[str, Array]:
  """cross_entropy, and of soft codes code_divergence, [B, H, W] of logits [B, H, W, Q]."""
  terms = {"cross_entropy": losses.cross_entropy(out, ab, 0)}
  if sigma:
    entropy = jax.scipy.special.entr(losses.soft_code(ab, sigma)).sum(-1)
    terms["code_divergence"] = losses.cross_entropy(out, ab, sigma) - entropy
  return terms


def over_pixels(terms: dict[str, Array], labels: Array | None) -> dict[str, Array]:
  """Means [B] of terms [B, H, W] over pixels, and where there are labels [B, H, W], over those of a
  class above 0; 0 where an example has none."""
  out = {name: value.mean((1, 2)) for name, value in terms.items()}
  if labels is not None:
    for name, value in terms.items():
      inside = (labels > 0).astype(value.dtype)
      out[f"{name}_foreground"] = (inside * value).sum((1, 2)) / inside.sum((1, 2)).clip(1)
  return out


def check(spec: Spec, net: Net, critic: CriticNet | None) -> None:
  """Refuses data that are not RGB images, and networks that do not fit them."""
  require_images(spec, "colour")
  if spec.shape[-1] != 3:
    raise UserError(f"colour needs RGB images, not of shape {spec.shape}: set data.channels=3")
  stride = 2 ** (len(net.widths) - 1)
  if not net.widths or min(spec.shape[:2]) < stride:
    raise UserError(
      f"model.net.widths={net.widths} must have 1 or more entries, and halve an image of"
      f" {spec.shape[0]}x{spec.shape[1]} pixels to 1 or more: give others"
    )
  if critic is not None and (
    not critic.widths or smallest_map(min(spec.shape[:2]), len(critic.widths)) < 1
  ):
    raise UserError(
      f"model.critic.widths={critic.widths} leave nothing of images of shape {spec.shape}, or are"
      " none: give fewer"
    )

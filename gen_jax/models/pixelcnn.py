"""PixelCNN: an exact likelihood, one pixel after another (van den Oord et al. 2016).

  model      p(x | c) = prod_i p(x_i | x_1, ..., x_{i-1}, c), a softmax over the K levels of x_i
                                                     (arXiv:1601.06759, eq. 1; 1606.05328, eq. 1, 3)
  learn      -log p(x | c), with every factor from one pass of a masked network
  sample     x_i ~ p(x_i | x_1, ..., x_{i-1}, c), i = 1..D, one pass of the network for each

Pixels are in raster order, and the channels of a colour pixel in their order: an image [H, W, C] is
taken as one of H rows of W C values, so that green is conditioned on red and blue on both.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from gen_jax.core import Array, Program, Spec, UserError, count_dims, single
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.nets.pixelcnn import PixelCNN


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How samples are drawn.

  temperature: divides the logits; 1 is the model's own distribution, below it a sharper one, and 0
    takes the likeliest level.
  top_k: draw among this many likeliest levels only; 0 for all.
  """

  temperature: float = 1.0
  top_k: int = 0


def build(
  spec: Spec,
  *,
  conditional: bool = False,
  embed: bool = False,
  width: int = 64,
  dilations: tuple[int, ...] = (1, 2, 1, 4, 1, 2, 1),
  kernel: int = 3,
  first_kernel: int = 5,
  head: int = 64,
  dropout: float = 0.0,
  dtype: Literal["float32", "bfloat16", "float64"] = "float32",
  ema: float = 0.999,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  sample: Sampler = Sampler(),
) -> Program:
  """Gated PixelCNN of images [H, W, C] of integers 0..K-1: grey levels, or codes.

  `evaluate` gives nll in nats and bits_per_dim; both, like `log_prob`, are exact.

  Args:
    spec: of the data; K is spec.levels.
    conditional: condition on the label.
    embed: look levels up in a table instead of scaling them: for codes, which have no order.
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
  check(spec, conditional, width, dilations, kernel, first_kernel, head, dropout, ema, sample)
  height, columns, channels = spec.shape[0], spec.shape[1] * spec.shape[2], spec.shape[2]
  net = PixelCNN(
    spec.levels, embed, channels, head, width, dilations, kernel, first_kernel, dropout,
    spec.classes if conditional else 0, jnp.dtype(dtype),
  )  # fmt: skip

  def rows_of(x):
    chex.assert_shape(x, (None, *spec.shape))
    return x.reshape(len(x), height, columns).astype(jnp.int32)

  def label_of(cond):
    return cond["label"] if conditional else None

  def init(key, batch):
    first = jax.tree.map(lambda leaf: leaf[:1], batch)
    params = net.init(key, rows_of(first["x"]), label_of(first))["params"]
    return {"pixelcnn": params}, {"pixelcnn": {}}

  def nll(params, x, label, **how):
    """-log p(x | label) in nats [B]."""
    x = rows_of(x)
    logits = net.apply({"params": params}, x, label, **how)
    return optax.softmax_cross_entropy_with_integer_labels(logits, x).sum((1, 2))

  def bits(nats):
    return nats / (count_dims(spec) * math.log(2))

  def loss(params, mutable, batch, key, step):
    del step
    how = {"train": True, "rngs": {"dropout": key}}
    value = nll(params["pixelcnn"], batch["x"], label_of(batch), **how)
    return value, (mutable["pixelcnn"], {"bits_per_dim": bits(value)})

  def evaluate(state, batch, keys):
    del keys
    value = nll(averaged(state, "pixelcnn"), batch["x"], label_of(batch))
    return {"nll": value, "bits_per_dim": bits(value)}

  def log_prob(state, x, keys=None, cond=None):
    """log p(x | cond) in nats [B], exact."""
    del keys
    return -nll(averaged(state, "pixelcnn"), x, label_of(cond))

  def draw(state, keys, cond=None):
    params, label = {"params": averaged(state, "pixelcnn")}, label_of(cond)

    def add(i, x):
      at = i // columns, i % columns
      logits = net.apply(params, x, label, at)
      return x.at[:, at[0], at[1]].set(drawn(keys, i, logits, sample))

    x = jnp.zeros((len(keys), height, columns), jnp.int32)
    x = lax.fori_loop(0, height * columns, add, x)
    return x.reshape(-1, *spec.shape).astype(np.min_scalar_type(spec.levels - 1))

  model = game(
    {"pixelcnn": Player(minimise("pixelcnn", loss), optimizer.make())},
    init,
    ema={"pixelcnn": ema} if ema else {},
    evaluate=evaluate,
    sample=draw,
    log_prob=log_prob,
    cond=("label",) if conditional else (),
  )
  return single(model)


def drawn(keys: Array, i: Array, logits: Array, sampler: Sampler) -> Array:
  """Levels [n] of pixel i from logits [n, K], each by its own key of keys [n]."""
  if sampler.top_k:
    smallest = lax.top_k(logits, sampler.top_k)[0][:, -1:]
    logits = jnp.where(logits < smallest, -jnp.inf, logits)
  if not sampler.temperature:
    return logits.argmax(-1).astype(jnp.int32)
  one = lambda key, row: jax.random.categorical(jax.random.fold_in(key, i), row)
  return jax.vmap(one)(keys, logits / sampler.temperature).astype(jnp.int32)


def check(spec, conditional, width, dilations, kernel, first_kernel, head, dropout, ema, sample):
  """Refuses what the builder cannot serve, in one line."""
  if len(spec.shape) != 3 or spec.levels is None or spec.levels < 2:
    raise UserError(f"pixelcnn models images of integer levels, not data of shape {spec.shape}")
  if conditional and spec.classes < 1:
    raise UserError("conditional=True needs labels, and these data have none: set it False")
  if min(kernel, first_kernel) < 3 or kernel % 2 == 0 or first_kernel % 2 == 0:
    raise UserError(f"kernel and first_kernel are odd and 3 or more, not {kernel}, {first_kernel}")
  if min((width, head, *dilations)) < 1:
    raise UserError(f"width={width}, head={head} and dilations={dilations} are numbers from 1 on")
  if not 0 <= dropout < 1:
    raise UserError(f"dropout is a share from 0 up to, not including, 1, not {dropout}")
  if not 0 <= ema < 1:
    raise UserError(f"ema is a decay from 0 up to, not including, 1, not {ema}")
  if sample.temperature < 0:
    raise UserError(f"sample.temperature must be 0 or more, not {sample.temperature}")
  if not 0 <= sample.top_k <= spec.levels:
    raise UserError(
      f"sample.top_k must be 0 (all) or up to {spec.levels}, the levels, not {sample.top_k}"
    )

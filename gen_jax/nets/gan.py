"""Generators and critics: dense, convolutional after DCGAN (Radford et al. 2016), or residual.

The generator doubles the resolution by sub-pixel convolutions (`nets.conv.double`): a 3x3 one at
the lower resolution, laid out as two by two pixels. DCGAN's 4x4 transposed convolution of stride 2
is a special case of it; nearest-neighbour upsampling and a 3x3 convolution cost the same and can
express less. The critic halves it by 4x4 convolutions of stride 2.

Both are written as dense layers on windows, the same functions as the convolutions. A penalty takes
the gradient of a gradient, and on CPU XLA is slow at that of a strided convolution, and at any with
few positions and many channels (8x8 digits: 158 ms against 13 for a penalised critic, 157 against
9 for a generator); products of matrices keep their speed, also inside loops.

Residual players are those of Gulrajani et al. 2017 (appendix C): blocks of two 3x3 convolutions
beside a shortcut, with nearest-neighbour upsampling and with average pooling; the critic goes on
with two blocks that keep the resolution, and its logit is of the average over all positions. Their
convolutions are ordinary ones: these players are for accelerators.

Batch normalisation lets a critic's logit depend on the other examples of its batch, which changes
what a gradient penalty means (`losses.penalties`): penalised critics have layer normalisation over
whole examples, or none (Gulrajani et al. 2017, section 4). A critic's weights may be divided by
their largest singular values (Miyato et al. 2018), and it may see several examples at once
(`pack`), or be told how much those of a group differ (`nets.minibatch`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal, get_args

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets import mlp
from gen_jax.nets.conv import UpConv, border, double, enlarge, halve, pool, windows
from gen_jax.nets.dense import Dense
from gen_jax.nets.minibatch import MinibatchDiscrimination, minibatch_deviation

Norm = Literal["none", "layer", "batch"]
Activation = Literal[(*get_args(mlp.Activation), "gated")]
Init = Literal["normal", "uniform"]
Statistic = Literal["none", "deviation", "discrimination"]
leaky = partial(nn.leaky_relu, negative_slope=0.2)


def join(x: Array) -> Array:
  """Groups of m examples [n, m, ..., C] as one of more features or channels each: [n, ..., m C]."""
  x = jnp.moveaxis(x, 1, -2)
  return x.reshape(*x.shape[:-2], -1)


def pack(x: Array, m: int) -> Array:
  """PacGAN's packing (Lin et al. 2018, section 3): x [B, ..., C] -> [B / m, ..., m C]."""
  return join(x.reshape(-1, m, *x.shape[1:]))


def kernels(init_std: float, init: Init = "normal"):
  """Initial weights: N(0, init_std^2), or uniform with that deviation; 1 / sqrt(inputs) for 0."""
  initializers = nn.initializers
  if init == "uniform":
    limit = init_std * math.sqrt(3)
    between = lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -limit, limit)
    return between if init_std else initializers.lecun_uniform()
  return initializers.normal(init_std) if init_std else initializers.lecun_normal()


def gate(h: Array) -> Array:
  """sigmoid(a) tanh(b) [..., C] of h [..., 2 C], a its even channels and b its odd ones."""
  pairs = h.reshape(*h.shape[:-1], -1, 2)
  return nn.sigmoid(pairs[..., 0]) * nn.tanh(pairs[..., 1])


def activation_of(name: Activation):
  """The function of that name; leaky_relu with DCGAN's slope, 0.2; gated halves the channels."""
  own = {"leaky_relu": leaky, "gated": gate}
  return own[name] if name in own else mlp.activation_of(name)


def layer_norm(x: Array, **kwargs) -> Array:
  """Normalises each example of [B, ..., C] over all its values; scale and bias for each channel."""
  over = tuple(range(1, x.ndim))
  return nn.LayerNorm(reduction_axes=over, feature_axes=-1, **kwargs)(x)


def batch_norm(h: Array, mask: Array | None, train: bool, dtype: jnp.dtype) -> Array:
  """Normalises [B, ..., C] over the examples with mask [B] True, where `train`, and else by the
  statistics in the collection `batch_stats`.

  Where `train`, that collection comes out as the statistics of this batch: averaging them is the
  caller's. Parameters and statistics are float32 or wider.
  """
  real = jnp.promote_types(dtype, jnp.float32)
  rows = None if mask is None else mask.reshape(-1, *[1] * (h.ndim - 1))
  return nn.BatchNorm(
    use_running_average=not train, momentum=0.0,
    force_float32_reductions=real == jnp.float32, dtype=dtype, param_dtype=real,
  )(h, mask=rows)  # fmt: skip


class Generator(nn.Module):
  """z [B, Z], condition [B, K] or None -> [B, *shape].

  shape: of an example.
  hidden: dense layers.
  widths: channels from the lowest resolution on, each doubled once; () for dense layers only.
  residual: whether a residual block doubles each, instead of a convolution.
  norm: before each hidden activation; batch as in `batch_norm`.
  activation: of hidden units; gated has layers twice as wide (`gate`).
  bounded: whether a tanh keeps the result in [-1, 1].
  init_std, initial: of the initial weights, see `kernels`.
  dtype: of the computation; parameters, statistics and the result are float32 or wider.
  """

  shape: Sequence[int]
  hidden: Sequence[int] = ()
  widths: Sequence[int] = ()
  residual: bool = False
  norm: Norm = "batch"
  activation: Activation = "relu"
  bounded: bool = True
  init_std: float = 0.0
  initial: Init = "normal"
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, z: Array, condition: Array | None = None, mask: Array | None = None, train: bool = False
  ) -> Array:
    chex.assert_rank(z, 2)
    real = jnp.promote_types(self.dtype, jnp.float32)
    types = {"dtype": self.dtype, "param_dtype": real}
    kwargs = {**types, "kernel_init": kernels(self.init_std, self.initial)}
    # A bias before batch normalisation is cancelled by it.
    inner = {**kwargs, "use_bias": self.norm != "batch"}
    wide = 2 if self.activation == "gated" else 1

    def activate(h):
      if self.norm == "layer":
        h = layer_norm(h, **types)
      if self.norm == "batch":
        h = batch_norm(h, mask, train, self.dtype)
      return activation_of(self.activation)(h)

    h = mlp.join(z, condition)
    for width in self.hidden:
      h = activate(Dense(wide * width, **inner)(h))
    if self.widths:
      height, width, channels = self.shape
      scale = 2 ** len(self.widths)
      first = (height // scale, width // scale, wide * self.widths[0])
    if self.residual:
      h = Dense(math.prod(first), **kwargs)(h).reshape(-1, *first)
      for features in (*self.widths[1:], self.widths[-1]):
        r = UpConv(features, **inner)(activate(h))
        r = nn.Conv(features, (3, 3), **kwargs)(activate(r))
        h = Dense(features, **kwargs)(enlarge(h)) + r
      x = nn.Conv(channels, (3, 3), **kwargs)(activate(h))
    elif self.widths:
      h = activate(Dense(math.prod(first), **inner)(h).reshape(-1, *first))
      for features in self.widths[1:]:
        h = activate(double(Dense(4 * wide * features, **inner)(windows(border(h), 3))))
      x = double(Dense(4 * channels, **kwargs)(windows(border(h), 3)))
    else:
      x = Dense(math.prod(self.shape), **kwargs)(h).reshape(-1, *self.shape)
    x = x.astype(real)
    return jnp.tanh(x) if self.bounded else x


class Critic(nn.Module):
  """x [B, ...], condition [B, K] or None -> logit [B], that of each example from itself alone.

  With batch normalisation and `train`, from its batch (`batch_norm`); with a statistic, from its
  group, examples i, i + B / group, ...

  code: for a critic that is an autoencoder's encoder, length of the code [B, code] that takes the
    logit's place.
  widths: channels of each convolution, which halves H and W; () for dense layers only.
  residual: whether a residual block halves them, instead of a convolution.
  hidden: dense layers behind them.
  activation: of hidden units; gated has layers twice as wide (`gate`).
  maxout: pieces of which each unit of a dense layer takes the largest (Goodfellow et al. 2013); 0
    for the activation, which follows convolutions always.
  norm: before each hidden activation but the first (DCGAN's rule); batch as in `batch_norm`.
  spectral: divide all weights by their largest singular value, found by power iteration from the
    vectors in the collection `batch_stats`, which go one iteration on where `train`.
  projection: the condition adds <V condition, h> to the logit, h the last hidden layer (Miyato &
    Koyama 2018, eq. 3), instead of being joined to x.
  statistic: of the group that an example is in (`nets.minibatch`), beside the last hidden layer;
    kernels and dims are of discrimination.
  bias: whether the logit has one.
  init_std, initial: of the initial weights, see `kernels`.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  widths: Sequence[int] = ()
  residual: bool = False
  hidden: Sequence[int] = ()
  code: int = 0
  activation: Activation = "leaky_relu"
  maxout: int = 0
  norm: Norm = "none"
  spectral: bool = False
  projection: bool = False
  statistic: Statistic = "none"
  kernels: int = 100
  dims: int = 5
  bias: bool = True
  init_std: float = 0.0
  initial: Init = "normal"
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, x: Array, condition: Array | None = None, mask: Array | None = None,
    train: bool = False, group: int = 1,
  ) -> Array:  # fmt: skip
    real = jnp.promote_types(self.dtype, jnp.float32)
    types = {"dtype": self.dtype, "param_dtype": real}
    kwargs = {**types, "kernel_init": kernels(self.init_std, self.initial)}
    activate = activation_of(self.activation)

    def normalise(h, i):
      if self.norm == "batch" and i:
        return batch_norm(h, mask, train, self.dtype)
      return layer_norm(h, **types) if self.norm == "layer" and i else h

    def apply(layer, h):
      if not self.spectral:
        return layer(h)
      return nn.SpectralNorm(layer, param_dtype=real)(h, update_stats=train)

    # A bias before batch normalisation is cancelled by it.
    biased = lambda i: {"use_bias": not (self.norm == "batch" and i)}

    def dense(features, h, **other):
      return apply(Dense(features, **kwargs, **other), h)

    def block(h, features, down, pixels=False):
      seen = h if pixels else activate(normalise(h, 1))
      r = apply(nn.Conv(features, (3, 3), **kwargs), seen)
      r = apply(nn.Conv(features, (3, 3), **kwargs), activate(normalise(r, 1)))
      return dense(features, pool(h)) + pool(r) if down else h + r

    wide = 2 if self.activation == "gated" else 1
    joined = None if self.projection else condition
    if self.widths:
      chex.assert_rank(x, 4)
      h = mlp.join(x, None if joined is None else joined[:, None, None, :])
    else:
      h = mlp.join(x.reshape(len(x), -1), joined)
    if self.residual:
      for i, width in enumerate(self.widths):
        h = block(h, width, down=True, pixels=i == 0)
      for _ in range(2):
        h = block(h, self.widths[-1], down=False)
      h = activate(h).mean(axis=(1, 2))
    else:
      for i, width in enumerate(self.widths):
        h = dense(wide * width, windows(halve(border(h)), 2), **biased(i))
        h = activate(normalise(h, i))
    h = h.reshape(len(h), -1)
    pieces = max(self.maxout, wide)
    for i, width in enumerate(self.hidden, start=len(self.widths)):
      h = normalise(dense(width * pieces, h, **biased(i)), i)
      h = h.reshape(len(h), width, pieces).max(axis=-1) if self.maxout else activate(h)
    if self.code:
      return dense(self.code, h).astype(real)
    if self.statistic == "deviation":
      h = minibatch_deviation(h[:, None, None, :], group, mask)[:, 0, 0]
    if self.statistic == "discrimination":
      h = MinibatchDiscrimination(self.kernels, self.dims, self.dtype)(h, group, mask)
    logit = dense(1, h, use_bias=self.bias)[:, 0].astype(real)
    if self.projection and condition is not None:
      logit += (dense(h.shape[-1], condition, use_bias=False) * h).sum(axis=-1).astype(real)
    return logit

"""Masked diffusion (Sahoo et al. 2024, arXiv:2406.07524) and decoding as MaskGIT's.

  learn      E_n T/n sum_{i hidden} -log p(x_i | x_n, c),  n of the T integers hidden, n uniform in
             1..T; it bounds -log p(x | c) from above
  sample     all T hidden; in each step some of the hidden are drawn from p(x_i | x_t, c), those of
             an order of chance (ancestral), or those whose draws are surest (MaskGIT:
             Chang et al. 2022, arXiv:2202.04200)
  complete   the same, from what is given

The network sees all that is not hidden, so that any part can be filled in given any other. Levels
and positions are looked up in tables, which know no order among them. Labels are dropped at random
for classifier-free guidance (Ho & Salimans 2022), if asked for. See `gen_jax.diffusion.masked`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import (
  Array,
  Program,
  PyTree,
  Spec,
  UserError,
  as_integers,
  count_dims,
  single,
)
from gen_jax.diffusion.masked import RULES, Predict, bound, bound_at, unmask
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.diffusion import stratified
from gen_jax.models import autoregressive
from gen_jax.models.autoregressive import drawn
from gen_jax.models.common import bits_per_dim, label_of
from gen_jax.models.hiding import Hiding, hole_of, mark, read
from gen_jax.nets.masked import MaskedTransformer
from gen_jax.schema import Count, Decay, Dtype, Natural, NonNegative, Share, builder


@dataclasses.dataclass(frozen=True)
class Decoding(autoregressive.Sampler):
  """How what is hidden is drawn.

  method: ancestral, in an order of chance, as many in each step; or confidence, MaskGIT's.
  steps: number of network calls, 0 for one at each position.
  noise: temperature of confidence, 4.5 in MaskGIT's code: of the noise that is added to it, and
    falls to 0 with the steps.
  guidance: w of (1 + w) log p(x_i | x_t, label) - w log p(x_i | x_t); 0 for none.
  """

  method: Literal[*RULES] = "ancestral"
  steps: Natural = 0
  noise: NonNegative = 4.5
  guidance: NonNegative = 0.0


@dataclasses.dataclass(frozen=True)
class Sampler(Decoding, Hiding):
  """How samples are drawn, and what `observe` hides for `transform` to fill in."""


@dataclasses.dataclass(frozen=True)
class Likelihood:
  """How the bound is estimated.

  counts: numbers n of hidden positions at which an example is evaluated, one in each of as many
    equal strata of 1..T; 0 for all.
  """

  counts: Natural = 0


class Parts(NamedTuple):
  """What learning, likelihoods and sampling share.

  hideable: whether labels are dropped in training, so that there is a model without them.
  """

  spec: Spec
  net: MaskedTransformer
  hideable: bool

  def sequence(self, x: Array) -> Array:
    """x [B, *spec.shape] as int32 [B, T]."""
    chex.assert_shape(x, (None, *self.spec.shape))
    return x.reshape(len(x), -1).astype(jnp.int32)

  def label(self, cond: Mapping | None, n: int) -> Array | None:
    """Labels [n], or None of a model without; "none" where there is no condition and it was
    learnt."""
    if not self.net.classes:
      return None
    if cond is None and self.hideable:
      return jnp.full(n, self.net.classes)
    return label_of(cond)

  def predict(self, params: PyTree, label: Array | None, guidance: float = 0.0, **how) -> Predict:
    """x [B, T], K where it is hidden -> logits, by the label and guidance."""
    apply = lambda x, label: self.net.apply({"params": params}, x, label, **how)
    if not guidance:
      return lambda x: apply(x, label)

    def guided(x):
      both = jnp.concatenate([label, jnp.full_like(label, self.net.classes)])
      logits = jax.nn.log_softmax(apply(jnp.concatenate([x, x]), both))
      with_label, without = jnp.split(logits, 2)
      return (1 + guidance) * with_label - guidance * without

    return guided


@builder
def build(
  spec: Spec,
  *,
  conditional: bool = False,
  condition_dropout: Share = 0.0,
  width: Count = 128,
  layers: Count = 4,
  heads: Count = 4,
  dropout: Decay = 0.1,
  dtype: Dtype = "float32",
  remat: bool = False,
  ema: Decay = 0.999,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3, warmup=100),
  sample: Sampler = Sampler(),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """Masked diffusion of integers 0..K-1 of any shape, which it takes as sequences [T].

  `observe` gives images [H, W, C] with one channel more, alpha: the highest level where a pixel is
  known, 0 where it is hidden as the others are; and other data with K where they are hidden.
  `transform` fills in what is given so; what is known stays as it is. `evaluate` gives nll in nats
  and bits_per_dim, which are bounds from above, as `log_prob` is one from below. `trajectory` shows
  what is hidden yet as K // 2.

  Args:
    spec: of the data; K is spec.levels.
    conditional: condition on the label.
    condition_dropout: share of labels hidden in training, so that the unconditional model is learnt
      too, which guidance and draws without a label need.
    width, layers, heads, dropout: of `MaskedTransformer`; its time and memory grow with T^2.
    dtype: of the network's computation.
    remat: whether the gradient computes the blocks again instead of keeping what is in them.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample, likelihood: see there.

  Raises:
    UserError: if the data are not integers, labels are asked for that they lack, or an option is
      out of range.
  """
  length = count_dims(spec)
  check(spec, conditional, condition_dropout, width, heads, sample, likelihood)
  net = MaskedTransformer(
    spec.levels, length, width, layers, heads, dropout, spec.classes if conditional else 0,
    jnp.dtype(dtype), remat,
  )  # fmt: skip
  parts = Parts(spec, net, bool(condition_dropout))
  steps = sample.steps or length

  def init(key, batch):
    x = parts.sequence(batch["x"][:1])
    return {"masked": net.init(key, x, parts.label(batch, len(x)))["params"]}, {"masked": {}}

  def loss(params, mutable, batch, key, step):
    """The bound at one n of each example, the batch's in strata."""
    del step
    x, label = parts.sequence(batch["x"]), parts.label(batch, len(batch["x"]))
    n_key, hide_key, label_key, dropout_key = jax.random.split(key, 4)
    if label is not None and condition_dropout:
      hidden = jax.random.bernoulli(label_key, condition_dropout, label.shape)
      label = jnp.where(hidden, spec.classes, label)
    how = {"train": True, "rngs": {"dropout": dropout_key}}
    n = 1 + stratified(n_key, len(x), length, batch.get("mask"))
    predict = parts.predict(params["masked"], label, **how)
    value = bound_at(predict, x, n, jax.random.split(hide_key, len(x)), spec.levels)
    return value, (mutable["masked"], {"bits_per_dim": bits_per_dim(value, spec)})

  def nll(state, x, keys, cond):
    """The bound on -log p(x | cond) in nats [B]."""
    predict = parts.predict(averaged(state, "masked"), parts.label(cond, len(x)))
    return bound(predict, parts.sequence(x), keys, spec.levels, likelihood.counts)

  def evaluate(state, batch, keys):
    """nll and bits_per_dim, bounds from above."""
    value = nll(state, batch["x"], keys, batch)
    return {"nll": value, "bits_per_dim": bits_per_dim(value, spec)}

  def log_prob(state, x, keys, cond=None):
    """A lower bound on log p(x | cond) in nats [B], estimated without bias."""
    return -nll(state, x, keys, cond)

  def filled(state, keys, x, hidden, cond, frames=0):
    """x [n, T] with what is hidden [n, T] drawn."""
    label = parts.label(cond, x.shape[0])
    predict = parts.predict(averaged(state, "masked"), label, sample.guidance)
    draw = lambda keys, i, logits: drawn(keys, i, logits, sample)
    return unmask(
      predict, keys, x, hidden, levels=spec.levels, steps=steps, rule=RULES[sample.method],
      temperature=sample.noise, draw=draw, frames=frames,
    )  # fmt: skip

  def from_nothing(state, keys, cond, frames=0):
    empty = jnp.zeros((keys.shape[0], length), jnp.int32)
    return filled(state, keys, empty, jnp.ones_like(empty, bool), cond, frames)

  def draw(state, keys, cond=None):
    x = from_nothing(state, keys, cond)
    return as_integers(x.reshape(-1, *spec.shape), spec.levels)

  def trajectory(state, keys, cond=None):
    x = from_nothing(state, keys, cond, min(steps, 40))
    shown = jnp.where(x == spec.levels, spec.levels // 2, x)
    return as_integers(shown.reshape(*x.shape[:2], *spec.shape), spec.levels)

  def observe(state, x, keys, cond=None):
    del state, cond
    chex.assert_shape(x, (None, *spec.shape))
    return mark(spec, x, hole_of(spec, sample, keys))

  def transform(state, x, keys, cond=None):
    known, hidden = read(spec, x)
    made = filled(state, keys, parts.sequence(known), hidden.reshape(len(x), -1), cond)
    return as_integers(made.reshape(known.shape), spec.levels).astype(known.dtype)

  model = game(
    {"masked": Player(minimise("masked", loss, optimizer.accumulate), optimizer.make())},
    init,
    ema={"masked": ema} if ema else {},
    evaluate=evaluate,
    sample=draw,
    trajectory=trajectory,
    log_prob=log_prob,
    observe=observe,
    transform=transform,
    cond=("label",) if conditional else (),
  )
  return single(model)


def check(
  spec: Spec, conditional: bool, condition_dropout: float, width: int, heads: int,
  sample: Decoding, likelihood: Likelihood,
) -> None:  # fmt: skip
  """Refuses data of real values, labels that they lack, and options beyond what there is."""
  autoregressive.check(spec, conditional, sample, who="masked diffusion")
  if width % heads:
    raise UserError(f"model.heads={heads} must divide model.width={width}")
  if condition_dropout and not conditional:
    raise UserError("model.condition_dropout needs model.conditional=True: leave it 0")
  if sample.guidance and not condition_dropout:
    raise UserError("sample.guidance needs a model.condition_dropout above 0: leave it 0")
  length = count_dims(spec)
  for name, value in (("sample.steps", sample.steps), ("likelihood.counts", likelihood.counts)):
    if value > length:
      raise UserError(f"{name} must be 0 (all) or 1 to {length}, the positions, not {value}")

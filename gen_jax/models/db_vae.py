"""Debiasing VAE: a classifier that draws rare examples of a class more often, by its own codes.

  encoder    x -> logits of p(y | x), and mu, log sigma^2 of q(z | x)
  loss       -log p(y | x) + 1[y = positive] (c |x - xhat| + kl KL(q || p))
                                                                (Amini et al. 2019, eq. 2 and code)
  batch      half of the class `positive`, drawn by the histograms of the codes of the epoch before
             (`learn.resampling`), half of the others, drawn evenly

The data's batch is of candidates; no step sees a label of a subgroup. The indicator is of each
example: the code of the source multiplies [B, 1] by [B], and so trains on the others' pictures too.
"""

from __future__ import annotations

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import optax
from annotated_types import Ge, Interval

from gen_jax.core import Array, Program, Spec, UserError, fold_all, quantize, single
from gen_jax.learn import resampling
from gen_jax.learn.game import Player, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.kl import standard_kl
from gen_jax.models.common import in_levels, require_labels, scaling
from gen_jax.models.variational import code
from gen_jax.nets.conv import coders
from gen_jax.nets.mlp import Activation
from gen_jax.schema import Count, Dtype, Natural, NonNegative, Positive, builder


@builder
def build(
  spec: Spec,
  *,
  rule: resampling.Rule = "tempered",
  positive: Natural = 1,
  draw: Annotated[int, Ge(2)] = 64,
  alpha: Positive = 0.01,
  share: Annotated[float, Interval(gt=0, le=1)] = 0.25,
  bins: Annotated[int, Ge(2)] = 10,
  error: Literal["absolute", "squared"] = "absolute",
  reconstruction: NonNegative = 1.0,
  kl: NonNegative = 5e-4,
  latent: Count = 4,
  widths: tuple[Count, ...] = (),
  hidden: tuple[Count, ...] = (64,),
  activation: Activation = "relu",
  dtype: Dtype = "float32",
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
) -> Program:
  """Classifier and VAE of images [H, W, C] or vectors [D] with grey levels and a label.

  `predict` gives logits [B, K], `encode` codes [B, Z], `sample` pictures of the class `positive`.
  `evaluate` gives cross_entropy and kl in nats, accuracy, and the means over pixels in [0, 1] of
  absolute_error and squared_error, each [B]. An update reports the effective_sample_size of the
  candidates of the class and, where the data have a `group`, its mean over the drawn ones: nothing
  else reads it.

  Args:
    spec: of the data.
    rule: of the weights, see `learn.resampling`; none for equal ones.
    positive: the class whose examples are weighed, and pictures learnt.
    draw: how many examples of the batch a step learns from.
    alpha: added to the histograms, which are 1 where codes are spread evenly.
    share: of the candidates, that the effective sample size of `tempered` is.
    bins: of a histogram.
    error: of the pictures that is learnt from. The source's is absolute; its best guess of a pixel
      that is mostly black is black.
    reconstruction, kl: weights of that error, its mean over pixels, and of the KL.
    latent: Z.
    widths, hidden, activation: of the encoder, convolutional where there are widths; the decoder
      mirrors it.
    dtype: of the networks' computation.
    optimizer: see there.

  Raises:
    UserError: if the data lack labels or grey levels, or `positive` is none of their classes.
  """
  check(spec, positive, optimizer)
  real = jnp.promote_types(dtype, jnp.float32)
  scaled = scaling(spec, real)
  encoder, decoder = coders(
    spec.shape, spec.classes + 2 * latent, widths=widths, hidden=hidden, activation=activation,
    dtype=jnp.dtype(dtype),
  )  # fmt: skip

  def encoded(params, x):
    """logits [B, K], mu and log sigma^2 [B, Z]."""
    out = encoder.apply({"params": params["encoder"]}, scaled(x))
    return jnp.split(out, [spec.classes, spec.classes + latent], axis=-1)

  def decoded(params, z):
    """Pixels in [0, 1], or not far from it: a sigmoid would not leave black again, once there."""
    return decoder.apply({"params": params["decoder"]}, z)

  def terms(params, batch, eps):
    """Of each example [B]; eps [B, Z]."""
    logits, mean, log_var = encoded(params, batch["x"])
    apart = decoded(params, code(mean, log_var, eps)) - scaled(batch["x"])
    apart = apart.reshape(len(apart), -1)
    return {
      "cross_entropy": optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]),
      "accuracy": (logits.argmax(-1) == batch["label"]).astype(real),
      "absolute_error": jnp.abs(apart).mean(1),
      "squared_error": (apart**2).mean(1),
      "kl": standard_kl(mean, log_var),
    }

  def loss(params, mutable, batch, key, step):
    del step
    eps = jax.random.normal(key, (len(batch["x"]), latent), real)
    t = terms(params["db_vae"], batch, eps)
    seen = (batch["label"] == positive).astype(real)
    own = seen * (reconstruction * t[f"{error}_error"] + kl * t["kl"])
    return t["cross_entropy"] + own, (mutable["db_vae"], t)

  descend = minimise("db_vae", loss)

  def direction(params, mutable, batch, key, step):
    """(gradient, (what is kept, metrics, loss)) of the examples that are drawn."""
    own = mutable["db_vae"]
    mask = batch.get("mask", jnp.ones(len(batch["x"]), bool))
    ours = mask & (batch["label"] == positive)
    _, z, _ = jax.lax.stop_gradient(encoded(params["db_vae"], batch["x"]))
    at = resampling.bins_of(z, own["mean"], own["std"], bins)
    q = resampling.relative(own["last"])
    log_w = resampling.log_weights(at, q, ours, rule, alpha, share)
    keys, even = jax.random.split(key, 3), jnp.full(len(z), -jnp.inf, real)
    chosen = resampling.draw(keys[0], log_w, mask, draw // 2)
    others = resampling.draw(keys[1], jnp.where(mask & ~ours, 0.0, even), mask, draw - draw // 2)
    fields = {k: v for k, v in batch.items() if k not in ("mask", "last")}
    picked = jnp.concatenate([chosen, others])
    small = jax.tree.map(lambda v: v[picked], fields)
    gradient, (_, metrics, value) = descend(params, mutable, small, keys[2], step)
    size = jnp.where(ours.any(), resampling.effective_size(log_w), 0.0)
    metrics["effective_sample_size"] = size.astype(real)
    if "group" in batch:
      metrics["drawn_group"] = batch["group"][chosen].astype(real).mean()
    return gradient, (followed(own, z, ours, batch["last"].any(), bins), metrics, value)

  def init(key, batch):
    e_key, d_key = jax.random.split(key)
    params = {
      "encoder": encoder.init(e_key, scaled(batch["x"][:1]))["params"],
      "decoder": decoder.init(d_key, jnp.zeros((1, latent), real))["params"],
    }
    return {"db_vae": params}, {"db_vae": unseen(latent, bins, real)}

  def normal(keys):
    return jax.vmap(lambda key: jax.random.normal(key, (latent,), real))(keys)

  def evaluate(state, batch, keys):
    return terms(state["params"]["db_vae"], batch, normal(fold_all(keys, 0)))

  def encode(state, x, keys=None, cond=None):
    """A draw from q(z | x) [B, Z]; its mean where keys is None."""
    del cond
    _, mean, log_var = encoded(state["params"]["db_vae"], x)
    return mean if keys is None else code(mean, log_var, normal(fold_all(keys, 0)))

  def prior(state, keys, cond=None):
    del state, cond
    return normal(fold_all(keys, 0))

  def sample(state, keys, cond=None):
    x = decoded(state["params"]["db_vae"], prior(state, keys))
    return quantize(2 * x - 1, spec.levels)

  model = game(
    {"db_vae": Player(direction, optimizer.make())},
    init,
    evaluate=evaluate,
    prior=prior,
    decode=lambda state, z, cond=None: in_levels(decoded(state["params"]["db_vae"], z), spec),
    encode=encode,
    sample=sample,
    predict=lambda state, x: encoded(state["params"]["db_vae"], x)[0],
  )
  return single(model)


def unseen(latent: int, bins: int, dtype) -> dict[str, Array]:
  """What is kept before the first batch: sums of the epoch so far, `counts` by next_mean and
  next_std; `last`, those of the epoch before, by mean and std."""
  zeros, ones = jnp.zeros(latent, dtype), jnp.ones(latent, dtype)
  counts = jnp.zeros((latent, bins), dtype)
  sums = {"n": jnp.zeros((), dtype), "sum": zeros, "square": zeros, "counts": counts}
  edges = {"mean": zeros, "std": ones, "next_mean": zeros, "next_std": ones}
  return {**sums, **edges, "last": counts}


def followed(own: dict, z: Array, ours: Array, ends: Array, bins: int) -> dict[str, Array]:
  """What is kept after a batch of codes z [B, Z], of which `ours` [B] count; `ends` an epoch."""
  weight = ours.astype(z.dtype)
  at = resampling.bins_of(z, own["next_mean"], own["next_std"], bins)
  zeroed = jnp.where(ours[:, None], z, 0)
  seen = {
    "n": own["n"] + weight.sum(),
    "sum": own["sum"] + zeroed.sum(0),
    "square": own["square"] + (zeroed**2).sum(0),
    "counts": own["counts"] + resampling.histogram(at, weight, bins),
  }
  n = jnp.maximum(seen["n"], 1)
  mean = seen["sum"] / n
  std = jnp.sqrt(jnp.maximum(seen["square"] / n - mean**2, 1e-12))
  done = {
    "last": seen["counts"], "mean": own["next_mean"], "std": own["next_std"],
    "next_mean": mean, "next_std": std, **jax.tree.map(jnp.zeros_like, seen),
  }  # fmt: skip
  return jax.tree.map(lambda a, b: jnp.where(ends, a, b), done, {**own, **seen})


def check(spec: Spec, positive: int, optimizer: Optimizer) -> None:
  """Refuses data without labels or grey levels, a class that is none, and parts of a batch."""
  require_labels(spec, "a debiasing VAE", classes=2)
  if spec.levels is None:
    raise UserError("a debiasing VAE is of grey levels, and these data have none")
  if positive >= spec.classes:
    raise UserError(f"model.positive={positive} is no class: they are 0 to {spec.classes - 1}")
  if optimizer.accumulate > 1:
    raise UserError("model.optimizer.accumulate must be 1: examples are drawn of the whole batch")

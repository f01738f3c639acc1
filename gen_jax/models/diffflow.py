"""DiffFlow: a diffusion whose way to the noise is learnt with the way back.

  forward    dx = f(x, t) dt + g(t) dw
  backward   dx = [f(x, t) - g(t)^2 s(x, t)] dt + g(t) dw
                                          (Zhang & Chen 2021, arXiv:2110.07579, eq. 5 and 6)

in N steps each. What is minimised is the Kullback-Leibler divergence between the two chains'
paths, a bound on -log p(x) (`diffusion.two_way`), whose gradient goes through the forward chain
into f. The nets are added to the drift -g^2 x / 2 and the score -x of a diffusion that is at rest
at N(0, I): with the forward chain fixed to it, this is a DDPM's bound in N steps.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import (
  Program,
  Spec,
  UserError,
  as_integers,
  count_dims,
  fold_all,
  single,
)
from gen_jax.diffusion import two_way
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.common import bits_per_dim
from gen_jax.models.denoisers import Dense, moments_of, standardised
from gen_jax.nets.denoiser import DenoiserMLP
from gen_jax.schema import Count, Decay, Dtype, Positive, builder


@dataclasses.dataclass(frozen=True)
class Likelihood:
  """How log p(x) is bounded.

  draws: paths of the forward chain for each example.
  """

  draws: Count = 32


@builder
def build(
  spec: Spec,
  *,
  steps: Count = 10,
  power: Positive = 1.5,
  noise: tuple[Positive, Positive] = (1.5, 1.5),
  forward: Literal["trained", "fixed"] = "trained",
  dense: Dense = Dense(64, 2),
  dtype: Dtype = "float32",
  ema: Decay = 0.998,
  optimizer: Optimizer = Optimizer(learning_rate=3e-3, clip=1.0),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """DiffFlow of real vectors [D], or of images [H, W, C] with integer grey levels, as vectors.

  Integers k become k + u, u uniform in [0, 1), of which the bound is one on their probability.
  `evaluate` gives bound, the mean over likelihood.draws paths, and iw_bound, the tighter one of
  all of them together, in nats; of images bits_per_dim too, of the bound. `log_prob` is minus
  iw_bound. `trajectory` goes from noise to the sample by the backward chain, and from it to noise
  again by the forward one.

  Args:
    spec: of the data.
    steps: N of each chain.
    power: t_i = (i / N)^power.
    noise: g at t = 0 and at t = 1, of data with standard deviation 1.
    forward: learn f, or leave it at -g^2 x / 2.
    dense: the network of f, and of s.
    dtype: of the networks' computation; the chains are float32 or wider.
    ema: decay of the parameter average that samples and bounds use; 0 for none.
    optimizer, likelihood: see there.

  Raises:
    UserError: for data of another shape.
  """
  rank, integers = len(spec.shape), spec.levels is not None
  if (rank, integers) not in ((1, False), (3, True)):
    raise UserError(
      "diffflow models vectors of real values and images with integer grey levels, not shape"
      f" {spec.shape} of {'integers' if integers else 'real values'}"
    )
  size, real = count_dims(spec), jnp.promote_types(dtype, jnp.float32)
  table = two_way.grid(steps, power, noise)
  net = DenoiserMLP(size, **vars(dense), dtype=jnp.dtype(dtype))
  players = ("drift", "score") if forward == "trained" else ("score",)

  def fields(params):
    """f and s, (x [B, D], t) -> [B, D]."""
    apply = lambda name, x, t: net.apply(
      {"params": params[name]}, x, jnp.broadcast_to(t, x.shape[:1])
    )
    learnt = "drift" in params
    resting = lambda x, t: -(two_way.strength(noise, t) ** 2) / 2 * x
    drift = lambda x, t: resting(x, t) + (apply("drift", x, t) if learnt else 0)
    return drift, lambda x, t: apply("score", x, t) - x

  def continuous(x, keys):
    """x [B, *spec.shape] as real vectors [B, D]: integers with noise by the keys [B]."""
    chex.assert_shape(x, (None, *spec.shape))
    x = x.reshape(-1, size).astype(real)
    if not integers:
      return x
    return x + jax.vmap(lambda key: jax.random.uniform(key, (size,), real))(keys)

  def init(key, batch):
    x = batch["x"].reshape(len(batch["x"]), size).astype(real) + (0.5 if integers else 0)
    moments = moments_of(x, batch.get("mask"), real)
    zeros = jnp.zeros((1, size), real), jnp.zeros((1,), real)
    each = jax.random.split(key, len(players))
    params = {name: net.init(k, *zeros)["params"] for name, k in zip(players, each, strict=True)}
    return {"chains": params}, {"chains": moments}

  def loss(params, mutable, batch, key, step):
    del step
    data_key, path_key = jax.random.split(key)
    x = continuous(batch["x"], jax.random.split(data_key, len(batch["x"])))
    x = standardised(x, mutable["chains"], real)
    eps = lambda i: jax.random.normal(jax.random.fold_in(path_key, i), x.shape, real)
    log_w = two_way.log_weight(*fields(params["chains"]), x, eps, table, remat=True)
    return -log_w / size, (mutable["chains"], {})

  def normals(keys):
    """i -> standard normal [n, D] by the keys [n]."""
    return lambda i: jax.vmap(lambda k: jax.random.normal(k, (size,), real))(fold_all(keys, i))

  def bounds(state, x, keys):
    """The two bounds [B] nats, in the data's own units."""
    drift, score = fields(averaged(state, "chains"))
    moments = state["mutable"]["chains"]

    def log_w(i):
      own = fold_all(keys, i)
      z = standardised(continuous(x, fold_all(own, 0)), moments, real)
      return two_way.log_weight(drift, score, z, normals(fold_all(own, 1)), table)

    both = two_way.bounds(log_w, likelihood.draws, x.shape[0], real)
    return tuple(bound + size * jnp.log(moments["std"]) for bound in both)

  def log_prob(state, x, keys, cond=None):
    """A lower bound on log p(x) in nats [B], that of likelihood.draws paths together."""
    del cond
    return -bounds(state, x, keys)[1]

  def evaluate(state, batch, keys):
    bound, tighter = bounds(state, batch["x"], keys)
    terms = {"bound": bound, "iw_bound": tighter}
    return {"bits_per_dim": bits_per_dim(bound, spec), **terms} if integers else terms

  def in_units(state, x):
    """x [..., D] in the model's scale as data."""
    moments = state["mutable"]["chains"]
    x = moments["mean"] + moments["std"] * x
    x = x.reshape(*x.shape[:-1], *spec.shape)
    return as_integers(jnp.floor(x), spec.levels) if integers else x.astype(jnp.float32)

  def back(state, keys):
    """The backward chain in the model's scale [N + 1, n, D]."""
    start = normals(fold_all(keys, 0))(0)
    return two_way.backward(
      *fields(averaged(state, "chains")), start, normals(fold_all(keys, 1)), table
    )

  def trajectory(state, keys, cond=None):
    del cond
    path = back(state, keys)
    drift, _ = fields(averaged(state, "chains"))
    again = two_way.forward(drift, path[-1], normals(fold_all(keys, 2)), table)
    return in_units(state, jnp.concatenate([path, again[1:]]))

  model = game(
    {"chains": Player(minimise("chains", loss, optimizer.accumulate), optimizer.make())},
    init,
    ema={"chains": ema} if ema else {},
    evaluate=evaluate,
    sample=lambda state, keys, cond=None: in_units(state, back(state, keys)[-1]),
    trajectory=trajectory,
    log_prob=log_prob,
    calls=steps * len(players),
  )
  return single(model)

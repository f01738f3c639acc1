"""Generative adversarial networks: one game, and losses and penalties by name.

  prior      z ~ N(0, I), or U[-1, 1]^Z                          (Goodfellow et al. 2014)
  generator  y = G(z),     descends  E_{x, z} l_G(D(x), D(G(z)))
  critic     logit D(x),   descends  E_{x, z} l_D(D(x), D(G(z))) + sum_i lambda_i E penalty_i
  condition  G(z, c) and D(x, c), with the label c               (Mirza & Osindero 2014)
  packing    D(x_1, ..., x_m) and D(y_1, ..., y_m)               (Lin et al. 2018)

in turns: n of the critic, each on examples and latents of its own, then one of the generator
(Goodfellow et al. 2014, alg. 1; Gulrajani et al. 2017, alg. 1), or both at once. l_G and l_D are
those of `losses.adversarial`, penalties those of `losses.penalties`:

  mm, ns, ls, hinge     loss of that name
  WGAN                  loss=wgan with clip=0.01: the critic's weights stay in [-clip, clip]
  WGAN-GP               loss=wgan with penalties.wgan_gp=10
  DRAGAN                loss=ns or mm with penalties.dragan=10
  relativistic          loss=rp, with penalties.r1 and penalties.r2
  BEGAN                 loss=began: the critic is an autoencoder, k is kept in `mutable`
  SNGAN                 critic.spectral=True with loss=hinge or ns
  duality gap           duality.steps=20: both descend the gap of M = -E l_D (`learn.duality`)
  unrolled              unroll=5: the generator sees five steps of the critic ahead
                        (Metz et al. 2017)
  minibatch             critic.minibatch: the critic sees how alike a group is (`nets.minibatch`)
  R3GAN                 loss=rp, penalties.r1 and r2, blocks=fixup (`nets.fixup`)

Samples come from the average of the generator's parameters, and, where it has batch normalisation,
from running statistics of that average's own activations: after each step it sees one batch of
latents. So a sample depends on its own latent only, and the statistics fit the parameters in use,
which those of the generator in training would not.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from gen_jax.core import Program, Spec, Stage, UserError, centre, quantize, single
from gen_jax.learn.duality import directions
from gen_jax.learn.game import Player, game, minimise
from gen_jax.learn.optimizer import Optimizer, clip_weights
from gen_jax.learn.unrolled import unrolled
from gen_jax.losses.adversarial import LOSSES
from gen_jax.losses.penalties import Penalties
from gen_jax.models import adversaries, critics, players
from gen_jax.models.adversaries import Adversaries
from gen_jax.models.common import one_hot
from gen_jax.models.critics import Began, Critic
from gen_jax.models.players import STAGED, CriticNet, GeneratorNet, check_nets
from gen_jax.nets import gan as nets
from gen_jax.schema import Count, Decay, Dtype, Natural, NonNegative, builder

Loss = Literal[(*LOSSES, "began")]


@dataclasses.dataclass(frozen=True)
class Opening:
  """A first stage in which the critic has more turns, as WGAN's 100 in each of 25 rounds
  (Arjovsky et al. 2017, code).

  n_critic: turns of the critic for one of the generator; 0 for no such stage.
  rounds: its length.
  """

  n_critic: Natural = 0
  rounds: Count = 25


@dataclasses.dataclass(frozen=True)
class Duality:
  """Learning on the duality gap, see `learn.duality`.

  steps: of each player's rival, found anew for every training step; 0 for the game itself.
  optimizer: of the rivals.
  """

  steps: Natural = 0
  optimizer: Optimizer = Optimizer(learning_rate=1e-3)


def critic_of(
  spec: Spec, loss: Loss, penalties: Penalties, net: CriticNet, began: Began, packing: int,
  **how,
) -> Critic:  # fmt: skip
  """The critic of packs that the loss takes."""
  if loss == "began":
    shape = (*spec.shape[:-1], packing * spec.shape[-1])
    residual = net.blocks == "residual"
    encoder = nets.Critic(
      net.widths, residual, net.hidden, began.code, activation=net.activation, norm=net.norm,
      **how,
    )  # fmt: skip
    mirrored = net.hidden[::-1], net.widths[::-1]
    decoder = nets.Generator(shape, *mirrored, residual, net.norm, bounded=False, **how)
    return critics.of_errors(encoder, decoder, began)
  # An output bias would learn nothing but rounding noise where only differences count.
  bias = not LOSSES[loss].translates or penalties.drift > 0
  told = net.minibatch
  group = 1 if told.statistic == "none" else told.size
  return critics.of_logits(players.critic_of(net, bias, **how), LOSSES[loss], group)


def players_of(
  pair: Adversaries, clip: float, n_critic: int, duality: Duality, unroll: int,
  critic_optimizer: Optimizer, generator_optimizer: Optimizer,
) -> dict[str, Player]:  # fmt: skip
  """Where both players go and how; see `build`."""
  # optax counts updates: the critic's schedule is n_critic times as long in them.
  slower = dataclasses.replace(
    critic_optimizer,
    warmup=n_critic * critic_optimizer.warmup,
    decay_steps=n_critic * critic_optimizer.decay_steps,
  )
  critic_tx = slower.make()
  if clip:
    critic_tx = optax.chain(critic_tx, clip_weights(clip))
  generator_tx = generator_optimizer.make()

  critic_loss, generator_loss = (
    partial(fn, pair) for fn in (adversaries.critic_loss, adversaries.generator_loss)
  )
  moves = {
    "critic": minimise("critic", critic_loss, critic_optimizer.accumulate),
    "generator": minimise("generator", generator_loss, generator_optimizer.accumulate),
  }
  if duality.steps:
    value = partial(adversaries.value, pair)
    inner = duality.optimizer.make()
    moves = directions(value, "generator", "critic", inner, duality.steps)
  if unroll:
    ahead = slower.make(differentiable=True)
    moves["generator"] = unrolled("generator", generator_loss, "critic", critic_loss, ahead, unroll)
  return {
    "critic": Player(moves["critic"], critic_tx),
    "generator": Player(moves["generator"], generator_tx, foresees=unroll > 0),
  }


@builder
def build(
  spec: Spec,
  *,
  loss: Loss = "ns",
  penalties: Penalties = Penalties(),
  clip: NonNegative = 0.0,
  began: Began = Began(),
  n_critic: Count = 1,
  opening: Opening = Opening(),
  order: Literal["alternating", "simultaneous"] = "alternating",
  duality: Duality = Duality(),
  unroll: Natural = 0,
  packing: Count = 1,
  conditional: bool = False,
  latent: Count = 100,
  noise: Literal["normal", "uniform"] = "normal",
  generator: GeneratorNet = GeneratorNet(),
  critic: CriticNet = CriticNet(),
  init_std: NonNegative = 0.02,
  init: nets.Init = "normal",
  dtype: Dtype = "float32",
  ema: Decay = 0.999,
  critic_optimizer: Optimizer = Optimizer(learning_rate=2e-4, b1=0.5),
  generator_optimizer: Optimizer = Optimizer(learning_rate=2e-4, b1=0.5),
) -> Program:
  """A GAN of images [H, W, C] with integer levels, or of real-valued vectors [D].

  The defaults are DCGAN's for images of 64x64, but for the critic's normalisation, the average and
  sub-pixel convolutions.

  `evaluate` gives, for each example x and one y of its own: critic_on_real and critic_on_fake, the
  logits of x and y; for loss=began the reconstruction errors of both; critic_loss without its
  penalties, and generator_loss. They say how the game stands, not how good the samples are. A
  packed critic sees x together with the examples that follow it in its batch. `decode` is
  real-valued, in grey levels (or the data's own units). Updates log besides what `models.critics`
  says, and penalty_NAME, the mean of each penalty before its weight. A conditional model draws with
  `cond` only.

  Args:
    spec: of the data.
    loss: of both players.
    penalties: weights of the critic's penalties.
    clip: largest weight of the critic, 0 for no limit.
    began: see there; of loss=began.
    n_critic: turns of the critic for one of the generator.
    opening: see there.
    order: alternating, or simultaneous: both players' gradients are taken at one point.
    duality: see there; of order=simultaneous.
    unroll: K, the critic's next steps through which the generator descends (`learn.unrolled`): by
      the critic's optimiser, on the batch at hand.
    packing: m, how many examples the critic judges at once; divides the batch size.
    conditional: join the label to the latent and to what the critic sees.
    latent: Z.
    noise: the prior.
    generator, critic: their networks.
    init_std: standard deviation of the initial weights, 0 for 1 / sqrt(inputs).
    init: their distribution.
    dtype: of the networks' computation.
    ema: decay of the average of the generator's parameters that samples come from; 0 for none.
    critic_optimizer, generator_optimizer: see `Optimizer`; their lengths, warmup and decay_steps,
      are in rounds, that is training steps, however many turns a player has in one.

  Raises:
    UserError: if the data lack labels that are asked for or cannot be halved often enough, options
      contradict each other or are out of range; if a conditional model is given no `cond`.
  """
  check(loss, penalties, clip, n_critic, opening, order, conditional, critic)
  check_duality(duality, loss, penalties, clip, order, critic)
  check_unroll(unroll, loss, clip, duality, critic, critic_optimizer, generator_optimizer)
  check_nets(spec, generator, critic, init_std)
  real = jnp.promote_types(dtype, jnp.float32)
  how = {"init_std": init_std, "initial": init, "dtype": jnp.dtype(dtype)}

  def latents(key, n):
    uniform = partial(jax.random.uniform, minval=-1, maxval=1)
    return (uniform if noise == "uniform" else jax.random.normal)(key, (n, latent), real)

  def scale(x):
    chex.assert_shape(x, (None, *spec.shape))
    return x.astype(real) if spec.levels is None else centre(x, spec.levels, real)

  condition = one_hot(spec, conditional, real)
  pair = Adversaries(
    players.generator_of(spec, generator, **how),
    critic_of(spec, loss, penalties, critic, began, packing, **how),
    penalties, packing, latents, scale, condition,
  )  # fmt: skip

  def prior(state, keys, cond=None):
    del state, cond
    return adversaries.draw(pair, keys)

  def decode(state, z, cond=None):
    """G(z), real-valued, in grey levels (or the data's own units)."""
    y = adversaries.generate(pair, state, z, condition(cond))
    return y if spec.levels is None else (y + 1) / 2 * (spec.levels - 1)

  def sample(state, keys, cond=None):
    y = adversaries.generate(pair, state, prior(state, keys), condition(cond))
    return y.astype(jnp.float32) if spec.levels is None else quantize(y, spec.levels)

  both = players_of(pair, clip, n_critic, duality, unroll, critic_optimizer, generator_optimizer)

  def stage_with(turns):
    """The game with that many turns of the critic for one of the generator."""
    model = game(
      both,
      partial(adversaries.init, pair),
      order="simultaneous" if order == "simultaneous" else (("critic", turns), ("generator", 1)),
      ema={"generator": ema} if ema else {},
      evaluate=partial(adversaries.evaluate, pair),
      prior=prior,
      decode=decode,
      sample=sample,
      cond=("label",) if conditional else (),
    )
    running = generator.norm == "batch"
    return adversaries.with_running_statistics(model, pair) if running else model

  program = single(stage_with(n_critic))
  if not opening.n_critic:
    return program
  first = Stage(stage_with(opening.n_critic), steps=opening.rounds)
  # A copy: the two stages' states are kept side by side, and the later one is donated.
  carry = lambda previous, fresh: jax.tree.map(jnp.copy, previous[0])
  return Program((first, program.stages[0]._replace(carry=carry)), program.model)


def check(loss, penalties, clip, n_critic, opening, order, conditional, critic) -> None:
  """Refuses options that contradict each other."""
  if critic.projection and not conditional:
    raise UserError("model.critic.projection=True is of the label: set model.conditional=True")
  if loss == "began" and penalties.active():
    names = ", ".join(penalties.active())
    raise UserError(f"model.penalties ({names}) are of a logit, and model.loss=began has none")
  if loss == "began" and (
    critic.maxout or critic.spectral or critic.projection or critic.norm == "layer"
    or critic.minibatch.statistic != "none" or critic.blocks in STAGED
  ):  # fmt: skip
    raise UserError(
      "model.critic.maxout, norm=layer, spectral, projection, minibatch, and blocks other than"
      " single and residual, are not of model.loss=began's autoencoder"
    )
  if critic.norm == "batch" and penalties.of_gradient():
    raise UserError(
      "model.critic.norm=batch lets a logit depend on its batch, and model.penalties are of the"
      " gradient at one example: give layer or none"
    )
  if critic.norm == "batch" and critic.spectral:
    raise UserError("model.critic.spectral takes the place of norm=batch: give one of them")
  if clip and penalties.of_gradient():
    names = ", ".join(penalties.of_gradient())
    raise UserError(f"model.penalties ({names}) take the place of model.clip: leave that 0")
  if order == "simultaneous" and (n_critic > 1 or opening.n_critic):
    raise UserError(
      "model.order=simultaneous is one turn of both: model.n_critic must be 1, and"
      " model.opening.n_critic 0"
    )


def check_duality(duality, loss, penalties, clip, order, critic) -> None:
  """Refuses options that a game without turns and without state has no use for."""
  if not duality.steps:
    return
  if order != "simultaneous":
    raise UserError("model.duality.steps is of model.order=simultaneous: both descend one gap")
  if loss == "began" or critic.spectral or penalties.active() or clip:
    raise UserError(
      "model.duality is of a loss of logits alone: leave out loss=began, critic.spectral,"
      " penalties and clip"
    )


def check_unroll(unroll, loss, clip, duality, critic, critic_optimizer, generator_optimizer):
  """Refuses options that the critic's steps ahead could not follow."""
  if not unroll:
    return
  if loss == "began" or critic.spectral or clip or duality.steps:
    raise UserError(
      "model.unroll is of a critic without state: leave out loss=began, critic.spectral, clip and"
      " duality"
    )
  if critic_optimizer.name in ("rmsprop", "muon") or critic_optimizer.clip:
    raise UserError("model.unroll differentiates the critic's optimiser: give adam or sgd, no clip")
  if critic_optimizer.accumulate > 1 or generator_optimizer.accumulate > 1:
    raise UserError("model.unroll takes a batch as a whole: leave optimizer.accumulate 1")

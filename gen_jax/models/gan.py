"""Generative adversarial networks: one game, and losses and penalties by name.

  prior      z ~ N(0, I), or U[-1, 1]^Z                          (Goodfellow et al. 2014)
  generator  y = G(z),     descends  E_z l_G(D(G(z)))
  critic     logit D(x),   descends  E_{x, z} l_D(D(x), D(G(z))) + lambda E penalty
  condition  G(z, c) and D(x, c), with the label c               (Mirza & Osindero 2014)
  packing    D(x_1, ..., x_m) and D(y_1, ..., y_m)               (Lin et al. 2018)

in turns: n of the critic, each on examples and latents of its own, then one of the generator
(Goodfellow et al. 2014, alg. 1; Gulrajani et al. 2017, alg. 1), or both at once. l_G and l_D are
those of `losses.adversarial`, penalties those of `losses.penalties`:

  mm, ns, ls, hinge     loss of that name
  WGAN                  loss=wgan with clip=0.01: the critic's weights stay in [-clip, clip]
  WGAN-GP               loss=wgan with penalty=wgan_gp
  DRAGAN                loss=ns or mm with penalty=dragan
  BEGAN                 loss=began: the critic is an autoencoder, k is kept in `mutable`
  SNGAN                 spectral=True with loss=hinge or ns

Samples come from the average of the generator's parameters, and, where it has batch normalisation,
from running statistics of that average's own activations: after each step it sees one batch of
latents. So a sample depends on its own latent only, and the statistics fit the parameters in use,
which those of the generator in training would not.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from gen_jax.core import Program, Spec, Stage, UserError, centre, masked_mean, quantize, single
from gen_jax.learn import ema as averages
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses import adversarial
from gen_jax.losses.penalties import PENALTIES
from gen_jax.nets.gan import Critic, Generator, join, pack

STATISTICS = 0.99  # decay of the running statistics of batch normalisation


@dataclasses.dataclass(frozen=True)
class Balance:
  """BEGAN's controller.

  diversity: gamma, the share of the error on real examples that the one on fakes is held at.
  rate: lambda_k, of k.
  code: numbers that the critic, an autoencoder, has for its code.
  """

  diversity: float = 0.5
  rate: float = 1e-3
  code: int = 64


@dataclasses.dataclass(frozen=True)
class Opening:
  """A first stage in which the critic has more turns, as WGAN's 100 in each of 25 rounds
  (Arjovsky et al. 2017, code).

  turns: of the critic, for one of the generator; 0 for no such stage.
  rounds: its length.
  """

  turns: int = 0
  rounds: int = 25


def clip_weights(limit: float) -> optax.GradientTransformation:
  """Keeps all parameters in [-limit, limit], as the last of a chain (Arjovsky et al. 2017)."""

  def update(updates, state, params):
    inside = lambda u, p: jnp.clip(p + u, -limit, limit) - p
    return jax.tree.map(inside, updates, params), state

  return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def build(
  spec: Spec,
  *,
  loss: Literal["mm", "ns", "wgan", "ls", "hinge", "began"] = "ns",
  penalty: Literal["", "wgan_gp", "dragan", "r1"] = "",
  penalty_weight: float = 10.0,
  clip: float = 0.0,
  balance: Balance = Balance(),
  critic_turns: int = 1,
  opening: Opening = Opening(),
  play: Literal["alternating", "simultaneous"] = "alternating",
  packing: int = 1,
  conditional: bool = False,
  projection: bool = False,
  latent: int = 100,
  noise: Literal["normal", "uniform"] = "normal",
  widths: tuple[int, ...] = (64, 128, 256, 512),
  residual: bool = False,
  generator_hidden: tuple[int, ...] = (),
  critic_hidden: tuple[int, ...] = (),
  maxout: int = 0,
  generator_norm: Literal["none", "layer", "batch"] = "batch",
  critic_norm: Literal["none", "layer"] = "none",
  spectral: bool = False,
  deviation: float = 0.02,
  dtype: Literal["float32", "bfloat16", "float64"] = "float32",
  ema: float = 0.999,
  critic_optimizer: Optimizer = Optimizer(learning_rate=2e-4, b1=0.5),
  generator_optimizer: Optimizer = Optimizer(learning_rate=2e-4, b1=0.5),
) -> Program:
  """A GAN of images [H, W, C] with integer levels, or of real-valued vectors [D].

  The defaults are DCGAN's for images of 64x64, but for the critic's normalisation, the average and
  sub-pixel convolutions.

  `evaluate` gives, for each example x and one y of its own: critic_on_real and critic_on_fake, the
  logits of x and y; for loss=began the reconstruction errors of both; critic_loss without its
  penalty, and generator_loss. They say how the game stands, not how good the samples are. A packed
  critic sees x together with the examples that follow it in its batch. `decode` is real-valued, in
  grey levels (or the data's own units).

  Updates log besides, but for loss=began: critic_accuracy, the share of pairs (x, y) that the
  critic ranks rightly (1/2 if it cannot tell them apart), and critic_saturation
  (`losses.adversarial.saturation`).

  Args:
    spec: of the data.
    loss: of both players.
    penalty: on the critic's gradient, or none.
    penalty_weight: lambda; gamma of r1.
    clip: largest weight of the critic, 0 for no limit.
    balance: see there; of loss=began.
    critic_turns: n, turns of the critic for one of the generator.
    opening: see there.
    play: alternating, or simultaneous: both players' gradients are taken at one point.
    packing: m, how many examples the critic judges at once; divides the batch size.
    conditional: join the label to the latent and to what the critic sees.
    projection: where conditional, the critic takes the label by projection (`nets.gan.Critic`).
    latent: Z.
    noise: the prior.
    widths: channels of the critic's convolutions, which halve the image; the generator mirrors
      them. () for dense layers only.
    residual: residual blocks instead of single convolutions, see `nets.gan`.
    generator_hidden: dense layers before its convolutions.
    critic_hidden: dense layers behind its convolutions.
    maxout: pieces of the critic's dense units, 0 for leaky ReLU.
    generator_norm, critic_norm, spectral: see `nets.gan`.
    deviation: of the initial weights, 0 for N(0, 1 / inputs).
    dtype: of the networks' computation.
    ema: decay of the average of the generator's parameters that samples come from; 0 for none.
    critic_optimizer, generator_optimizer: see `Optimizer`; their lengths, warmup and decay_steps,
      are in rounds, that is training steps, however many turns a player has in one.

  Raises:
    UserError: if the data lack labels that are asked for or cannot be halved often enough, options
      contradict each other or are out of range.
  """
  check(spec, loss, penalty, penalty_weight, clip, conditional, projection, latent, widths)
  check_play(critic_turns, opening, play, packing)
  check_players(
    widths, residual, generator_hidden, critic_hidden, maxout, critic_norm, spectral, projection,
    deviation, loss, ema, balance,
  )  # fmt: skip
  real = jnp.promote_types(dtype, jnp.float32)
  how = {"deviation": deviation, "dtype": jnp.dtype(dtype)}
  generator = Generator(
    spec.shape, generator_hidden, widths[::-1], residual, generator_norm,
    spec.levels is not None, **how,
  )  # fmt: skip
  if loss == "began":
    seen_shape = (*spec.shape[:-1], packing * spec.shape[-1])
    encoder = Critic(widths, residual, critic_hidden, balance.code, **how)
    decoder = Generator(
      seen_shape, critic_hidden[::-1], widths[::-1], residual, "none", False, **how
    )
  else:
    losses = adversarial.LOSSES[loss]
    critic = Critic(
      widths, residual, critic_hidden, maxout=maxout, norm=critic_norm, spectral=spectral,
      projection=projection, bias=not losses.translates, **how,
    )  # fmt: skip

  def scaled(x):
    chex.assert_shape(x, (None, *spec.shape))
    return x.astype(real) if spec.levels is None else centre(x, spec.levels, real)

  def condition(cond):
    return jax.nn.one_hot(cond["label"], spec.classes, dtype=real) if conditional else None

  def latents(key, *lead):
    shape = (*lead, latent)
    if noise == "uniform":
      return jax.random.uniform(key, shape, real, -1, 1)
    return jax.random.normal(key, shape, real)

  def latents_of(keys, at=0):
    """z [n, Z], each from its own key, and the number of the draw."""
    return jax.vmap(lambda key: latents(jax.random.fold_in(key, at)))(keys)

  def packed(x):
    """What the critic sees: x [B, ...] in packs of m; None stays None."""
    return None if x is None else pack(x, packing)

  def init(key, batch):
    c_key, g_key = jax.random.split(key)
    one = jax.tree.map(lambda leaf: leaf[:1], batch)
    x, z, c = scaled(one["x"]), jnp.zeros((1, latent), real), condition(one)
    made = generator.init(g_key, z, c)
    params, mutable = {"generator": made["params"]}, {"generator": {}, "critic": {}}
    if "batch_stats" in made:
      mutable["generator"] = {"batch_stats": made["batch_stats"]}
    x, c = jax.tree.map(lambda leaf: pack(leaf.repeat(packing, axis=0), packing), (x, c))
    if loss == "began":
      e_key, d_key = jax.random.split(c_key)
      params["critic"] = {
        "encoder": encoder.init(e_key, x, c)["params"],
        "decoder": decoder.init(d_key, jnp.zeros((1, balance.code), real), c)["params"],
      }
      mutable["critic"] = {"k": jnp.zeros((), real)}
    else:
      judge = critic.init(c_key, x, c)
      params["critic"] = judge["params"]
      if spectral:
        mutable["critic"] = {"batch_stats": judge["batch_stats"]}
    return params, mutable

  def fakes(params, key, batch):
    """y [B, ...] in training, and the statistics of this batch."""
    z = latents(key, len(batch["x"]))
    return generator.apply(
      {"params": params}, z, condition(batch), batch.get("mask"), train=True,
      mutable=["batch_stats"],
    )  # fmt: skip

  def score(params, own, x, c):
    """What the critic says of packs x [n, ...]: a logit [n], or BEGAN's error."""
    if loss != "began":
      return critic.apply({"params": params, **own}, x, c)
    code = encoder.apply({"params": params["encoder"]}, x, c)
    return adversarial.reconstruction_error(
      x, decoder.apply({"params": params["decoder"]}, code, c)
    )

  def seen(batch):
    """Packs of the batch: x [n, ...], condition [n, m K] or None, mask [n] or None."""
    if len(batch["x"]) % packing:
      raise UserError(
        f"model.packing={packing} must divide the batch, which has {len(batch['x'])} examples:"
        " change data.batch_size"
      )
    whole = None if "mask" not in batch else batch["mask"].reshape(-1, packing).all(axis=1)
    return packed(scaled(batch["x"])), packed(condition(batch)), whole

  def of_critic(on_real, on_fake, mutable):
    if loss == "began":
      return adversarial.began_critic(on_real, on_fake, mutable["critic"]["k"])
    return losses.critic(on_real, on_fake)

  def of_generator(on_fake):
    return on_fake if loss == "began" else losses.generator(on_fake)

  def standing(on_real, on_fake):
    """How the critic stands in the game [n]; that of BEGAN is held where it prefers fakes."""
    if loss == "began":
      return {}
    return {
      "critic_accuracy": (on_real > on_fake).astype(real),
      "critic_saturation": adversarial.saturation(losses, on_real, on_fake),
    }

  def critic_loss(params, mutable, batch, key, step):
    del step
    z_key, penalty_key = jax.random.split(key)
    x, c, mask = seen(batch)
    y, _ = fakes(params["generator"], z_key, batch)
    y, own = packed(y), mutable["critic"]
    if spectral:
      _, moved = critic.apply(
        {"params": params["critic"], **own}, x, c, train=True, mutable=["batch_stats"]
      )
      own = jax.lax.stop_gradient(dict(moved))
    judge = lambda points: score(params["critic"], own, points, c)
    on_real, on_fake = judge(x), judge(y)
    value = of_critic(on_real, on_fake, mutable)
    metrics = {"critic_on_real": on_real, "critic_on_fake": on_fake, **standing(on_real, on_fake)}
    if penalty:
      metrics["penalty"] = PENALTIES[penalty](judge, penalty_key, x, y, mask)
      value = value + penalty_weight * metrics["penalty"]
    if loss == "began":
      means = masked_mean(on_real, mask), masked_mean(on_fake, mask)
      k = adversarial.began_controller(own["k"], *means, balance.diversity, balance.rate)
      own = {"k": jax.lax.stop_gradient(k)}
      metrics["k"] = k
      metrics["convergence"] = adversarial.began_convergence(*means, balance.diversity)
    mean = lambda v: masked_mean(v, mask) if v.ndim else v
    return mean(value), (own, jax.tree.map(mean, metrics))

  def generator_loss(params, mutable, batch, key, step):
    del step
    y, _ = fakes(params["generator"], key, batch)
    _, c, mask = seen(batch)
    value = of_generator(score(params["critic"], mutable["critic"], packed(y), c))
    return masked_mean(value, mask), (mutable["generator"], {})

  def generate(state, z, c):
    """y [B, ...] of the averaged generator with its running statistics."""
    variables = {"params": averaged(state, "generator"), **state["mutable"]["generator"]}
    return generator.apply(variables, z, c)

  def evaluate(state, batch, keys):
    """critic_on_real, critic_on_fake, critic_loss, generator_loss [B]."""
    x, c = scaled(batch["x"]), condition(batch)
    after = lambda v: [None if v is None else jnp.roll(v, -i, axis=0) for i in range(packing)]
    y = [generate(state, latents_of(keys, i), c_i) for i, c_i in enumerate(after(c))]
    group = lambda vs: None if vs[0] is None else join(jnp.stack(vs, axis=1))
    on_real, on_fake = (
      score(state["params"]["critic"], state["mutable"]["critic"], group(v), group(after(c)))
      for v in (after(x), y)
    )
    return {
      "critic_on_real": on_real,
      "critic_on_fake": on_fake,
      "critic_loss": of_critic(on_real, on_fake, state["mutable"]),
      "generator_loss": of_generator(on_fake),
    }

  def prior(state, keys, cond=None):
    del state, cond
    return latents_of(keys)

  def decode(state, z, cond=None):
    """G(z), real-valued, in grey levels (or the data's own units)."""
    y = generate(state, z, condition(cond))
    return y if spec.levels is None else (y + 1) / 2 * (spec.levels - 1)

  def sample(state, keys, cond=None):
    y = generate(state, prior(state, keys), condition(cond))
    return y.astype(jnp.float32) if spec.levels is None else quantize(y, spec.levels)

  # optax counts updates: the critic's schedule is critic_turns times as long in them.
  critic_tx = dataclasses.replace(
    critic_optimizer,
    warmup=critic_turns * critic_optimizer.warmup,
    decay_steps=critic_turns * critic_optimizer.decay_steps,
  ).make()
  if clip:
    critic_tx = optax.chain(critic_tx, clip_weights(clip))

  def play_with(turns):
    """The game with that many turns of the critic for one of the generator."""
    alternating = (("critic", turns), ("generator", 1))
    model = game(
      {
        "critic": Player(minimise("critic", critic_loss, critic_optimizer.accumulate), critic_tx),
        "generator": Player(
          minimise("generator", generator_loss, generator_optimizer.accumulate),
          generator_optimizer.make(),
        ),
      },
      init,
      order=alternating if play == "alternating" else "simultaneous",
      ema={"generator": ema} if ema else {},
      evaluate=evaluate,
      prior=prior,
      decode=decode,
      sample=sample,
      cond=("label",) if conditional else (),
    )

    def update(state, batch, key, step):
      """A round of the game, and what the averaged generator's activations are after it."""
      state, metrics = model.update(state, batch, key, step)
      last = jax.tree.map(lambda leaf: leaf[-1], batch)
      key = jax.random.fold_in(key, model.microbatches)  # the turns have the numbers below
      _, now = fakes(averaged(state, "generator"), key, last)
      own = averages.update(state["mutable"]["generator"], dict(now), STATISTICS, step)
      return {**state, "mutable": {**state["mutable"], "generator": own}}, metrics

    return model._replace(update=update) if generator_norm == "batch" else model

  program = single(play_with(critic_turns))
  if not opening.turns:
    return program
  first = Stage(play_with(opening.turns), steps=opening.rounds)
  # A copy: the two stages' states are kept side by side, and the later one is donated.
  carry = lambda previous, fresh: jax.tree.map(jnp.copy, previous[0])
  return Program((first, program.stages[0]._replace(carry=carry)), program.model)


def check(spec, loss, penalty, penalty_weight, clip, conditional, projection, latent, widths):
  """Refuses what the game cannot be, in one line."""
  if conditional and spec.classes < 1:
    raise UserError("model.conditional=True needs labels, and these data have none: set it False")
  if projection and not conditional:
    raise UserError("model.projection=True is of the label: set model.conditional=True")
  if penalty and loss == "began":
    raise UserError(f"model.penalty={penalty} is of a logit, and model.loss=began has none")
  if penalty and clip:
    raise UserError(f"model.penalty={penalty} takes the place of model.clip: leave that 0")
  if clip < 0 or penalty_weight < 0:
    raise UserError(
      f"model.clip={clip} and model.penalty_weight={penalty_weight} must be 0 or more"
    )
  if latent < 1:
    raise UserError(f"model.latent must be 1 or more, not {latent}")
  scale = 2 ** len(widths)
  if widths and (len(spec.shape) != 3 or spec.shape[0] % scale or spec.shape[1] % scale):
    raise UserError(
      f"{len(widths)} model.widths halve an image {len(widths)} times, so its height and width"
      f" must be multiples of {scale}; the data have shape {tuple(spec.shape)}: give fewer widths,"
      " or () for dense layers"
    )


def check_play(critic_turns, opening, play, packing):
  """Refuses an order of play that cannot be, in one line."""
  named = {"critic_turns": critic_turns, "packing": packing, "opening.rounds": opening.rounds}
  for name, value in named.items():
    if value < 1:
      raise UserError(f"model.{name} must be 1 or more, not {value}")
  if opening.turns < 0:
    raise UserError(f"model.opening.turns must be 0 or more, not {opening.turns}")
  if play == "simultaneous" and (critic_turns > 1 or opening.turns):
    raise UserError(
      "model.play=simultaneous is one turn of both: model.critic_turns must be 1, and"
      " model.opening.turns 0"
    )


def check_players(
  widths, residual, generator_hidden, critic_hidden, maxout, critic_norm, spectral, projection,
  deviation, loss, ema, balance,
):  # fmt: skip
  """Refuses networks that cannot be, in one line."""
  if any(width < 1 for width in (*widths, *generator_hidden, *critic_hidden)):
    raise UserError(
      f"model.widths={widths}, model.generator_hidden={generator_hidden} and"
      f" model.critic_hidden={critic_hidden} are numbers from 1 on"
    )
  if residual and not widths:
    raise UserError("model.residual=True is of convolutions: give model.widths")
  if maxout < 0 or deviation < 0:
    raise UserError(f"model.maxout={maxout} and model.deviation={deviation} must be 0 or more")
  if not 0 <= ema < 1:
    raise UserError(f"model.ema must lie in [0, 1), not {ema}")
  if loss == "began" and (maxout or spectral or projection or critic_norm != "none"):
    raise UserError(
      "model.maxout, critic_norm, spectral and projection are not of model.loss=began's autoencoder"
    )
  if not 0 < balance.diversity <= 1 or balance.rate <= 0 or balance.code < 1:
    raise UserError(
      "model.balance needs a diversity in (0, 1], a positive rate and a code of 1 or more, not"
      f" {balance.diversity}, {balance.rate} and {balance.code}"
    )

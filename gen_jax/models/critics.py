"""Critics of adversarial games: one that gives logits, and BEGAN's, which is an autoencoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Interval
from flax import linen as nn

from gen_jax.core import Array, PyTree, UserError, masked_mean
from gen_jax.learn import ema as averages
from gen_jax.losses import adversarial
from gen_jax.nets import gan as nets
from gen_jax.schema import Count, Positive


class Critic(NamedTuple):
  """A critic as its game sees it. Scores [B] are logits, or whatever its losses are of.

  `own` is what it keeps besides its parameters, in `mutable`; condition is [B, K] or None.

  init: (key, x [B, ...], condition) -> (params, own).
  score: (params, own, x [B, ...], condition, mask [B] or None, train) -> [B]. Each from its example
    alone, but where `train`: there the examples with mask may be normalised together.
  loss: (scores of real [B], of fake [B], own) -> [B]. What the critic descends.
  generator_loss: (scores of real [B], of fake [B]) -> [B].
  refresh: (params, own, x, condition, mask) -> own. Before the scores of a turn of its own.
  settle: (own, scores of real [B], of fake [B], mask) -> (own, {metric: [B] or scalar}). After it.
  """

  init: Callable[..., tuple[PyTree, PyTree]]
  score: Callable[..., Array]
  loss: Callable[[Array, Array, PyTree], Array]
  generator_loss: Callable[[Array, Array], Array]
  refresh: Callable[..., PyTree]
  settle: Callable[..., tuple[PyTree, dict[str, Array]]]


def followed(own: dict, name: str, now: PyTree) -> dict:
  """own, whose running statistics of that name have seen those of one batch more."""
  running = averages.update(own[name], now, averages.STATISTICS, own["updates"])
  return {**own, name: running, "updates": own["updates"] + 1}


def of_logits(net: nn.Module, loss: adversarial.Adversarial, group: int = 1) -> Critic:
  """A critic by its logits. It keeps the vectors of the spectral norm's iteration, if it has one,
  or the running statistics of batch normalisation: in training real examples and fakes are each
  normalised by their own batch, and out of it by these, of real examples.

  Its metrics are critic_accuracy, the share of pairs (x, y) that it ranks rightly (1/2 if it cannot
  tell them apart), and critic_saturation (`losses.adversarial.saturation`).

  Args:
    net: `nets.gan.Critic`, or one like it.
    loss: by logits.
    group: examples that it sees together in training (`nets.minibatch`), 0 for the whole batch.
  """
  normalised = getattr(net, "norm", "none") == "batch"

  def init(key, x, condition):
    made = dict(net.init(key, x, condition))
    params = made.pop("params")
    return params, made | ({"updates": jnp.int32(0)} if made and normalised else {})

  def variables(params, own):
    return {"params": params, **{name: own[name] for name in own if name != "updates"}}

  def score(params, own, x, condition, mask=None, train=False):
    if train and len(x) % (group or len(x)):
      raise UserError(
        f"model.critic.minibatch.size={group} must divide the batch, in which the critic sees"
        f" {len(x)} examples: change data.batch_size"
      )
    if not train:
      return net.apply(variables(params, own), x, condition)
    return net.apply(
      variables(params, own), x, condition, mask, train=normalised, group=group or len(x),
      mutable=["batch_stats"],
    )[0]  # fmt: skip

  def refresh(params, own, x, condition, mask):
    if not own:
      return own
    _, moved = net.apply(
      variables(params, own), x, condition, mask, train=True, mutable=["batch_stats"]
    )
    if normalised:
      moved = followed(own, "batch_stats", dict(moved)["batch_stats"])
    return jax.lax.stop_gradient(dict(moved))

  def settle(own, real, fake, mask):
    del mask
    return own, {
      "critic_accuracy": (real > fake).astype(real.dtype),
      "critic_saturation": adversarial.saturation(loss, real, fake),
    }

  return Critic(init, score, lambda real, fake, own: loss.critic(real, fake), loss.generator,
                refresh, settle)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Began:
  """BEGAN's controller and its critic's code (Berthelot et al. 2017, section 3.3).

  gamma: the share of the error on real examples that the one on fakes is held at.
  lambda_k: learning rate of k.
  code: numbers that the critic, an autoencoder, has for its code.
  """

  gamma: Annotated[float, Interval(gt=0, le=1)] = 0.5
  lambda_k: Positive = 1e-3
  code: Count = 64


def of_errors(encoder: nets.Critic, decoder: nets.Generator, began: Began) -> Critic:
  """BEGAN's critic by the errors of its reconstructions; it keeps k, which starts at 0.

  With batch normalisation it keeps running statistics too, those of its reconstructions of real
  examples: in training, real ones and fakes are each normalised by their own batch, and out of it
  every example by these, so that an error is its example's own.

  Its metrics are k and convergence (`losses.adversarial.began_convergence`).
  """
  nets_of = {"encoder": encoder, "decoder": decoder}

  def init(key, x, condition):
    e_key, d_key = jax.random.split(key)
    code = jnp.zeros((len(x), began.code), x.dtype)
    made = {
      "encoder": dict(encoder.init(e_key, x, condition)),
      "decoder": dict(decoder.init(d_key, code, condition)),
    }
    params, own = {name: v.pop("params") for name, v in made.items()}, {"k": jnp.zeros((), x.dtype)}
    if any(made.values()):
      own |= {"running": made, "updates": jnp.int32(0)}
    return params, own

  def restore(params, own, x, condition, mask, train):
    """The reconstruction of x [B, ...], and the statistics of this batch where `train`."""
    h, now = x, {}
    for name, net in nets_of.items():
      variables = {"params": params[name], **own.get("running", {}).get(name, {})}
      h, moved = net.apply(variables, h, condition, mask, train=train, mutable=["batch_stats"])
      now[name] = dict(moved)
    return h, now

  def score(params, own, x, condition, mask=None, train=False):
    restored, _ = restore(params, own, x, condition, mask, train)
    return adversarial.reconstruction_error(x, restored)

  def refresh(params, own, x, condition, mask):
    if "running" not in own:
      return own
    _, now = restore(params, own, x, condition, mask, True)
    return jax.lax.stop_gradient(followed(own, "running", now))

  def loss(real, fake, own):
    return adversarial.began_critic(real, fake, own["k"])

  def settle(own, real, fake, mask):
    real, fake = masked_mean(real, mask), masked_mean(fake, mask)
    k = adversarial.began_controller(own["k"], real, fake, began.gamma, began.lambda_k)
    k = jax.lax.stop_gradient(k)
    return {**own, "k": k}, {
      "k": k,
      "convergence": adversarial.began_convergence(real, fake, began.gamma),
    }

  return Critic(init, score, loss, lambda real, fake: fake, refresh, settle)

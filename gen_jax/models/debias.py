"""Adversarial debiasing: a classifier whose output tells nothing of a protected group.

  predictor   p(y | x), descends   g_P - proj_{g_A} g_P - alpha g_A   (Zhang et al. 2018, eq. 1)
  adversary   p(group | s, ...),   descends L_A = -log p(group | s, ...)
              s = softmax((1 + |c|) logits), the predictor's output, sharpened as it likes; of
              one s the mean is evened between groups, of several c their errors at a threshold too
  parity      the adversary sees s: at the end it knows no more than H(group)
  odds        it sees s and y: H(group | y). The class has a weight of its own, which the paper's
              adversary lacks; without it s stands for y, and what is learnt is parity
  opportunity it sees s, of examples of the class `positive` only
  code        it sees z = e(x) in place of s, of a predictor that is a layer on z: what is built on
              the code later can say nothing of the group either

g_P and g_A are the gradients of both losses with respect to the predictor, as one vector
(`learn.projection`). Adam scales each weight by itself, and so turns the direction; SGD keeps it.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from gen_jax.core import Program, Spec, UserError, centre, masked_mean, single
from gen_jax.learn.game import Player, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.learn.projection import opposed
from gen_jax.models.common import scaling
from gen_jax.nets.conv import coders
from gen_jax.nets.mlp import MLP, Activation, activation_of
from gen_jax.schema import Count, Dtype, Natural, NonNegative, builder

Fairness = Literal["parity", "odds", "opportunity"]


@builder
def build(
  spec: Spec,
  *,
  fairness: Fairness = "parity",
  positive: Natural = 1,
  latent: Natural = 0,
  alpha: NonNegative = 1.0,
  alpha_schedule: Literal["constant", "sqrt"] = "constant",
  project: bool = True,
  widths: tuple[Count, ...] = (),
  hidden: tuple[Count, ...] = (),
  activation: Activation = "relu",
  sharpnesses: Count = 1,
  adversary_hidden: tuple[Count, ...] = (),
  n_adversary: Count = 1,
  dtype: Dtype = "float32",
  predictor_optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  adversary_optimizer: Optimizer = Optimizer(learning_rate=1e-3),
) -> Program:
  """Classifier of tables [D] or images [H, W, C] with fields label and group.

  `predict` gives logits [B, K], `encode` codes [B, latent] where there are some.

  Args:
    spec: of the data.
    fairness, positive: what the adversary sees, and so is asked; the class of opportunity.
    latent: of the code that the adversary sees; 0 for none, and the output in its place.
    alpha: weight of the adversary's gradient in the predictor's; 0 without `project` for a plain
      classifier.
    alpha_schedule: constant, or alpha sqrt(t) at step t, as the paper has it.
    project: take from the predictor's gradient what would help the adversary.
    widths, hidden, activation: of the predictor, or the encoder of the code, convolutional where
      there are widths; without hidden layers or code a logistic regression.
    sharpnesses: how many c, the k-th of which starts at 4^k.
    adversary_hidden, n_adversary: of the adversary, and its turns for one of the predictor.
    dtype: of the networks' computation.
    predictor_optimizer, adversary_optimizer: see `Optimizer`.

  Raises:
    UserError: if the data are no vectors or images, or lack labels or groups, or the predictor
      accumulates.
  """
  check(spec, positive, predictor_optimizer)
  real, groups = jnp.promote_types(dtype, jnp.float32), spec.fields["group"].levels
  how = {"activation": activation_of(activation), "dtype": jnp.dtype(dtype)}
  layers = dict(widths=widths, hidden=hidden, activation=activation, dtype=jnp.dtype(dtype))
  if latent or len(spec.shape) > 1:
    predictor, _ = coders(spec.shape, latent or spec.classes, **layers)
  else:
    predictor = MLP(spec.classes, hidden, **how)
  head = MLP(spec.classes, (), **how)
  adversary = MLP(groups, adversary_hidden, **how)
  scaled = scaling(spec, real, centre)

  def outputs(params, x):
    """(logits [B, K], what the adversary sees of them: the code, or the logits themselves)."""
    if not latent:
      logits = predictor.apply({"params": params}, scaled(x))
      return logits, logits
    z = predictor.apply({"params": params["encoder"]}, scaled(x))
    return head.apply({"params": params["head"]}, z), z

  def seen(sharpness, of, label):
    """What the adversary sees [B, F]: of logits, or of a code."""
    s = of
    if not latent:
      s = jax.nn.softmax((1 + jnp.abs(sharpness))[:, None] * of[:, None]).reshape(len(of), -1)
    if fairness != "odds":
      return s
    y = jax.nn.one_hot(label, spec.classes, dtype=s.dtype)
    return jnp.concatenate([s, (s[:, :, None] * y[:, None]).reshape(len(s), -1), y], axis=-1)

  def guess(params, of, label):
    """The adversary's logits of the groups [B, G]."""
    features = seen(params["sharpness"], of, label)
    return adversary.apply({"params": params["net"]}, features)

  def judged(batch):
    """Which examples the adversary is asked about [B]."""
    mask = batch.get("mask", jnp.ones(len(batch["x"]), bool))
    return mask & (batch["label"] == positive) if fairness == "opportunity" else mask

  def init(key, batch):
    p_key, a_key = jax.random.split(key)
    params = predictor.init(p_key, scaled(batch["x"][:1]))["params"]
    if latent:
      code = jnp.zeros((1, latent), real)
      params = {"encoder": params, "head": head.init(jax.random.fold_in(p_key, 1), code)["params"]}
    of = jnp.zeros((1, latent or spec.classes), real)
    sharpness = 4 ** jnp.arange(sharpnesses, dtype=real)
    first = seen(sharpness, of, jnp.zeros(1, jnp.int32))
    own = {"sharpness": sharpness, "net": adversary.init(a_key, first)["params"]}
    empty = {"predictor": {}, "adversary": {}}
    return {"predictor": params, "adversary": own}, empty

  def errors(params, batch):
    """Cross-entropies of predictor and adversary [B], and the logits."""
    logits, of = outputs(params["predictor"], batch["x"])
    nll = optax.softmax_cross_entropy_with_integer_labels
    guessed = guess(params["adversary"], of, batch["label"])
    return nll(logits, batch["label"]), nll(guessed, batch["group"]), logits

  def adversary_loss(params, mutable, batch, key, step):
    del key, step
    _, value, _ = errors(params, batch)
    return masked_mean(value, judged(batch)), (mutable["adversary"], {})

  def predictor_direction(params, mutable, batch, key, step):
    """(direction, (mutable, metrics, loss)), see `learn.game.Player`."""
    del key

    def both(own):
      mine, theirs, logits = errors({**params, "predictor": own}, batch)
      right = (logits.argmax(-1) == batch["label"]).astype(real)
      mean = lambda v: masked_mean(v, batch.get("mask"))
      return (mean(mine), masked_mean(theirs, judged(batch))), mean(right)

    (value, _), back, accuracy = jax.vjp(both, params["predictor"], has_aux=True)
    one, zero = jnp.ones((), value.dtype), jnp.zeros((), value.dtype)
    (mine,), (theirs,) = back((one, zero)), back((zero, one))
    weight = alpha * jnp.sqrt(step + 1.0) if alpha_schedule == "sqrt" else alpha
    moved = opposed(mine, theirs, jnp.asarray(weight, value.dtype), project)
    return moved, (mutable["predictor"], {"accuracy": accuracy}, value)

  def evaluate(state, batch, keys):
    """cross_entropy, adversary_cross_entropy [B] in nats, accuracy [B]."""
    del keys
    mine, theirs, logits = errors(state["params"], batch)
    right = (logits.argmax(-1) == batch["label"]).astype(real)
    return {"cross_entropy": mine, "adversary_cross_entropy": theirs, "accuracy": right}

  def encode(state, x, keys=None, cond=None):
    del keys, cond
    return outputs(state["params"]["predictor"], x)[1]

  model = game(
    {
      "adversary": Player(
        minimise("adversary", adversary_loss, adversary_optimizer.accumulate),
        adversary_optimizer.make(),
      ),
      "predictor": Player(predictor_direction, predictor_optimizer.make()),
    },
    init,
    order=(("adversary", n_adversary), ("predictor", 1)),
    evaluate=evaluate,
    predict=lambda state, x: outputs(state["params"]["predictor"], x)[0],
    encode=encode if latent else None,
  )
  return single(model)


def check(spec: Spec, positive: int, optimizer: Optimizer) -> None:
  """Refuses data without what fairness is about, and projections of parts of a batch."""
  if optimizer.accumulate > 1:
    raise UserError(
      "model.predictor_optimizer.accumulate must be 1: whole batches' gradients are projected"
    )
  if len(spec.shape) not in (1, 3) or (len(spec.shape) == 1) != (spec.levels is None):
    raise UserError(
      f"debias is of tables of numbers [D] or images with grey levels, not of shape {spec.shape}"
    )
  for name in ("label", "group"):
    if name not in spec.fields or (spec.fields[name].levels or 0) < 2:
      raise UserError(f"debias needs data with a {name} of two values or more: these have none")
  if positive >= spec.classes:
    raise UserError(f"model.positive={positive} is no class: they are 0 to {spec.classes - 1}")

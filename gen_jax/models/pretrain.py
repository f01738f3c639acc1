"""An autoencoder for a classifier of few labels (Hinton & Salakhutdinov 2006; Vincent et al. 2010).

stage 1    || x - g(f(x')) ||^2 of all training examples, labels unread; x' is x corrupted
stage 2    -log p(y | h(.)) of `labels` examples a class
scratch    h(f(x)), f as it begins: the same net without stage 1, and as many steps in all
code       h(f(x)), f as stage 1 left it
finetuned  h(f(x)), f goes on from there
joined     h([x, f(x)]), f as stage 1 left it
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from gen_jax.core import Program, Spec, Stage, over_states, single
from gen_jax.learn.game import Player, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import ae
from gen_jax.models.common import require_labels, scaling
from gen_jax.nets.conv import coders
from gen_jax.nets.mlp import MLP, Activation, activation_of
from gen_jax.schema import Count, Dtype, Natural, NonNegative, Seed, builder

Form = Literal["scratch", "code", "finetuned", "joined"]


@builder
def build(
  spec: Spec,
  *,
  form: Form = "finetuned",
  labels: Natural = 5,
  labels_seed: Seed = 0,
  corruption: ae.Corruption = ae.Corruption("gaussian", 0.25),
  latent: Count = 32,
  widths: tuple[Count, ...] = (),
  hidden: tuple[Count, ...] = (128,),
  head: tuple[Count, ...] = (64,),
  activation: Activation = "relu",
  encoder_rate: NonNegative = 1.0,
  dtype: Dtype = "float32",
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  classifier_optimizer: Optimizer = Optimizer(learning_rate=1e-3),
) -> Program:
  """Classifier of images [H, W, C] in two stages, or one (`scratch`); see `data.load` for which
  examples `labels` keeps.

  `predict` gives logits [B, K], `encode` the codes [B, latent]. `evaluate` gives nll in nats and
  accuracy, each [B]; that of the first stage is the autoencoder's.

  Args:
    spec: of the data, with classes.
    form: of the classifier, see above.
    labels: how many examples of each class stage 2 learns from; 0 for all.
    labels_seed: of the choice.
    corruption: of the autoencoder, see there.
    latent, widths, hidden, activation: of its encoder, convolutional where there are widths; the
      decoder mirrors it.
    head: hidden layers of h.
    encoder_rate: in stage 2, the encoder's steps as a multiple of the others'.
    dtype: of the networks' computation.
    optimizer, classifier_optimizer: of the two stages.

  Raises:
    UserError: if the data are no images with grey levels and labels, or an option is out of range.
  """
  require_labels(spec, "a classifier", classes=2)
  nets = dict(latent=latent, widths=widths, hidden=hidden, activation=activation, dtype=dtype)
  first = ae.build(spec, corruption=corruption, optimizer=optimizer, **nets).stages[0].model
  real = jnp.promote_types(dtype, jnp.float32)
  scaled = scaling(spec, real)
  encoder, _ = coders(
    spec.shape, latent, widths=widths, hidden=hidden, activation=activation, dtype=jnp.dtype(dtype)
  )
  classifier = MLP(spec.classes, head, activation_of(activation), jnp.dtype(dtype))
  frozen = form in ("code", "joined")

  def seen(code, x):
    """What h is given."""
    flat = x.reshape(len(x), -1)
    return jnp.concatenate([flat, code], axis=-1) if form == "joined" else code

  def outputs(params, mutable, x):
    """(logits [B, K], code [B, latent])."""
    x = scaled(x)
    of = mutable if frozen else params
    code = encoder.apply({"params": of["classifier"]["encoder"]}, x)
    return classifier.apply({"params": params["classifier"]["head"]}, seen(code, x)), code

  def init(key, batch):
    e_key, h_key = jax.random.split(key)
    x = scaled(batch["x"][:1])
    own = {"encoder": encoder.init(e_key, x)["params"]}
    code = jnp.zeros((1, latent), real)
    learnt = {"head": classifier.init(h_key, seen(code, x))["params"]} | ({} if frozen else own)
    return {"classifier": learnt}, {"classifier": own if frozen else {}}

  def loss(params, mutable, batch, key, step):
    del key, step
    logits, _ = outputs(params, mutable, batch["x"])
    right = (logits.argmax(-1) == batch["label"]).astype(real)
    nll = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    return nll, (mutable["classifier"], {"accuracy": right})

  def of_state(state, x):
    return outputs(state["params"], state["mutable"], x)

  def evaluate(state, batch, keys):
    del keys
    logits, _ = of_state(state, batch["x"])
    nll = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    return {"nll": nll, "accuracy": (logits.argmax(-1) == batch["label"]).astype(real)}

  def carry(previous, fresh):
    """The fresh classifier with the autoencoder's encoder, in the place that its form gives it."""
    learnt = jax.tree.map(jnp.copy, previous[0]["params"]["ae"]["encoder"])
    place = "mutable" if frozen else "params"
    own = {**fresh[place]["classifier"], "encoder": learnt}
    return {**fresh, place: {**fresh[place], "classifier": own}}

  rates = {"encoder": encoder_rate, "head": 1.0}
  slower = optax.stateless(
    lambda updates, params: {
      part: jax.tree.map(lambda u, rate=rates[part]: rate * u, updates[part]) for part in updates
    }
  )
  model = game(
    {
      "classifier": Player(
        minimise("classifier", loss, classifier_optimizer.accumulate),
        optax.chain(classifier_optimizer.make(), slower),
      )
    },
    init,
    evaluate=evaluate,
    predict=lambda state, x: of_state(state, x)[0],
    encode=lambda state, x, keys=None, cond=None: of_state(state, x)[1],
  )
  few = {"labels": labels, "labels_seed": labels_seed} if labels else None
  if form == "scratch":
    program = single(model)
    return program._replace(stages=(program.stages[0]._replace(data=few),))
  second = Stage(model, data=few, carry=carry, release=(0,))
  return Program((Stage(first), second), over_states(model))

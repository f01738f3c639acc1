"""A classifier p(label | x), whose last hidden layer is the feature space of the Frechet distance.

learn      -log p(label | x), the cross-entropy
"""

from __future__ import annotations

import jax.numpy as jnp
import optax

from gen_jax.core import Program, Spec, centre, single
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.common import require_labels, scaling
from gen_jax.nets.classifier import Classifier
from gen_jax.schema import Count, Decay, Dtype, builder


@builder
def build(
  spec: Spec,
  *,
  width: Count = 32,
  features: Count = 128,
  dropout: Decay = 0.4,
  dtype: Dtype = "float32",
  ema: Decay = 0.99,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
) -> Program:
  """Classifier of images [H, W, C] or vectors [D].

  `predict` gives logits [B, K]; `encode` the features [B, features].

  Args:
    spec: of the data, with classes.
    width, features, dropout, dtype: of the `Classifier`.
    ema: decay of the parameter average that predicts; 0 for none.
    optimizer: see there.

  Raises:
    UserError: if the data have no labels, or an option is out of range.
  """
  require_labels(spec, "a classifier", classes=2)
  net = Classifier(spec.classes, width, features, dropout, jnp.dtype(dtype))
  scaled = scaling(spec, jnp.promote_types(dtype, jnp.float32), centre)

  def init(key, batch):
    return {"classifier": net.init(key, scaled(batch["x"][:1]))["params"]}, {"classifier": {}}

  def cross_entropy(params, mutable, batch, key, step):
    del step
    x = scaled(batch["x"])
    logits, _ = net.apply({"params": params["classifier"]}, x, train=True, rngs={"dropout": key})
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    correct = logits.argmax(-1) == batch["label"]
    return loss, (mutable["classifier"], {"accuracy": correct.astype(loss.dtype)})

  def apply(state, x):
    return net.apply({"params": averaged(state, "classifier")}, scaled(x))

  def evaluate(state, batch, keys):
    del keys
    logits, _ = apply(state, batch["x"])
    nll = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    return {"nll": nll, "accuracy": (logits.argmax(-1) == batch["label"]).astype(jnp.float32)}

  direction = minimise("classifier", cross_entropy, optimizer.accumulate)
  model = game(
    {"classifier": Player(direction, optimizer.make())},
    init,
    ema={"classifier": ema} if ema else {},
    evaluate=evaluate,
    predict=lambda state, x: apply(state, x)[0],
    encode=lambda state, x, keys=None, cond=None: apply(state, x)[1],
  )
  return single(model)

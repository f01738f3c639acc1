"""Bayes' rule over any conditional density p(x | y): a classifier that knows what it never saw.

  p(x, y) = p(x | y) p(y),   p(x) = sum_y p(x, y),   p(y | x) = p(x, y) / p(x)

x is rejected where log p(x) lies below a quantile of the training data's (Bishop 1994, "Novelty
detection and neural network validation").
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gen_jax.core import Array, Model, PyTree, Spec, fold_each

# (state, x, keys) -> log p(x, y) for every class y, [B, K]
LogJoint = Callable[[PyTree, Array, Array | None], Array]


def joint(model: Model, classes: int, log_prior: Array | None = None) -> LogJoint:
  """log p(x | y) + log p(y) of a model with `log_prob` and cond ("label",).

  All classes share an example's key, so that a bound's noise is common to them. Without keys, as
  `predict` has none, fixed ones are taken.

  Args:
    model: p(x | y).
    classes: K.
    log_prior: log p(y) [K], or None for equal ones.
  """
  prior = jnp.full(classes, -jnp.log(classes)) if log_prior is None else log_prior

  def log_joint(state, x, keys):
    if keys is None:
      keys = fold_each(jax.random.key(0), jnp.arange(len(x)))
    given = lambda y: model.log_prob(state, x, keys, {"label": jnp.full(len(x), y)})
    return jax.vmap(given, out_axes=1)(jnp.arange(classes)) + prior

  return log_joint


def bayes(model: Model, spec: Spec, log_joint: LogJoint | None = None) -> Model:
  """The model with Bayes' rule: a conditional density that classifies and knows p(x).

  `predict` gives log p(y | x) [B, K]; `log_prob` without a condition log p(x). `evaluate` gives,
  beside the model's own terms, nll, -log p(x) in nats, and accuracy. They are exact where the
  model's `log_prob` is, else as good as its bound.

  Args:
    model: a density with cond ("label",), of a stage or of a whole program.
    spec: of the data, with classes.
    log_joint: where the model knows it better than by one `log_prob` for each class.
  """
  log_joint = log_joint or joint(model, spec.classes)
  evidence = lambda state, x, keys: jax.nn.logsumexp(log_joint(state, x, keys), axis=1)

  def log_prob(state, x, keys=None, cond=None):
    return evidence(state, x, keys) if cond is None else model.log_prob(state, x, keys, cond)

  def evaluate(state, batch, keys):
    scores = log_joint(state, batch["x"], keys)
    correct = scores.argmax(1) == batch["label"]
    terms = {"nll": -jax.nn.logsumexp(scores, axis=1), "accuracy": correct.astype(scores.dtype)}
    return model.evaluate(state, batch, keys) | terms

  return model._replace(
    predict=lambda state, x: jax.nn.log_softmax(log_joint(state, x, None)),
    log_prob=log_prob,
    evaluate=evaluate,
  )


def rejecter(
  model: Model, state: PyTree, x: Array, keys: Array, share: float = 0.01
) -> Callable[[Array, Array], Array]:
  """(x [B, ...], keys [B]) -> [B] bool: whether log p(x) is lower than all but `share` of x's own.

  Args:
    model: with `log_prob`.
    state: of the model.
    x: [N, ...] training examples.
    keys: [N].
    share: of training examples that would be rejected.
  """
  threshold = jnp.quantile(model.log_prob(state, x, keys, None), share)
  return lambda x, keys: model.log_prob(state, x, keys, None) < threshold

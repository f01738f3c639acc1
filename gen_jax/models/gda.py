"""Gaussian discriminant analysis: Bayes' rule over one Gaussian for each class.

  density    p(x | y) = N(x; mu_y, Sigma_y),  p(y) = N_y / N           (Bishop 2006, section 4.2.2)
  posterior  p(y | x) = p(x | y) p(y) / sum_c p(x | c) p(c)
  shrinkage  Sigma_y <- (1 - a) Sigma_y + a I                          (Friedman 1989, eq. 18)

Quadratic discriminant analysis with a covariance for each class, linear with a shared one, naive
Bayes with diagonal ones; all by maximum likelihood, in one pass. Grey levels are dequantised,
which adds the noise's variance to the diagonal exactly, without a draw.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from gen_jax.core import Program, Spec, fold_all, single
from gen_jax.learn.em import em
from gen_jax.losses.normal import draw_normal, einsum, log_normal, whitening
from gen_jax.models.bayes import bayes
from gen_jax.models.common import label_of, require_labels
from gen_jax.models.euclidean import space
from gen_jax.schema import Share, Wide, builder


@builder
def build(
  spec: Spec,
  *,
  covariance: Literal["full", "shared", "diagonal"] = "full",
  shrinkage: Share = 0.01,
  dtype: Wide = "float32",
) -> Program:
  """Gaussian discriminant analysis of any labelled examples, flattened to D dimensions.

  `predict` gives log p(y | x) [B, K]. `log_prob` is log p(x | y) with a label as condition, log
  p(x) without; of grey levels it is the bound of uniform dequantisation. `sample` takes a label,
  or draws one from p(y). `evaluate` gives nll, -log p(x) in nats; for grey levels bits_per_dim; and
  accuracy.

  Args:
    spec: of the data, with classes.
    covariance: full (one for each class), shared, or diagonal (one for each class).
    shrinkage: a, towards the identity in units of the points: of real values, or of
      (x + u) / levels.
    dtype: of everything.

  Raises:
    UserError: if the data have no labels, or an option is out of range.
  """
  require_labels(spec, "gda", classes=2)
  at = space(spec, dtype)
  identity = jnp.eye(at.dims, dtype=at.dtype)

  def init(key, batch, weight):
    """Solved for the first batch alone."""
    middle = einsum("b,bd->d", weight, at.points(batch["x"])) / weight.sum()
    params = {"mean": jnp.tile(middle, (spec.classes, 1))}
    return solve(params, sums_of(params, batch, weight))

  def sums_of(params, batch, weight):
    member = weight[:, None] * jax.nn.one_hot(batch["label"], spec.classes, dtype=at.dtype)
    centred = at.points(batch["x"]) - params["mean"][batch["label"]]
    sums = {"n": member.sum(0), "x": einsum("bk,bd->kd", member, centred)}
    if covariance == "full":
      sums["x x^T"] = einsum("bkd,be->kde", member[..., None] * centred[:, None], centred)
    elif covariance == "shared":
      sums["x x^T"] = einsum("bd,be->de", weight[:, None] * centred, centred)[None]
    else:
      sums["x x^T"] = einsum("bk,bd->kd", member, centred**2)
    return sums

  def statistics(params, batch, weight, key):
    terms = evaluate({"params": params}, batch, jax.random.split(key, len(weight)))
    return sums_of(params, batch, weight), terms

  def solve(params, sums):
    n = jnp.maximum(sums["n"], 1)
    shift = sums["x"] / n[:, None]
    if covariance == "full":
      second = sums["x x^T"] / n[:, None, None] - einsum("kd,ke->kde", shift, shift)
    elif covariance == "shared":
      within = sums["x x^T"] - einsum("k,kd,ke->de", n, shift, shift)
      second = within / sums["n"].sum()
    else:
      second = jnp.maximum(sums["x x^T"] / n[:, None] - shift**2, 0)
    # A class without examples keeps the mean it has, and a round covariance.
    if covariance == "diagonal":
      whiten = 1 / jnp.sqrt((1 - shrinkage) * (second + at.noise) + shrinkage)
    else:
      shrunk = (1 - shrinkage) * (second + at.noise * identity) + shrinkage * identity
      whiten = whitening(shrunk)
    prior = sums["n"] / sums["n"].sum()
    return {"prior": prior, "mean": params["mean"] + shift, "whiten": whiten}

  def conditional(params, x, keys):
    """log p(x | y), [B, K]."""
    return at.log_prob(log_normal(at.points(x, keys), params["mean"], params["whiten"]))

  def log_joint(state, x, keys):
    params = state["params"]
    return conditional(params, x, keys) + jnp.log(params["prior"])

  def log_prob(state, x, keys, cond):
    every = conditional(state["params"], x, keys)
    return jnp.take_along_axis(every, label_of(cond)[:, None], axis=1)[:, 0]

  def evaluate(state, batch, keys):
    terms = ruled.evaluate(state, batch, keys)
    return at.likelihood(-terms["nll"]) | terms

  def draw(state, keys, cond=None):
    params = state["params"]
    if cond is None:
      log_prior = jnp.log(params["prior"])
      label = jax.vmap(lambda key: jax.random.categorical(key, log_prior))(fold_all(keys, 0))
    else:
      label = label_of(cond)
    return at.draws(draw_normal(fold_all(keys, 1), params["mean"], params["whiten"], label))

  model = em(
    init,
    statistics,
    solve,
    dtype=at.dtype,
    evaluate=lambda state, batch, keys: {},
    sample=draw,
    log_prob=log_prob,
    cond=("label",),
    pictures=lambda state: {"means": at.examples(state["params"]["mean"])},
  )
  ruled = bayes(model, spec, log_joint)
  return single(ruled._replace(evaluate=evaluate))

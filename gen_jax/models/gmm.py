"""Mixture of Gaussians, by EM (Dempster, Laird & Rubin 1977, section 4.3; Bishop 2006, 9.2.2).

  density    p(x) = sum_k pi_k N(x; mu_k, Sigma_k)
  E-step     r_ik = p(k | x_i) = pi_k N(x_i; mu_k, Sigma_k) / p(x_i)
  M-step     pi_k = N_k / N,  N_k = sum_i r_ik
             mu_k = 1/N_k sum_i r_ik x_i
             Sigma_k = 1/N_k sum_i r_ik (x_i - mu_k)(x_i - mu_k)^T + floor I

The sums of full covariances are taken of x - mu_k with the pass's own mu_k, so that nothing
cancels; those of diagonal ones of x - c, with c the mean of all components, so that they are
products of matrices: in float32 a variance is then known to 1e-7 of (mu_k - c)^2. The noise u that
dequantises grey levels, of variance v, is integrated out, with responsibilities that do not depend
on it: EM then raises the bound

  E_u log p(x + u) >= log sum_k pi_k exp E_u log N(x + u; mu_k, Sigma_k)
  E_u log N(x + u; mu, Sigma) = log N(x + 1/2; mu, Sigma) - v/2 tr Sigma^{-1}

and Sigma_k above gets v I besides. Real values have v = 0, and the bound is the likelihood.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from gen_jax.core import Program, Spec, fold_all, single
from gen_jax.learn.em import em
from gen_jax.losses.normal import draw_normal, einsum, log_normal, whitening
from gen_jax.models import kmeans
from gen_jax.models.euclidean import space
from gen_jax.schema import Count, Natural, Positive, Wide, builder


@builder
def build(
  spec: Spec,
  *,
  components: Count = 8,
  covariance: Literal["full", "diagonal"] = "full",
  floor: Positive = 1e-6,
  warmup: Natural = 10,
  dtype: Wide = "float32",
) -> Program:
  """Gaussian mixture of any examples, flattened to D dimensions.

  EM begins with k-means++ and a few of Lloyd's iterations on the first batch: take a large one.

  `prior` draws a component as one-hot [n, K], `encode` gives the responsibilities [B, K], `decode`
  the mean of the components under them. `sample` draws from the component besides. `log_prob` is
  exact; of grey levels it is the bound of uniform dequantisation. `evaluate` gives nll in nats, and
  for grey levels bits_per_dim.

  Args:
    spec: of the data.
    components: K.
    covariance: of each component. `full` takes K x D x D numbers.
    floor: added to every variance, in squared units of the points: of real values, or of
      (x + u) / levels.
    warmup: Lloyd's iterations on the first batch.
    dtype: of everything.

  Raises:
    UserError: if an option is out of range.
  """
  at = space(spec, dtype)
  full = covariance == "full"
  tiny = 10 * jnp.finfo(at.dtype).eps

  def init(key, batch, weight):
    """Round components, all of the variance within the clusters."""
    y, n = at.points(batch["x"]), weight.sum()
    centres = kmeans.start(key, y, components, weight, warmup)
    index = kmeans.nearest(y, centres)
    within = (weight[:, None] * (y - centres[index]) ** 2).sum() / (n * at.dims)
    count = weight @ jax.nn.one_hot(index, components, dtype=at.dtype)
    whiten = jnp.full((components, at.dims), 1 / jnp.sqrt(within + at.noise + floor))
    return {
      "weight": (count + 1) / (n + components),
      "mean": centres,
      "whiten": jax.vmap(jnp.diag)(whiten) if full else whiten,
    }

  def joint(params, y):
    """log pi_k + log N(y; mu_k, Sigma_k), [B, K]."""
    return jnp.log(params["weight"]) + log_normal(y, params["mean"], params["whiten"])

  def expected_joint(params, x):
    """The same of x, with the noise integrated out as above."""
    precision = (params["whiten"].reshape(components, -1) ** 2).sum(1)
    return joint(params, at.points(x)) - at.noise / 2 * precision

  def statistics(params, batch, weight, key):
    del key
    log_joint = expected_joint(params, batch["x"])
    r = weight[:, None] * jax.nn.softmax(log_joint)
    y, nll = at.points(batch["x"]), -at.log_prob(jax.nn.logsumexp(log_joint, axis=1))
    if full:
      centred = y[:, None] - params["mean"]
      first = einsum("bk,bkd->kd", r, centred)
      second = einsum("bkd,bke->kde", r[..., None] * centred, centred)
    else:
      centred = y - centre(params)
      first, second = einsum("bk,bd->kd", r, centred), einsum("bk,bd->kd", r, centred**2)
    return {"n": r.sum(0), "x": first, "x x^T": second}, {"nll": nll}

  def centre(params):
    """c, about which the sums of diagonal covariances are taken."""
    return einsum("k,kd->d", params["weight"], params["mean"])

  def solve(params, sums):
    n = sums["n"] + tiny
    shift = sums["x"] / n[:, None]
    if full:
      second = sums["x x^T"] / n[:, None, None] - einsum("kd,ke->kde", shift, shift)
      whiten = whitening(second + (at.noise + floor) * jnp.eye(at.dims, dtype=at.dtype))
    else:
      second = sums["x x^T"] / n[:, None] - shift**2
      whiten = 1 / jnp.sqrt(jnp.maximum(second, 0) + at.noise + floor)
    about = params["mean"] if full else centre(params)
    return {"weight": n / n.sum(), "mean": about + shift, "whiten": whiten}

  def log_prob(state, x, keys=None, cond=None):
    del cond
    return at.log_prob(jax.nn.logsumexp(joint(state["params"], at.points(x, keys)), axis=1))

  def component(state, keys):
    log_weight = jnp.log(state["params"]["weight"])
    return jax.vmap(lambda key: jax.random.categorical(key, log_weight))(keys)

  def prior(state, keys, cond=None):
    del cond
    return jax.nn.one_hot(component(state, keys), components, dtype=at.dtype)

  def decode(state, code, cond=None):
    del cond
    return at.examples(einsum("nk,kd->nd", code, state["params"]["mean"]))

  def encode(state, x, keys=None, cond=None):
    del keys, cond
    return jax.nn.softmax(expected_joint(state["params"], x))

  def draw(state, keys, cond=None):
    del cond
    p, index = state["params"], component(state, fold_all(keys, 0))
    return at.draws(draw_normal(fold_all(keys, 1), p["mean"], p["whiten"], index))

  model = em(
    init,
    statistics,
    solve,
    dtype=at.dtype,
    evaluate=lambda state, batch, keys: at.likelihood(log_prob(state, batch["x"], keys)),
    prior=prior,
    decode=decode,
    encode=encode,
    sample=draw,
    log_prob=log_prob,
    pictures=lambda state: {"means": at.examples(state["params"]["mean"])},
  )
  return single(model)

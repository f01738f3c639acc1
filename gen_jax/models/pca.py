"""Principal component analysis as a density (Tipping & Bishop 1999, "Probabilistic PCA").

  model      x = W z + mu + eps,  z ~ N(0, I_k),  eps ~ N(0, sigma^2 I)          (section 3.1)
  density    p(x) = N(mu, C),  C = W W^T + sigma^2 I                             (eq. 4-5)
  maximum    W = U (Lambda - sigma^2 I)^{1/2},                                   (eq. 7)
             sigma^2 = 1/(D - k) sum_{j > k} lambda_j                            (eq. 8)

with U, Lambda the first eigenvectors and eigenvalues of the covariance S. Two ways to them:

  eigh       S from one pass of (n, sum x, sum x x^T), then its eigenvectors: D x D numbers
  em         S W alone, D x k numbers a pass, and several passes                 (eq. 29-30)
             W' = S W (sigma^2 I + M^{-1} W^T S W)^{-1},  M = W^T W + sigma^2 I
             sigma^2 <- 1/D tr(S - S W M^{-1} W'^T)
             W <- W' Phi^{1/2},  Phi = E z z^T = sigma^2 M^{-1} + M^{-1} W^T S W M^{-1}

The last line is the expansion of z's covariance (Liu, Rubin & Wu 1998, "Parameter expansion to
accelerate EM"): without it the lengths of W's columns change by sigma^2 / lambda only in a pass.

S has n - 1 in the denominator, as scikit-learn's; grey levels are dequantised, which adds the
noise's variance to the diagonal of S exactly, without a draw. On pictures of faces the
components are eigenfaces (Turk & Pentland 1991).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Literal

import jax
import jax.numpy as jnp

from gen_jax.core import Array, Program, Spec, UserError, fold_all, single
from gen_jax.learn.em import em
from gen_jax.models.euclidean import Space, space
from gen_jax.schema import Count, Positive, Wide, builder

LARGEST = 2**14  # dimensions whose covariance is still formed: 1 GiB in float32

matmul = functools.partial(jnp.matmul, precision="highest")


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How samples are drawn.

  noise: whether eps is added, as the model has it; without, samples are W z + mu.
  """

  noise: bool = True


def loadings(params: dict) -> Array:
  """W^T [k, D]."""
  return params["components"] * jnp.sqrt(params["variance"] - params["noise"])[:, None]


def spectrum(
  at: Space, mean: Array, axes: Array, variance: Array, trace: Array, floor: float
) -> dict:
  """Parameters from the first eigenvectors [k, D], eigenvalues [k] and tr S without the noise."""
  rest = trace + at.dims * at.noise - variance.sum()
  noise = jnp.maximum(rest / max(at.dims - len(axes), 1), floor)
  largest = jnp.take_along_axis(axes, jnp.abs(axes).argmax(1, keepdims=True), 1)
  variance = jnp.maximum(variance, noise)
  return {
    "mean": mean, "components": axes * jnp.sign(largest), "variance": variance, "noise": noise,
  }  # fmt: skip


def first(at: Space, key: Array, x: Array, weight: Array, components: int, floor: float) -> dict:
  """The PCA of the points x [B, D] alone, random directions added where they have too few."""
  n = weight.sum()
  mean = matmul(weight, x) / n
  centred = weight[:, None] * (x - mean)
  denominator = jnp.maximum(n - 1, 1)
  rank = min(components, *x.shape)
  if len(x) < at.dims:  # the Gram matrix has the same eigenvalues
    value, vector = top(matmul(centred, centred.T) / denominator, rank)
    axes = matmul(vector, centred)
  else:
    value, axes = top(matmul(centred.T, centred) / denominator, rank)
  # Directions that the batch lacks are random: EM never leaves a subspace.
  more = jax.random.normal(key, (components, at.dims), at.dtype)
  axes = jnp.linalg.qr(jnp.concatenate([axes, more]).T)[0].T[:components]
  variance = jnp.zeros(components, at.dtype).at[:rank].set(value)
  trace = (centred**2).sum() / denominator
  params = spectrum(at, mean, axes, variance + at.noise, trace, floor)
  found = jnp.arange(components) < rank
  return params | {"variance": jnp.where(found, params["variance"], 2 * params["noise"])}


def solve_eigh(at: Space, params: dict, sums: dict, floor: float) -> dict:
  """Equations 7 and 8 from the sums of a pass, of x - mean with the mean before it."""
  n, shift = sums["n"], sums["x"] / sums["n"]
  s = (sums["x x^T"] - n * jnp.outer(shift, shift)) / jnp.maximum(n - 1, 1)
  value, axes = top(s, len(params["components"]))
  return spectrum(at, params["mean"] + shift, axes, value + at.noise, jnp.trace(s), floor)


def solve_em(at: Space, params: dict, sums: dict, floor: float) -> dict:
  """Equations 29 and 30, and the expansion, from the sums of a pass, as in `solve_eigh`."""
  n, shift, w, noise = sums["n"], sums["x"] / sums["n"], loadings(params).T, params["noise"]
  denominator = jnp.maximum(n - 1, 1)
  s_w = (sums["x x^T W"] - n * jnp.outer(shift, matmul(shift, w))) / denominator + at.noise * w
  trace = (sums["|x|^2"] - n * shift @ shift) / denominator + at.dims * at.noise
  identity = jnp.eye(w.shape[1], dtype=at.dtype)
  inverse_m = jnp.linalg.inv(matmul(w.T, w) + noise * identity)
  w_s_w = matmul(w.T, s_w)
  new = jnp.linalg.solve(noise * identity + matmul(inverse_m, w_s_w).T, s_w.T).T
  moment = noise * inverse_m + matmul(inverse_m, matmul(w_s_w, inverse_m))
  rest = (trace - (matmul(s_w, inverse_m) * new).sum()) / at.dims
  new, noise = matmul(new, jnp.linalg.cholesky(moment)), jnp.maximum(rest, floor)
  # A rotation of z leaves the model as it is: take the one that makes W's columns orthogonal.
  u, singular, _ = jnp.linalg.svd(new, full_matrices=False)
  largest = jnp.take_along_axis(u, jnp.abs(u).argmax(0, keepdims=True), 0)
  return {
    "mean": params["mean"] + shift, "components": (u * jnp.sign(largest)).T,
    "variance": singular**2 + noise, "noise": noise,
  }  # fmt: skip


def split(params: dict, y: Array) -> tuple[Array, Array]:
  """Coordinates [B, k] of the points y [B, D] along the components, and what is left [B, D]."""
  centred = y - params["mean"]
  along = matmul(centred, params["components"].T)
  return along, centred - matmul(along, params["components"])


SOLVES = {"eigh": solve_eigh, "em": solve_em}


@builder
def build(
  spec: Spec,
  *,
  components: Count = 16,
  method: Literal[*SOLVES] = "eigh",
  floor: Positive = 1e-6,
  dtype: Wide = "float32",
  sample: Sampler = Sampler(),
) -> Program:
  """PCA of any examples, flattened to D dimensions.

  `encode` gives the code z [B, k] whose `decode`, W z + mu, is the orthogonal projection of x on
  the components: a standard normal code has the data's variance. `log_prob` is exact; of grey
  levels it is the bound of uniform dequantisation. `evaluate` gives squared_error, of the
  projection, with grey levels scaled to [0, 1]; nll in nats; and for grey levels bits_per_dim.

  Training begins with the PCA of the first batch; one whole pass makes `eigh` exact. Where D is
  too large for it, take `em` or a smaller data.resolution.

  Args:
    spec: of the data.
    components: k.
    method: eigh or em, see above.
    floor: least sigma^2, in squared units of the points: of real values, or of (x + u) / levels.
    dtype: of everything.
    sample: see there.

  Raises:
    UserError: if k is above D, an option is out of range, or `eigh` is asked for above 16384
      dimensions.
  """
  at = space(spec, dtype)
  check(at.dims, components, method)

  def init(key, batch, weight):
    return first(at, key, at.points(batch["x"]), weight, components, floor)

  def statistics(params, batch, weight, key):
    x = weight[:, None] * (at.points(batch["x"]) - params["mean"])
    sums = {"n": weight.sum(), "x": x.sum(0)}
    if method == "eigh":
      sums["x x^T"] = matmul(x.T, x)
    else:
      sums["x x^T W"] = matmul(x.T, matmul(x, loadings(params).T))
      sums["|x|^2"] = (x**2).sum()
    return sums, {"nll": -log_prob({"params": params}, batch["x"], key)}

  def log_prob(state, x, keys=None, cond=None):
    """log p(x) in nats [B], by the eigenvalues of C: Lambda along the components, else sigma^2."""
    del cond
    p = state["params"]
    along, left = split(p, at.points(x, keys))
    distance = (along**2 / p["variance"]).sum(-1) + (left**2).sum(-1) / p["noise"]
    log_det = jnp.log(p["variance"]).sum() + (at.dims - components) * jnp.log(p["noise"])
    return at.log_prob(-0.5 * (distance + log_det + at.dims * math.log(2 * math.pi)))

  def evaluate(state, batch, keys):
    _, left = split(state["params"], at.points(batch["x"]))
    likelihood = at.likelihood(log_prob(state, batch["x"], keys))
    return {"squared_error": at.squared_distance(left), **likelihood}

  def encode(state, x, keys=None, cond=None):
    del keys, cond
    p = state["params"]
    width = jnp.sqrt(jnp.maximum(p["variance"] - p["noise"], jnp.finfo(at.dtype).tiny))
    return split(p, at.points(x))[0] / width

  def mean_of(state, code):
    return matmul(code, loadings(state["params"])) + state["params"]["mean"]

  def prior(state, keys, cond=None):
    del state, cond
    return jax.vmap(lambda key: jax.random.normal(key, (components,), at.dtype))(keys)

  def draw(state, keys, cond=None):
    y = mean_of(state, prior(state, fold_all(keys, 0)))
    if sample.noise:
      eps = jax.vmap(lambda key: jax.random.normal(key, (at.dims,), at.dtype))(fold_all(keys, 1))
      y += jnp.sqrt(state["params"]["noise"]) * eps
    return at.draws(y)

  model = em(
    init,
    statistics,
    lambda params, sums: SOLVES[method](at, params, sums, floor),
    dtype=at.dtype,
    evaluate=evaluate,
    prior=prior,
    decode=lambda state, code, cond=None: at.examples(mean_of(state, code)),
    encode=encode,
    sample=draw,
    log_prob=log_prob,
    pictures=lambda state: portraits(at, state["params"]),
  )
  return single(model)


def top(matrix: Array, k: int) -> tuple[Array, Array]:
  """The k largest eigenvalues [k] of a symmetric matrix [D, D], and their eigenvectors [k, D]."""
  value, vector = jnp.linalg.eigh(matrix)
  return value[::-1][:k], vector.T[::-1][:k]


def portraits(at: Space, params: dict) -> dict:
  """The mean and the first 63 components of pictures: 0 is middle grey, the largest entry white."""
  if len(at.spec.shape) != 3 or at.spec.levels is None:
    return {}
  axes = params["components"][:63]
  scaled = 0.5 + 0.5 * axes / jnp.abs(axes).max(axis=1, keepdims=True)
  shown = (at.spec.levels - 1) * scaled.reshape(-1, *at.spec.shape)
  return {"components": jnp.concatenate([at.examples(params["mean"][None]), shown])}


def check(dims: int, components: int, method: str) -> None:
  """Refuses more components than dimensions, and matrices too large for `eigh`."""
  if components > dims:
    raise UserError(
      f"model.components must be at most {dims}, the dimensions of an example, not {components}"
    )
  if method == "eigh" and dims > LARGEST:
    raise UserError(
      f"model.method=eigh needs a matrix of {dims} x {dims} numbers, more than {LARGEST} x"
      f" {LARGEST}: take model.method=em or a smaller data.resolution"
    )

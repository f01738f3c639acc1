"""Optimisers by name, made of optax: what a config may say of one.

Conventions, g the gradient, t = 1, 2, ... the update, s_t its learning rate. Each is PyTorch's too,
the usual one in the sources' code:

  adam       m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2
             x <- x - s_t m^ / (sqrt(v^) + eps),  m^ = m / (1 - b1^t), v^ = v / (1 - b2^t)
             (Kingma & Ba 2015, alg. 1: eps outside the root, after the bias corrections)
  adamw      adam, and x <- x - s_t weight_decay x, of the x before the update and of every
             parameter, biases and scales too. The decay follows the learning rate: in Loshchilov &
             Hutter 2019 (alg. 2) weight_decay stands for s_t weight_decay at the peak
  sgd        m <- b1 m + g,  x <- x - s_t m  (heavy ball: no damping of g, and no Nesterov step)
  rmsprop    v <- b2 v + (1 - b2) g^2 from v = 0,  x <- x - s_t g / (sqrt(v) + eps)
             (Tieleman & Hinton 2012; eps outside the root as in PyTorch, in whose code WGAN's
             source is; TensorFlow 1 has v + eps inside, from v = 1. No momentum, no centring, no
             bias correction)
  muon       of kernels [..., in, out], but for those of a layer named `logits`:
             m <- b m + (1 - b) g,  u = b m / (1 - b^(t+1)) + (1 - b) g / (1 - b^t),  b = 0.95
             x <- x - s_t sqrt(max(1, out / in)) O(u),  where O(U S V^T) is about U V^T, by five
             steps of Newton and Schulz (Jordan et al. 2024, kellerjordan.github.io/posts/muon,
             whose rate is 0.02). All else by adam with Nesterov's step, at `other_rate`
  clip       g <- g min(1, clip / ||g||), over all parameters together, before anything else
  warmup     s_t = peak (t - 1) / warmup for t <= warmup: the first update moves nothing
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from gen_jax.core import PyTree, UserError
from gen_jax.schema import Count, Decay, Natural, NonNegative, Positive, check


def burda_schedule(peak: float, steps: int) -> optax.Schedule:
  """Stage i = 1..8 takes 3^(i-1) of 3280 equal parts, at peak / 10 * round(10^(1 - (i-1) / 7), 1).

  Burda et al. 2016, section 5: 1e-3 down to 1e-4 in 3280 epochs.
  """
  rates = [peak / 10 * round(10 ** (1 - i / 7), 1) for i in range(8)]
  ends = [(3**i - 1) // 2 * steps // 3280 for i in range(1, 8)]
  return optax.join_schedules([optax.constant_schedule(rate) for rate in rates], ends)


# (peak learning rate, steps) -> step -> learning rate
SCHEDULES: Mapping[str, Callable[[float, int], optax.Schedule]] = {
  "constant": lambda peak, steps: optax.constant_schedule(peak),
  "cosine": optax.cosine_decay_schedule,
  "linear": lambda peak, steps: optax.linear_schedule(peak, 0.0, steps),
  "burda": burda_schedule,
}


def kernels(params: PyTree) -> PyTree:
  """The axes of each parameter that Muon takes as rows and columns, None where it takes none."""

  def axes(path, leaf):
    names = [getattr(part, "key", "") for part in path]
    if leaf.ndim < 2 or names[-1:] != ["kernel"] or "logits" in names:
      return None
    return contrib.MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1)

  return jax.tree_util.tree_map_with_path(axes, params)


def muon(o: Optimizer, rate: optax.Schedule, root: float) -> optax.GradientTransformation:
  """Muon of kernels, and Adam of all else at a rate of its own."""
  share = o.other_rate / o.learning_rate if o.other_rate else 1.0
  return contrib.muon(
    rate, eps=o.eps, adam_b1=o.b1, adam_b2=o.b2, adam_eps_root=root,
    adam_learning_rate=lambda step: share * rate(step), muon_weight_dimension_numbers=kernels,
  )  # fmt: skip


# (options, schedule of the learning rate, added inside Adam's root) -> transformation
OPTIMIZERS: Mapping[
  str, Callable[[Optimizer, optax.Schedule, float], optax.GradientTransformation]
] = {
  "adam": lambda o, rate, root: optax.adam(rate, o.b1, o.b2, o.eps, root),
  "adamw": lambda o, rate, root: optax.adamw(
    rate, o.b1, o.b2, o.eps, root, weight_decay=o.weight_decay
  ),
  "sgd": lambda o, rate, root: optax.sgd(rate, momentum=o.b1 or None),
  "rmsprop": lambda o, rate, root: optax.rmsprop(rate, decay=o.b2, eps=o.eps, eps_in_sqrt=False),
  "muon": muon,
}
# Far below the square of any gradient that counts, and far above where float32 ends.
ROOT = 1e-16


@dataclasses.dataclass(frozen=True)
class Optimizer:
  """An optax optimiser.

  name: adam, adamw, sgd, rmsprop or muon, each as the module's docstring writes it.
  learning_rate: the peak.
  schedule: of the learning rate after the warm-up: constant, cosine or linear to 0, or burda: down
    to a tenth in eight stages, each three times as long as the one before.
  warmup: steps of linear warm-up from 0.
  decay_steps: the length of the whole schedule, warm-up included; explicit, so that a longer run
    is the same run. The learning rate stays what it came to behind it.
  clip: largest global norm of the gradient, 0 for no limit.
  b1, b2, eps: of Adam. sgd reads b1 alone, its momentum; rmsprop reads b2, its decay, and eps.
  weight_decay: decoupled, of adamw alone.
  other_rate: the peak for what muon leaves to Adam, of muon alone; 0 for learning_rate.
  accumulate: parts of a batch whose gradients are averaged one after the other, in the memory that
    one part takes.
  """

  name: Literal[tuple(OPTIMIZERS)] = "adam"
  learning_rate: Positive = 1e-3
  schedule: Literal[tuple(SCHEDULES)] = "constant"
  warmup: Natural = 0
  decay_steps: Natural = 0
  clip: NonNegative = 0.0
  b1: Decay = 0.9
  b2: Decay = 0.999
  eps: NonNegative = 1e-8
  weight_decay: NonNegative = 0.0
  other_rate: NonNegative = 0.0
  accumulate: Count = 1

  def check(self) -> None:
    """Refuses what no optimiser can be.

    Raises:
      UserError: for a field outside its range, a decay without a length longer than its warm-up,
        or a weight decay or a second rate that the optimiser does not have.
    """
    check(Optimizer, self, "optimizer")
    if self.schedule != "constant" and self.decay_steps <= self.warmup:
      raise UserError(
        f"optimizer.schedule={self.schedule} needs optimizer.decay_steps, its length,"
        f" above optimizer.warmup={self.warmup}; it is {self.decay_steps}"
      )
    if self.weight_decay and self.name != "adamw":
      raise UserError(
        f"optimizer.weight_decay={self.weight_decay} is of optimizer.name=adamw: {self.name} has"
        " none"
      )
    if self.other_rate and self.name != "muon":
      raise UserError(
        f"optimizer.other_rate={self.other_rate} is of optimizer.name=muon: {self.name} has one"
        " rate for all"
      )

  def rate(self) -> optax.Schedule:
    """step -> learning rate.

    Raises:
      UserError: see `check`.
    """
    self.check()
    peak = SCHEDULES[self.schedule](self.learning_rate, self.decay_steps - self.warmup)
    if not self.warmup:
      return peak
    ramp = optax.linear_schedule(0.0, self.learning_rate, self.warmup)
    return optax.join_schedules([ramp, peak], [self.warmup])

  def make(self, differentiable: bool = False) -> optax.GradientTransformationExtraArgs:
    """The optax transformation.

    Args:
      differentiable: an Adam whose updates have a finite derivative by a gradient of 0 too: the
        same but for 1e-16 inside its root, with the same state.

    Raises:
      UserError: see `check`.
    """
    rate = self.rate()
    tx = OPTIMIZERS[self.name](self, rate, ROOT if differentiable else 0.0)
    if self.clip:
      tx = optax.chain(optax.clip_by_global_norm(self.clip), tx)
    return optax.with_extra_args_support(tx)


def clip_weights(limit: float) -> optax.GradientTransformation:
  """Keeps all parameters in [-limit, limit], as the last of a chain (Arjovsky et al. 2017)."""

  def update(updates, state, params):
    inside = lambda u, p: jnp.clip(p + u, -limit, limit) - p
    return jax.tree.map(inside, updates, params), state

  return optax.GradientTransformation(lambda params: optax.EmptyState(), update)

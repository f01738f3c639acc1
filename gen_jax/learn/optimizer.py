"""Optimisers by name, made of optax: what a config may say of one."""

from __future__ import annotations

import dataclasses
from typing import Literal

import optax

from gen_jax.core import UserError


def burda_schedule(peak: float, steps: int) -> optax.Schedule:
  """Stage i = 1..8 takes 3^(i-1) of 3280 equal parts, at peak / 10 * round(10^(1 - (i-1) / 7), 1).

  Burda et al. 2016, section 5: 1e-3 down to 1e-4 in 3280 epochs.
  """
  rates = [peak / 10 * round(10 ** (1 - i / 7), 1) for i in range(8)]
  ends = [(3**i - 1) // 2 * steps // 3280 for i in range(1, 8)]
  return optax.join_schedules([optax.constant_schedule(rate) for rate in rates], ends)


@dataclasses.dataclass(frozen=True)
class Optimizer:
  """An optax optimiser.

  name: adam, adamw, sgd or rmsprop.
  learning_rate: the peak.
  schedule: of the learning rate after the warm-up: constant, cosine or linear to 0, or burda: down
    to a tenth in eight stages, each three times as long as the one before.
  warmup: steps of linear warm-up from 0.
  decay_steps: the length of the whole schedule, warm-up included; explicit, so that a longer run
    is the same run. The learning rate stays what it came to behind it.
  clip: largest global norm of the gradient, 0 for no limit.
  b1, b2, eps: of Adam; b1 is sgd's momentum and b2 rmsprop's decay.
  weight_decay: decoupled, of adamw.
  accumulate: parts of a batch whose gradients are averaged one after the other, in the memory that
    one part takes.
  """

  name: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
  learning_rate: float = 1e-3
  schedule: Literal["constant", "cosine", "linear", "burda"] = "constant"
  warmup: int = 0
  decay_steps: int = 0
  clip: float = 0.0
  b1: float = 0.9
  b2: float = 0.999
  eps: float = 1e-8
  weight_decay: float = 0.0
  accumulate: int = 1

  def rate(self) -> optax.Schedule:
    """step -> learning rate.

    Raises:
      UserError: for a decay without a length longer than its warm-up.
    """
    if self.learning_rate <= 0:
      raise UserError(f"optimizer.learning_rate must be positive, not {self.learning_rate}")
    if self.accumulate < 1:
      raise UserError(f"optimizer.accumulate must be 1 or more, not {self.accumulate}")
    if self.schedule == "constant":
      peak = optax.constant_schedule(self.learning_rate)
    elif self.decay_steps <= self.warmup:
      raise UserError(
        f"optimizer.schedule={self.schedule} needs optimizer.decay_steps, its length,"
        f" above optimizer.warmup={self.warmup}; it is {self.decay_steps}"
      )
    elif self.schedule == "cosine":
      peak = optax.cosine_decay_schedule(self.learning_rate, self.decay_steps - self.warmup)
    elif self.schedule == "burda":
      peak = burda_schedule(self.learning_rate, self.decay_steps - self.warmup)
    else:
      peak = optax.linear_schedule(self.learning_rate, 0.0, self.decay_steps - self.warmup)
    if not self.warmup:
      return peak
    ramp = optax.linear_schedule(0.0, self.learning_rate, self.warmup)
    return optax.join_schedules([ramp, peak], [self.warmup])

  def make(self) -> optax.GradientTransformationExtraArgs:
    """The optax transformation."""
    rate = self.rate()
    if self.name == "adam":
      tx = optax.adam(rate, self.b1, self.b2, self.eps)
    elif self.name == "adamw":
      tx = optax.adamw(rate, self.b1, self.b2, self.eps, weight_decay=self.weight_decay)
    elif self.name == "sgd":
      tx = optax.sgd(rate, momentum=self.b1 or None)
    elif self.name == "rmsprop":
      tx = optax.rmsprop(rate, decay=self.b2, eps=self.eps)
    else:
      raise UserError(f"optimizer.name {self.name!r}: one of adam, adamw, sgd, rmsprop")
    if self.clip:
      tx = optax.chain(optax.clip_by_global_norm(self.clip), tx)
    return optax.with_extra_args_support(tx)

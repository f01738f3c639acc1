"""Shortcut models: one network of steps of 1, 1/2, 1/4, ..., each of which does what two do.

The network is MeanFlow's, the average velocity between two times (`models.meanflow`); it learns
from itself by halves in place of a derivative (`diffusion.mean_velocity`; Frans et al. 2024,
arXiv:2410.12557). Its halves are taken with the weights as they are, where the source has their
average.
"""

from __future__ import annotations

from functools import partial

from gen_jax.core import Program, Spec, UserError
from gen_jax.diffusion import mean_velocity
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.denoisers import Dense
from gen_jax.models.meanflow import Objective, Sampler, wired
from gen_jax.schema import Count, Decay, Dtype, Share, builder


@builder
def build(
  spec: Spec,
  *,
  share: Share = 0.25,
  halvings: Count = 7,
  dense: Dense = Dense(),
  dtype: Dtype = "float32",
  ema: Decay = 0.998,
  optimizer: Optimizer = Optimizer(learning_rate=2e-3, warmup=200, clip=1.0),
  sample: Sampler = Sampler(),
) -> Program:
  """A shortcut model of vectors [D] of real values, which are standardised by the first batch.

  `evaluate` gives mean_velocity_loss, of a step of each example's own, and velocity_loss, that of
  flow matching.

  Args:
    spec: of the data.
    share: of the examples that learn a step; the others learn the velocity.
    halvings: lengths of steps: 1, 1/2, ..., 2^(1 - halvings).
    dense: the network.
    dtype: of the network's computation.
    ema: decay of the parameter average that samples use; 0 for none.
    optimizer, sample: see there.

  Raises:
    UserError: for data of another kind, or steps of a length that is not learnt.
  """
  lengths = [2**i for i in range(halvings)]
  if sample.steps not in lengths:
    raise UserError(
      f"sample.steps={sample.steps} of equal length are not learnt: take one of"
      f" {', '.join(map(str, lengths))}"
    )
  loss = partial(mean_velocity.shortcut_loss, smallest=2.0 ** (1 - halvings))
  times = partial(mean_velocity.halved_times, halvings=halvings)
  objective = Objective("shortcut", times, share, loss, loss)
  return wired(spec, objective, dense, dtype, ema, optimizer, sample)

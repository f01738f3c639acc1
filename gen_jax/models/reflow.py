"""Reflow: flow matching again, on the pairs of noise and sample that the flow itself has made.

The first stage is flow matching (`models.diffusion`), whose pairs are by chance, so that their
lines cross and its flow bends. In each later one a network begins as that of the stage before and
learns from pairs that this one makes inside the step, of fresh noise by few steps of its flow: the
new flow has the same law, and is straighter (`diffusion.distillation`; Liu et al. 2023,
arXiv:2209.03003).
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from gen_jax.core import Program, Spec, Stage, over_states
from gen_jax.diffusion import distillation, grids
from gen_jax.diffusion.path import linear, table
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import diffusion
from gen_jax.models.denoisers import Convolutional, Dense, taught
from gen_jax.schema import Count, Decay, Dtype, Share, builder


@dataclasses.dataclass(frozen=True)
class Pairs:
  """How the network of the stage before makes a sample of noise.

  solver: of its flow; heun asks the network twice in all steps but the last.
  steps: of it, equal ones of the time.
  """

  solver: Literal["euler", "heun"] = "heun"
  steps: Count = 16


@builder
def build(
  spec: Spec,
  *,
  rounds: Count = 1,
  pairs: Pairs = Pairs(),
  conditional: bool = False,
  label_dropout: Share = 0.1,
  dense: Dense = Dense(),
  unet: Convolutional = Convolutional(),
  dtype: Dtype = "float32",
  ema: Decay = 0.998,
  optimizer: Optimizer = Optimizer(learning_rate=2e-3, warmup=200, clip=1.0),
  student_optimizer: Optimizer = Optimizer(learning_rate=1e-3, clip=1.0),
  sample: diffusion.Sampler = diffusion.Sampler(solver="euler", steps=1),
  likelihood: diffusion.Likelihood = diffusion.Likelihood(),
) -> Program:
  """Real vectors [D], or images [H, W, C] with integer grey levels.

  `evaluate` is a diffusion's; denoising_loss is of the pairs that a stage learns from.

  Args:
    spec: of the data.
    rounds: stages of reflow, after the first of flow matching.
    pairs: see there.
    conditional: condition on the label.
    label_dropout: share of labels hidden in training.
    dense, unet: the network of vectors, and of images.
    dtype: of the network's computation.
    ema: decay of the parameter average that samples, likelihoods and pairs use; 0 for none.
    optimizer: of the first stage.
    student_optimizer: of each later one.
    sample, likelihood: of every stage.

  Raises:
    UserError: for what `models.diffusion` refuses.
  """
  path = linear()
  levels = table(path, grids.uniform(path, pairs.steps))
  ode = diffusion.solver_of(diffusion.Sampler(solver=pairs.solver), path)
  how = dict(
    path="linear", prediction="velocity", conditional=conditional, label_dropout=label_dropout,
    dense=dense, unet=unet, dtype=dtype, ema=ema, sample=sample, likelihood=likelihood,
  )  # fmt: skip
  of = lambda **options: diffusion.build(spec, **how, **options).stages[0].model
  student = of(teaching=distillation.reflow(levels, ode), optimizer=student_optimizer)
  stages = [Stage(of(optimizer=optimizer))]
  # A teacher is frozen in the state of its student, and needed nowhere else.
  stages += [Stage(student, carry=taught, release=(i,)) for i in range(rounds)]
  return Program(tuple(stages), over_states(student))

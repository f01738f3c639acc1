"""Progressive distillation: students that need half of their teacher's steps, again and again.

The first stage trains a diffusion on the cosine path that predicts v (`models.diffusion`). In each
later one a student begins as the network of the stage before and learns to do two of its DDIM
steps in one (`diffusion.distillation`; Salimans & Ho 2022, arXiv:2202.00512); the optimiser begins
anew. v stays a prediction of x_0 where there is only noise, at t = 1, which eps would not.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from gen_jax.core import Model, Program, Spec, Stage, UserError, over_states
from gen_jax.diffusion import distillation
from gen_jax.diffusion.path import cosine
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import diffusion
from gen_jax.models.denoisers import Convolutional, Dense, taught
from gen_jax.schema import Count, Decay, Dtype, Natural, Share, builder


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How the finished system draws; an unfinished one has the steps of the stage it has come to.

  steps: of DDIM, a call of the network each: those of the student that draws; 0 for the last's.
  teacher: the network of the first stage draws instead, in any number of steps.
  """

  steps: Natural = 0
  teacher: bool = False


def halvings(first: int, last: int) -> tuple[int, ...]:
  """first, first / 2, ..., last.

  Raises:
    UserError: if halving does not lead from the one to the other.
  """
  steps = [first]
  while steps[-1] > last and steps[-1] % 2 == 0:
    steps.append(steps[-1] // 2)
  if steps[-1] != last or len(steps) < 2:
    raise UserError(
      f"model.teacher_steps={first} must be model.final_steps={last} times 2, 4, 8 or another power"
      f" of 2, such as {last * 2 ** max(round(math.log2(first / last)), 1)}"
    )
  return tuple(steps)


@builder
def build(
  spec: Spec,
  *,
  teacher_steps: Count = 64,
  final_steps: Count = 4,
  weight: Literal[*distillation.WEIGHTS] = "truncated_snr",
  conditional: bool = False,
  label_dropout: Share = 0.1,
  dense: Dense = Dense(),
  unet: Convolutional = Convolutional(),
  dtype: Dtype = "float32",
  ema: Decay = 0.998,
  optimizer: Optimizer = Optimizer(learning_rate=2e-3, warmup=200, clip=1.0),
  student_optimizer: Optimizer = Optimizer(learning_rate=5e-4, clip=1.0),
  sample: Sampler = Sampler(),
) -> Program:
  """Real vectors [D], or images [H, W, C] with integer grey levels, in `final_steps` calls.

  The stages are the teacher and one for each halving of its steps. `evaluate` of the teacher is a
  diffusion's; of a student it gives distillation_loss, the weighted loss at its own times.

  Args:
    spec: of the data.
    teacher_steps: of DDIM, that the first student learns to do in half as many.
    final_steps: of the last student.
    weight: of the error of a student's x_0: max(SNR, 1) or SNR + 1.
    conditional: condition on the label.
    label_dropout: share of labels hidden in training, from a student and its teacher alike.
    dense, unet: the network of vectors, and of images.
    dtype: of the network's computation.
    ema: decay of the average of the teacher's parameters, which draw and teach; 0 for none.
    optimizer: of the teacher.
    student_optimizer: of each student, whose last weights draw and teach.
    sample: see there.

  Raises:
    UserError: for what `models.diffusion` refuses, steps that no halving leads to, or a student
      that there is none of.
  """
  lengths, path = halvings(teacher_steps, final_steps), cosine()
  how = dict(
    path="cosine", prediction="v", conditional=conditional, label_dropout=label_dropout,
    dense=dense, unet=unet, dtype=dtype,
  )  # fmt: skip

  def of(steps: int, **options) -> Model:
    ddim = diffusion.Sampler("ddim", steps)
    model = diffusion.build(spec, sample=ddim, **how, **options).stages[0].model
    # Codes are a flow's, and a student follows none.
    return model._replace(prior=None, decode=None, encode=None, denoise=None)

  def teacher(steps: int) -> Model:
    return of(steps, ema=ema, optimizer=optimizer)

  def student(steps: int) -> Model:
    teaching = distillation.progressive(path, steps, distillation.WEIGHTS[weight])
    model = of(steps, teaching=teaching, ema=0.0, optimizer=student_optimizer)

    def evaluate(*args):
      return {"distillation_loss": model.evaluate(*args)["denoising_loss"]}

    # Its velocity is that of no flow: it has no density.
    return model._replace(evaluate=evaluate, log_prob=None)

  models = [teacher(lengths[0]), *map(student, lengths[1:])]
  stages = Stage(models[0]), *(Stage(model, carry=taught) for model in models[1:])
  steps = sample.steps or (teacher_steps if sample.teacher else final_steps)
  if not sample.teacher and steps not in lengths:
    raise UserError(
      f"sample.steps={steps} is no student's: take one of {', '.join(map(str, lengths))}, or"
      " sample.teacher=True, which draws in any number"
    )
  at = 0 if sample.teacher else lengths.index(steps)
  drawer = teacher(steps) if sample.teacher else models[at]
  of_stage = lambda draw: lambda states, *args: draw(states[at], *args)
  finished = over_states(
    models[-1], sample=of_stage(drawer.sample), trajectory=of_stage(drawer.trajectory),
    transform=drawer.transform and of_stage(drawer.transform), calls=drawer.calls,
  )  # fmt: skip
  return Program(stages, finished)

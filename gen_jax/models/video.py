"""Video given actions: a VQ-VAE of frames, and a transformer of their codes and the actions.

  stage 1    codes z_t [h, w] of each frame x_t on its own, by a VQ-VAE     (models.vqvae)
  stage 2    -log p(z_{c+1}, ..., z_T | z_1, ..., z_c, a) = -sum_{t>c} sum_j log p(z_tj | z_<t,
             z_t,<j, a_<t), where a_t leads from x_t to x_{t+1}; actions and the c first frames are
             given, and never predicted
  sample     x_t as given up to c, then D(z_t),  z ~ p(z | z_1, ..., z_c, a)

van den Oord et al. 2017 (arXiv:1711.00937), section 4.4; blocks of a frame's codes and its action
as in IRIS (Micheli et al. 2023, arXiv:2209.00588), with the action added to the inputs of the frame
that it leads to in place of a token of its own: what a code sees is the same. Nor is a code looked
for in the frame before: the one at its own place is an input too.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from annotated_types import Ge

from gen_jax.core import Cond, Field, Model, Program, PyTree, Spec, UserError
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.autoregressive import Sampler, autoregressive
from gen_jax.models.codebook import Learnt, Start
from gen_jax.models.common import field_of
from gen_jax.models.discrete import FirstStage, first_stage
from gen_jax.models.finite import Levels
from gen_jax.models.transformer import fitting, rooms_of
from gen_jax.models.vqvae import Transformer, two_stages
from gen_jax.nets.video import FrameTransformer
from gen_jax.schema import Count, Decay, Dtype, Natural, NonNegative, builder


@builder
def build(
  spec: Spec,
  *,
  context: Natural = 0,
  actions: bool = True,
  frames_per_clip: Natural = 0,
  factor: Annotated[int, Ge(2)] = 4,
  codes: Annotated[int, Ge(2)] = 128,
  dim: Count = 32,
  width: Count = 64,
  blocks: Natural = 1,
  residual: Count = 32,
  codebook: Literal[Learnt, "finite"] = "ema",
  decay: Decay = 0.99,
  commitment: NonNegative = 0.25,
  start: Start = "kmeans",
  restart: Decay = 0.01,
  variance: NonNegative = 0.0,
  levels: Levels = (8, 8, 8),
  dtype: Dtype = "float32",
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  transformer: Transformer = Transformer(),
  sample: Sampler = Sampler(),
) -> Program:
  """Clips [T, H, W, C] of integer levels given their actions [T - 1] and their first frames.

  `encode` gives codes [B, T, H / factor, W / factor]; `prior` draws them given `action` and the
  first frames of `x`; `decode` gives clips, whose given frames are in `sample` as they were;
  `trajectory` is the samples frame by frame. `evaluate` is that of `models.vqvae`, means over
  frames, and nats_per_code, -log p(other codes | action, first frames) by their number.

  Args:
    spec: of the data.
    context: how many first frames of a clip are given, of cond["x"], which may be whole clips.
    actions: whether the transformer is told the actions; for comparison, or for data without.
    frames_per_clip: how many of a clip a step of stage 1 learns from, drawn anew; 0 for all.
    factor, codes, dim, width, blocks, residual, codebook, decay, commitment, start, restart,
      variance, levels, dtype, optimizer: of the VQ-VAE of frames; see `models.vqvae.build`.
    transformer: of stage 2, and how it learns.
    sample: how codes are drawn.

  Raises:
    UserError: if the data are not clips of integer levels with actions between their frames, or
      `factor` does not fit them, or `heads` the width, or no frame is left to predict.
  """
  frames, *picture = check(spec, transformer, context, actions)
  if frames_per_clip > frames:
    raise UserError(f"model.frames_per_clip={frames_per_clip}: a clip has {frames} frames")
  frame = Spec.of(tuple(picture), spec.levels)
  own = FirstStage(
    factor, codes, dim, width, blocks, residual, codebook, decay, commitment, start, restart,
    variance, levels=levels, optimizer=optimizer,
  )  # fmt: skip
  first, shape, *_ = first_stage(frame, own, dtype)
  each = math.prod(shape)
  length, given, t = frames * each, context * each, transformer
  net = FrameTransformer(
    own.size, length, t.width, t.layers, t.heads, t.dropout, dtype=jnp.dtype(dtype),
    actions=spec.fields["action"].levels if actions else 0, codes=each, grid=own.grid,
  )  # fmt: skip
  memory = 2 * t.layers * length * t.width * jnp.dtype(dtype).itemsize
  second = autoregressive(
    "transformer", net, (length,), Spec.of((frames, *shape, 1), own.size), given=given,
    condition="action" if actions else "", ema=t.ema, optimizer=t.optimizer, sample=sample,
    rooms=rooms_of(length), together=fitting(memory),
  ).stages[0].model  # fmt: skip

  def in_codes(states: list[PyTree], cond: Cond) -> Cond:
    """Conditions whose given frames are codes, and whose others are not looked at."""
    if not context:
      return cond
    x = field_of(cond, "x")[:, :context]
    code = first.encode(states[0], x.reshape(-1, *picture), None, None)
    code = code.reshape(x.shape[0], context, *shape, 1)
    return {**cond, "x": jnp.pad(code, [(0, 0), (0, frames - context)] + [(0, 0)] * 3)}

  first_of_clips = of_clips(first, frames, frames_per_clip)
  program = two_stages(
    first_of_clips, second, spec, (frames, *shape), given=given, of_cond=in_codes
  )

  def sample_of(states, keys, cond=None):
    made = program.model.sample(states, keys, cond)
    if not context:
      return made
    given_frames = field_of(cond, "x")[:, :context].astype(made.dtype)
    return jnp.concatenate([given_frames, made[:, context:]], axis=1)

  def trajectory(states, keys, cond=None):
    return sample_of(states, keys, cond).swapaxes(0, 1)

  model = program.model._replace(sample=sample_of, trajectory=trajectory)
  return program._replace(model=model)


def of_clips(model: Model, frames: int, some: int = 0) -> Model:
  """A model of images as one of clips [T, ...] of so many, whose values are means over frames.

  some: how many frames of each clip an update learns from, drawn by its key; 0 for all.
  """

  def flat(x, axis=0):
    """[..., B, T, ...] -> [..., B T, ...]."""
    return x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])

  def clips(x):
    return x.reshape(-1, frames, *x.shape[1:])

  def spread(batch, axis=0):
    """A batch of frames: what is said of a clip is said of each; actions are left out."""
    each = batch["x"].shape[axis + 1]
    kept = {name: batch[name] for name in ("mask", "last", "index") if name in batch}
    kept = {name: jnp.repeat(value, each, axis=axis) for name, value in kept.items()}
    return {**kept, "x": flat(batch["x"], axis)}

  def drawn(x, key):
    """Of clips x [M, B, T, ...] some frames, in any order, no two of them the same."""
    order = jax.random.uniform(key, x.shape[:3]).argsort(-1)[..., :some]
    return jnp.take_along_axis(x, order.reshape(*order.shape, *[1] * (x.ndim - 3)), 2)

  def update(state, batch, key, step):
    if some:
      key, own = jax.random.split(key)
      batch = {**batch, "x": drawn(batch["x"], own)}
    return model.update(state, spread(batch, 1), key, step)

  def evaluate(state, batch, keys):
    keys = jax.vmap(lambda key: jax.random.split(key, frames))(keys).reshape(-1)
    terms = model.evaluate(state, spread(batch), keys)
    return {name: clips(value).mean(1) for name, value in terms.items()}

  return model._replace(
    init=lambda key, batch: model.init(key, spread(batch)),
    update=update,
    evaluate=evaluate,
    encode=lambda state, x, keys=None, cond=None: clips(model.encode(state, flat(x))),
    decode=lambda state, code, cond=None: clips(model.decode(state, flat(code))),
  )


def check(spec: Spec, transformer: Transformer, context: int, actions: bool) -> tuple[int, ...]:
  """T, H, W and C of clips; refuses other data, and options that do not fit them."""
  if len(spec.shape) != 4 or spec.levels is None:
    raise UserError(f"video models clips [T, H, W, C] of integer levels, not shape {spec.shape}")
  action = spec.fields.get("action", Field())
  if actions and (action.levels is None or action.shape != (spec.shape[0] - 1,)):
    raise UserError(
      f"video needs {spec.shape[0] - 1} actions, one between each two frames; for data without,"
      " set model.actions=False"
    )
  if context >= spec.shape[0]:
    raise UserError(
      f"model.context={context} leaves nothing to predict: it must be below data.frames, here"
      f" {spec.shape[0]}"
    )
  if transformer.width % transformer.heads:
    raise UserError(
      f"model.transformer.heads={transformer.heads} must divide its width={transformer.width}"
    )
  return spec.shape

"""Causal transformer: an exact likelihood, one integer after another.

  model      p(x | c) = prod_i p(x_i | x_1, ..., x_{i-1}, c), by causal self-attention
                                          (Chen et al. 2020, "Generative pretraining from pixels")

Images are taken in raster order, the channels of a pixel in theirs. Levels and positions are
looked up in tables, which know no order among them. Learning and sampling are those of
`models.autoregressive`.
"""

from __future__ import annotations

import jax.numpy as jnp

from gen_jax.core import Program, Spec, UserError, count_dims
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.autoregressive import Sampler, autoregressive, check
from gen_jax.nets.transformer import Transformer
from gen_jax.schema import Count, Decay, Dtype, builder


@builder
def build(
  spec: Spec,
  *,
  conditional: bool = False,
  width: Count = 128,
  layers: Count = 4,
  heads: Count = 4,
  dropout: Decay = 0.1,
  dtype: Dtype = "float32",
  remat: bool = False,
  ema: Decay = 0.999,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3, warmup=100),
  sample: Sampler = Sampler(),
) -> Program:
  """Causal transformer of sequences [T] or images [H, W, C] of integers 0..K-1.

  Args:
    spec: of the data; K is spec.levels.
    conditional: condition on the label, by a token before the first.
    width, layers, heads: of the network; its time and memory grow with the square of T or H W C.
    dropout: of the embeddings and of what each block adds.
    dtype: of the network's computation.
    remat: whether the gradient computes the blocks again instead of keeping what is in them.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample: see there.

  Raises:
    UserError: if the data are not integers, labels are asked for that they lack, or an option is
      out of range.
  """
  if width % heads:
    raise UserError(f"model.heads={heads} must divide model.width={width}")
  check(spec, conditional, sample)
  length, classes = count_dims(spec), spec.classes if conditional else 0
  net = Transformer(
    spec.levels, length, width, layers, heads, dropout, classes, jnp.dtype(dtype), remat
  )
  memory = 2 * layers * length * width * jnp.dtype(dtype).itemsize
  return autoregressive(
    "transformer", net, (length,), spec, condition="label" if conditional else "", ema=ema,
    optimizer=optimizer, sample=sample, rooms=rooms_of(length), together=fitting(memory),
  )  # fmt: skip


def rooms_of(length: int) -> list[int]:
  """Sizes that the memory of so many positions grows to, four at most."""
  step = max(64, -(-length // 4))
  return [*range(step, length, step), length]


def fitting(memory: int) -> int:
  """How many sequences of so many bytes of keys and values a CPU should sample at a time, for its
  cache to hold them; 0 for all, where it would not hold four, and fewer read the weights too often.
  """
  return max(4, 2**22 // memory) if 4 * memory <= 2**24 else 0

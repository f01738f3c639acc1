"""Causal transformer, decoder only (Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2019).

  attend     softmax(q k^T / sqrt(d)) v, over the positions up to a query's own           (eq. 1)
  block      x <- x + attend(LN(x));  x <- x + MLP(LN(x))     (pre-LN: Xiong et al. 2020, eq. 3)

Token i of the input is what stands before position i of the sequence, so that its features, which
see tokens 0..i, know nothing of position i or later. Token 0 stands for the label, or for the
beginning. One position after another, the keys and values of those before are kept.
"""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gen_jax.core import Array
from gen_jax.nets import grid
from gen_jax.nets.attention import attend
from gen_jax.nets.dense import Dense
from gen_jax.nets.remat import rematted

# Keys and values [B, heads, T, width / heads], as one query after the other reads them.
Memory = tuple[Array, Array]


class Block(nn.Module):
  """x [B, S, width], memory or None -> (x, memory with the keys and values of x).

  heads: of attention.
  dropout: of what is added to x.
  """

  heads: int
  dropout: float
  dtype: jnp.dtype

  @nn.compact
  def __call__(
    self,
    x: Array,
    memory: Memory | None = None,
    at: Array | int = 0,
    train: bool = False,
    sees: Array | None = None,
  ) -> tuple[Array, Memory]:
    """at: position of the first of x; memory has those before it. sees: as for `attend`, where it
    is not what lies behind."""
    width = x.shape[-1]
    kwargs = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
    drop = nn.Dropout(self.dropout, deterministic=not train)
    # Without biases: that of the keys would have no gradient but rounding noise.
    qkv = Dense(3 * width, use_bias=False, **kwargs)(nn.LayerNorm(**kwargs)(x))
    split = qkv.reshape(*x.shape[:-1], 3, self.heads, width // self.heads)
    q, *kept = (split[..., i, :, :] for i in range(3))
    kept = [new.swapaxes(1, 2) for new in kept]
    if memory is not None:
      kept = [lax.dynamic_update_slice_in_dim(m, new, at, 2) for m, new in zip(memory, kept)]
    k, v = (m.swapaxes(1, 2) for m in kept)
    causal = sees is None and memory is None
    if sees is None and not causal:
      sees = at + jnp.arange(x.shape[1])[:, None] >= jnp.arange(k.shape[1])
    h = attend(q, k, v, sees, causal).reshape(x.shape)
    x = x + drop(Dense(width, **kwargs)(h))
    h = nn.gelu(Dense(4 * width, **kwargs)(nn.LayerNorm(**kwargs)(x)))
    return x + drop(Dense(width, **kwargs)(h)), tuple(kept)


class Trunk(nn.Module):
  """Integers x [B, T] and label [B] or None -> logits [B, T, levels]; a subclass says what the
  blocks are given at each position (`embed`) and what a position sees.

  levels: K.
  length: T.
  width, layers, heads: of the blocks.
  dropout: of the embeddings and of what blocks add.
  classes: of the label, 0 for none.
  dtype: of the computation; parameters and logits are float32 or wider.
  remat: forget what blocks compute and compute it again for the gradient: less memory, a third more
    time.
  grid: whose points the K levels are, which then share coordinates (`nets.grid`); () for none.
  """

  levels: int
  length: int
  width: int = 128
  layers: int = 4
  heads: int = 4
  dropout: float = 0.0
  classes: int = 0
  dtype: jnp.dtype = jnp.float32
  remat: bool = False
  grid: tuple[int, ...] = ()

  def setup(self):
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    small = nn.initializers.normal(0.02)
    tokens, firsts = self.tables
    self.token = grid.Embed(tokens, self.width, embedding_init=small, grid=self.grid, **kwargs)
    self.first = nn.Embed(firsts, self.width, embedding_init=small, **kwargs)
    self.position = self.places(small, real)
    self.drop = nn.Dropout(self.dropout)
    block = rematted(Block, static_argnums=(4,)) if self.remat else Block
    self.blocks = [block(self.heads, self.dropout, self.dtype) for _ in range(self.layers)]
    self.norm = nn.LayerNorm(**kwargs)
    # Zero logits at first: the uniform distribution.
    zeros = nn.initializers.zeros
    self.logits = grid.Logits(self.levels, kernel_init=zeros, grid=self.grid, **kwargs)

  def places(self, start: Callable, real: jnp.dtype) -> Array:
    """What is added at each position, [T, width], learnt from `start`."""
    return self.param("position", start, (self.length, self.width), real)

  @property
  def tables(self) -> tuple[int, int]:
    """How many tokens there are, and how many labels."""
    return self.levels, max(self.classes, 1)

  @property
  def sees(self) -> Array | None:
    """What each position sees, as for `attend`; None for itself and what lies behind."""
    return None

  def __call__(self, x: Array, label: Array | None = None, train: bool = False) -> Array:
    chex.assert_shape(x, (None, self.length))
    h = self.embed(x, label) + self.position.astype(self.dtype)
    h = self.drop(h, deterministic=not train)
    for block in self.blocks:
      h, _ = block(h, None, 0, train, self.sees)
    return self.read(h)

  def read(self, h: Array) -> Array:
    """Logits from the features of the tokens."""
    return self.logits(self.norm(h)).astype(jnp.promote_types(self.dtype, jnp.float32))


class Transformer(Trunk):
  """Integers x [B, T] in 0..levels-1, label [B] or None -> logits [B, T, levels] of each given
  those before it.

  Fields: those of `Trunk`; `classes` is 0 for no label.
  """

  @property
  def lead(self) -> int:
    """How many positions of the memory come before that of token 0."""
    return 0

  def start(self, n: int) -> list[Memory]:
    """The memory of n sequences before their first position, without room for any."""
    nothing = jnp.zeros((n, self.heads, 0, self.width // self.heads), self.dtype)
    return [(nothing, nothing) for _ in range(self.layers)]

  def grow(self, cache: list[Memory], size: int) -> list[Memory]:
    """The memory with room for the first `size` positions."""
    room = size + self.lead
    more = lambda m: ((0, 0), (0, 0), (0, room - m.shape[2]), (0, 0))
    return jax.tree.map(lambda m: jnp.pad(m, more(m)), cache)

  def step(
    self, cache: list[Memory], i: Array, before: Array, label: Array | None = None
  ) -> tuple[Array, list[Memory]]:
    """(logits [B, levels] of position i, cache), from position i - 1, `before` [B]; of position 0
    whatever that is."""
    h, memories = self.embed_one(i, before, label), []
    h = (h + self.position[i].astype(self.dtype))[:, None]
    for block, memory in zip(self.blocks, cache):
      h, memory = block(h, memory, i + self.lead)
      memories.append(memory)
    return self.read(h[:, 0]), memories

  def embed(self, x: Array, label: Array | None) -> Array:
    """What stands before each position of x [B, T], [B, T, width]."""
    tokens = [self.beginning(label, x.shape[0])[:, None], self.token(x[:, :-1])]
    return jnp.concatenate(tokens, axis=1)

  def embed_one(self, i: Array, before: Array, label: Array | None) -> Array:
    """What stands before position i, [B, width]."""
    return jnp.where(i == 0, self.beginning(label, before.shape[0]), self.token(before))

  def beginning(self, label: Array | None, n: int) -> Array:
    """Token 0 of n sequences, [n, width]."""
    return self.first(label if self.classes else jnp.zeros(n, jnp.int32))

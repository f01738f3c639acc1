"""A transformer's block in plain PyTorch, as `gen_jax.nets.transformer.Block` is: of the peers."""

from torch import nn
from torch.nn import functional


class Block(nn.Module):
  def __init__(self, width, heads, dropout=0.0):
    super().__init__()
    self.heads, self.drop = heads, nn.Dropout(dropout)
    self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
    self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
    self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

  def split(self, x):
    """Queries, keys and values [B, heads, S, width / heads]."""
    parts = self.qkv(self.first(x)).reshape(*x.shape[:2], 3, self.heads, -1)
    return (part.transpose(1, 2) for part in parts.unbind(2))

  def add(self, x, h):
    """What follows attention's result h [B, heads, S, width / heads]."""
    x = x + self.drop(self.out(h.transpose(1, 2).reshape(x.shape)))
    h = functional.gelu(self.up(self.second(x)), approximate="tanh")
    return x + self.drop(self.down(h))

  def forward(self, x, sees=None):
    """x [B, S, width] -> the same, and its keys and values; sees: a mask, or what lies behind."""
    q, k, v = self.split(x)
    h = functional.scaled_dot_product_attention(q, k, v, sees, is_causal=sees is None)
    return self.add(x, h), (k, v)

  def step(self, x, keys, values, at, sees=None):
    """x [B, 1, width] at a position; keys and values [B, heads, T, ...] are written to."""
    q, keys[:, :, at : at + 1], values[:, :, at : at + 1] = self.split(x)
    k, v = keys[:, :, : at + 1], values[:, :, : at + 1]
    return self.add(x, functional.scaled_dot_product_attention(q, k, v, sees))

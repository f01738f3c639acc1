"""Sampling from a causal transformer, width 128, 4 layers, 4 heads, 16x16 of 17 levels, 64 at once:
ours and plain PyTorch, both with a cache of keys and values."""

import numpy as np

from benchmarks.sides.setting import DEVICE, DTYPE, precision

SIZE, LEVELS, WIDTH, LAYERS, HEADS, DRAWN = 16, 17, 128, 4, 4, 64


def ours():
  from benchmarks.sides.trainer import sampler
  from gen_jax.core import Spec
  from gen_jax.models import transformer

  spec = Spec.of((SIZE, SIZE, 1), LEVELS)
  program = transformer.build(spec, width=WIDTH, layers=LAYERS, heads=HEADS, ema=0.0, dtype=DTYPE)
  return sampler(program, np.zeros((1, *spec.shape), np.uint8), DRAWN)


def pytorch():
  import torch
  from torch import nn
  from torch.nn import functional

  torch.manual_seed(0)
  length = SIZE * SIZE

  class Block(nn.Module):
    def __init__(self):
      super().__init__()
      self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
      self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH)
      self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x, keys, values, i):
      q, k, v = self.qkv(self.first(x)).reshape(len(x), 3, HEADS, -1).unbind(1)
      keys[:, :, i], values[:, :, i] = k, v
      h = functional.scaled_dot_product_attention(
        q[:, :, None], keys[:, :, : i + 1], values[:, :, : i + 1]
      )
      x = x + self.out(h.reshape(len(x), WIDTH))
      return x + self.down(functional.gelu(self.up(self.second(x)), approximate="tanh"))

  class Net(nn.Module):
    def __init__(self):
      super().__init__()
      self.token, self.first = nn.Embedding(LEVELS, WIDTH), nn.Embedding(1, WIDTH)
      self.position = nn.Parameter(0.02 * torch.randn(length, WIDTH))
      self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
      self.norm, self.logits = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, LEVELS)
      nn.init.zeros_(self.logits.weight)
      nn.init.zeros_(self.logits.bias)

  net = Net().to(DEVICE)
  kept = torch.bfloat16 if DTYPE == "bfloat16" else torch.float32

  @torch.inference_mode()
  def work():
    size = (2, DRAWN, HEADS, length, WIDTH // HEADS)
    caches = [torch.zeros(size, dtype=kept, device=DEVICE) for _ in range(LAYERS)]
    x = torch.zeros(DRAWN, length, dtype=torch.long, device=DEVICE)
    for i in range(length):
      with precision():
        h = net.token(x[:, i - 1]) if i else net.first(torch.zeros_like(x[:, 0]))
        h = h + net.position[i]
        for block, (keys, values) in zip(net.blocks, caches):
          h = block(h, keys, values, i)
        logits = net.logits(net.norm(h))
      x[:, i] = torch.multinomial(torch.softmax(logits.float(), -1), 1)[:, 0]
    return x.float().mean()

  count = sum(p.numel() for p in net.parameters())
  return {"version": f"torch {torch.__version__}", "parameters": count, "examples": DRAWN}, work

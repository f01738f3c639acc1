"""A causal transformer, width 128, 4 layers, 4 heads, of 16x16 pixels of 17 levels: training on 32
at once, and sampling of 64 at once with a cache of keys and values. Ours and plain PyTorch."""

import numpy as np

from benchmarks.sides.setting import DEVICE, DTYPE, precision

SIZE, LEVELS, WIDTH, LAYERS, HEADS, DRAWN = 16, 17, 128, 4, 4, 64
BATCH, EXAMPLES = 32, 512
STEPS = 5 if DEVICE == "cpu" else 100


def pictures():
  return np.random.default_rng(0).integers(0, LEVELS, (EXAMPLES, SIZE, SIZE, 1)).astype(np.uint8)


def ours():
  from benchmarks.sides.trainer import trainer
  from gen_jax.core import Spec

  return trainer(
    "transformer", Spec.of((SIZE, SIZE, 1), LEVELS), {"x": pictures()}, batch_size=BATCH,
    steps=STEPS, per_call=STEPS, width=WIDTH, layers=LAYERS, heads=HEADS, dropout=0.1, ema=0.0,
    dtype=DTYPE, optimizer={"learning_rate": 1e-3},
  )  # fmt: skip


def ours_sample():
  from benchmarks.sides.trainer import sampler
  from gen_jax.core import Spec
  from gen_jax.models import transformer

  spec = Spec.of((SIZE, SIZE, 1), LEVELS)
  program = transformer.build(spec, width=WIDTH, layers=LAYERS, heads=HEADS, ema=0.0, dtype=DTYPE)
  return sampler(program, np.zeros((1, *spec.shape), np.uint8), DRAWN)


def net_of(dropout=0.0):
  import torch
  from torch import nn

  from benchmarks.sides.blocks import Block

  torch.manual_seed(0)

  class Net(nn.Module):
    def __init__(self):
      super().__init__()
      self.token, self.first = nn.Embedding(LEVELS, WIDTH), nn.Embedding(1, WIDTH)
      self.position = nn.Parameter(0.02 * torch.randn(SIZE * SIZE, WIDTH))
      self.blocks = nn.ModuleList(Block(WIDTH, HEADS, dropout) for _ in range(LAYERS))
      self.norm, self.logits = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, LEVELS)
      self.drop = nn.Dropout(dropout)
      nn.init.zeros_(self.logits.weight)
      nn.init.zeros_(self.logits.bias)

    def forward(self, x):
      """Logits [B, T, levels] of x [B, T]."""
      start = self.first(torch.zeros_like(x[:, :1]))
      h = self.drop(torch.cat([start, self.token(x[:, :-1])], 1) + self.position)
      for block in self.blocks:
        h, _ = block(h)
      return self.logits(self.norm(h))

  net = Net().to(DEVICE)
  count = sum(p.numel() for p in net.parameters())
  return net, {"version": f"torch {torch.__version__}", "parameters": count}


def pytorch(compiled=False):
  import torch
  from torch.nn import functional

  net, facts = net_of(dropout=0.1)
  optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
  data = torch.from_numpy(pictures().reshape(EXAMPLES, -1)).long().to(DEVICE)
  logits = torch.compile(net) if compiled else net

  def work():
    total = 0.0
    for _ in range(STEPS):
      x = data[torch.randint(EXAMPLES, (BATCH,), device=DEVICE)]
      with precision():
        of = logits(x)
      loss = functional.cross_entropy(of.float().reshape(-1, LEVELS), x.reshape(-1))
      optimizer.zero_grad()
      loss.backward()
      optimizer.step()
      total += loss.detach()
    return total / STEPS * SIZE * SIZE

  if compiled:
    facts["version"] += ", torch.compile"
  return facts | {"examples": STEPS * BATCH}, work


def pytorch_compiled():
  return pytorch(compiled=True)


def pytorch_sample():
  import torch

  net, facts = net_of()
  net.eval()
  length = SIZE * SIZE
  kept = torch.bfloat16 if DTYPE == "bfloat16" else torch.float32

  @torch.inference_mode()
  def work():
    size = (2, DRAWN, HEADS, length, WIDTH // HEADS)
    caches = [torch.zeros(size, dtype=kept, device=DEVICE) for _ in range(LAYERS)]
    x = torch.zeros(DRAWN, length, dtype=torch.long, device=DEVICE)
    for i in range(length):
      with precision():
        h = net.token(x[:, i - 1]) if i else net.first(torch.zeros_like(x[:, 0]))
        h = (h + net.position[i])[:, None]
        for block, (keys, values) in zip(net.blocks, caches):
          h = block.step(h, keys, values, i)
        logits = net.logits(net.norm(h[:, 0]))
      x[:, i] = torch.multinomial(torch.softmax(logits.float(), -1), 1)[:, 0]
    return x.float().mean()

  return facts | {"examples": DRAWN}, work

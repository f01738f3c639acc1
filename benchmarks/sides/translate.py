"""A translator of width 128, 3 layers, 4 heads and two vocabularies of 6000: training on 32 pairs
of sentences of up to 28 tokens, both ways, and translating 64 sentences, the likeliest word after
word with a cache of keys and values. Ours and plain PyTorch."""

import math

import numpy as np

from benchmarks.sides.setting import DEVICE, DTYPE, precision

WORDS, LENGTH, WIDTH, LAYERS, HEADS, DROPOUT = 6000, 28, 128, 3, 4, 0.2
BATCH, EXAMPLES, READ = 32, 512, 64
STEPS = 5 if DEVICE == "cpu" else 100
PAD, BOS, EOS, UNK = range(4)


def sentences(seed):
  """[EXAMPLES, LENGTH]: <bos>, 8 to 26 words, <eos>, padding."""
  random = np.random.default_rng(seed)
  place, count = np.arange(LENGTH), random.integers(8, LENGTH - 1, (EXAMPLES, 1))
  words = random.integers(UNK + 1, WORDS, (EXAMPLES, LENGTH))
  x = np.where(place <= count, words, np.where(place == count + 1, EOS, PAD))
  return np.where(place == 0, BOS, x).astype(np.int32)


def spec():
  from gen_jax.core import Field, Spec

  return Spec.of((LENGTH,), WORDS, y=Field((LENGTH,), WORDS))


# Words without names cannot be compared by their spelling.
MODEL = dict(
  width=WIDTH, layers=LAYERS, heads=HEADS, ema=0.0, dtype=DTYPE, dictionary=dict(spelling=0.0)
)  # fmt: skip


def ours():
  from benchmarks.sides.trainer import trainer

  return trainer(
    "translate", spec(), {"x": sentences(0), "y": sentences(1)}, batch_size=BATCH, steps=STEPS,
    per_call=STEPS, stage=1, **MODEL, dropout=DROPOUT, optimizer={"learning_rate": 1e-3},
    objective=dict(denoise=0.0, denoise_last=0.0, back=0.0, pairs=1.0, drop=0.0, shuffle=0),
  )  # fmt: skip


def ours_decode():
  from benchmarks.sides.trainer import translator_of
  from gen_jax.models import translate
  from gen_jax.models.dictionary import Dictionary

  model = MODEL | {"dictionary": Dictionary(spelling=0.0)}
  stage = translate.build(spec(), **model).stages[-1]
  return translator_of(stage.model, {"x": sentences(0)[:READ], "y": sentences(1)[:READ]})


def net_of(dropout=0.0):
  import torch
  from torch import nn

  from benchmarks.sides.blocks import Block

  torch.manual_seed(0)

  class Net(nn.Module):
    def __init__(self):
      super().__init__()
      normal = lambda std, *size: nn.Parameter(std * torch.randn(size))
      self.tables = nn.ParameterList(normal(WIDTH**-0.5, WORDS, WIDTH) for _ in range(2))
      self.biases = nn.ParameterList(nn.Parameter(torch.zeros(WORDS)) for _ in range(2))
      self.place, self.language = normal(0.1, 2, LENGTH, WIDTH), normal(0.1, 2, WIDTH)
      self.blocks = nn.ModuleList(Block(WIDTH, HEADS, dropout) for _ in range(LAYERS))
      self.norm, self.drop = nn.LayerNorm(WIDTH), nn.Dropout(dropout)

    def vectors(self, tokens, language, side):
      h = nn.functional.embedding(tokens, self.tables[language]) * math.sqrt(WIDTH)
      return h + self.place[side, : tokens.shape[1]]

    def forward(self, read, source, written, target):
      """Logits [B, S, WORDS] of the word after each of `written` [B, S]."""
      t, s = read.shape[1], written.shape[1]
      h = self.vectors(written, target, 1) + self.language[target]
      h = self.drop(torch.cat([self.vectors(read, source, 0), h], 1))
      behind = torch.ones(t + s, s, dtype=torch.bool, device=h.device).tril(-t)
      seen = (read != PAD)[:, None].expand(-1, t + s, -1)
      sees = torch.cat([seen, behind.expand(len(read), -1, -1)], 2)[:, None]
      for block in self.blocks:
        h, _ = block(h, sees)
      return self.logits(h[:, t:], target)

    def logits(self, h, target):
      return self.norm(h) @ self.tables[target].T + self.biases[target]

  net = Net().to(DEVICE)
  count = sum(p.numel() for p in net.parameters())
  return net, {"version": f"torch {torch.__version__}", "parameters": count}


def pytorch(compiled=False):
  import torch
  from torch.nn import functional

  net, facts = net_of(DROPOUT)
  optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
  data = [torch.from_numpy(sentences(i)).long().to(DEVICE) for i in range(2)]
  logits = torch.compile(net) if compiled else net

  def work():
    total = 0.0
    for _ in range(STEPS):
      rows = torch.randint(EXAMPLES, (BATCH,), device=DEVICE)
      loss = 0.0
      for target in range(2):
        read, tokens = data[1 - target][rows], data[target][rows]
        with precision():
          of = logits(read, 1 - target, tokens[:, :-1], target)
        wanted = tokens[:, 1:]
        nll = functional.cross_entropy(of.float().transpose(1, 2), wanted, reduction="none")
        there = (wanted != PAD).float()
        loss = loss + ((there * nll).sum(1) / there.sum(1)).mean()
      optimizer.zero_grad()
      loss.backward()
      optimizer.step()
      total += loss.detach()
    return total / STEPS

  if compiled:
    facts["version"] += ", torch.compile"
  return facts | {"examples": STEPS * BATCH}, work


def pytorch_compiled():
  return pytorch(compiled=True)


def pytorch_decode():
  import torch

  net, facts = net_of()
  net.eval()
  read = torch.from_numpy(sentences(0)[:READ]).long().to(DEVICE)

  @torch.inference_mode()
  def work():
    there = (read != PAD)[:, None, None]
    with precision():
      h, caches = net.vectors(read, 0, 0), []
      for block in net.blocks:
        h, memory = block(h, there)
        pad = lambda m: torch.nn.functional.pad(m, (0, 0, 0, LENGTH - 1))
        caches.append([pad(m) for m in memory])
    tokens = torch.full((READ, LENGTH), PAD, device=DEVICE)
    tokens[:, 0] = BOS
    for i in range(1, LENGTH):
      before, at = tokens[:, i - 1], LENGTH + i - 1
      sees = torch.cat([there, there.new_ones(READ, 1, 1, i)], 3)
      with precision():
        h = (net.tables[1][before] * math.sqrt(WIDTH) + net.place[1, i - 1])[:, None]
        h = h + net.language[1]
        for block, (keys, values) in zip(net.blocks, caches):
          h = block.step(h, keys, values, at, sees)
        logits = net.logits(h[:, 0], 1).float()
      logits[:, [PAD, BOS, UNK]] = -torch.inf
      ended = (before == EOS) | (before == PAD)
      tokens[:, i] = torch.where(ended, PAD, logits.argmax(-1))
    return tokens.float().mean()

  return facts | {"examples": READ}, work

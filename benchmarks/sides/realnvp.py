"""RealNVP of points in the plane, 8 affine couplings with a 2-64-64-2 network for scale and shift
each, batch 256, Adam: ours and normflows."""

import numpy as np

from benchmarks.sides.setting import DEVICE

COUPLINGS, WIDTH, BATCH, STEPS, DRAWN = 8, 64, 256, 200, 100_000


def points():
  """[100,000, 2] of two moons."""
  rng = np.random.default_rng(0)
  t, upper = np.pi * rng.random(100_000), rng.random(100_000) < 0.5
  x = np.where(upper, np.cos(t), 1 - np.cos(t))
  y = np.where(upper, np.sin(t), 0.5 - np.sin(t))
  return (np.stack([x, y], -1) + 0.1 * rng.normal(size=(100_000, 2))).astype(np.float32)


def ours():
  from benchmarks.sides.trainer import trainer
  from gen_jax.core import Spec

  return trainer(
    "realnvp", Spec.of((2,)), {"x": points()}, batch_size=BATCH, steps=STEPS, per_call=STEPS // 4,
    term="nll", couplings=COUPLINGS, width=WIDTH,
  )  # fmt: skip


def ours_sample():
  from benchmarks.sides.trainer import sampler
  from gen_jax.core import Spec
  from gen_jax.models import realnvp

  program = realnvp.build(Spec.of((2,)), couplings=COUPLINGS, width=WIDTH)
  return sampler(program, points()[:BATCH], DRAWN)


def flow():
  """normflows' masked affine couplings and ActNorm, with our network for scale and shift together,
  which `MaskedAffineFlow` asks for in turns, and its facts."""
  import normflows
  import torch
  from torch import nn
  from torch.nn.utils.parametrizations import weight_norm

  torch.manual_seed(0)

  class Conditioner(nn.Module):
    def __init__(self):
      super().__init__()
      sizes = ((2, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH))
      self.first, self.second, self.third = (weight_norm(nn.Linear(*size)) for size in sizes)
      self.last = nn.Linear(WIDTH, 4)
      self.log_bound = nn.Parameter(torch.zeros(2))
      nn.init.zeros_(self.last.weight)
      nn.init.zeros_(self.last.bias)

    def forward(self, x):
      h = self.first(x)
      h = h + self.third(torch.relu(self.second(torch.relu(h))))
      s, self.shift = self.last(torch.relu(h)).chunk(2, -1)
      bound = self.log_bound.exp()
      return bound * torch.tanh(s / bound)

  class Shift(nn.Module):
    def __init__(self, net):
      super().__init__()
      self.net = [net]  # in a list: its parameters are the scale's

    def forward(self, x):
      return self.net[0].shift

  flows = []
  for i in range(COUPLINGS):
    mask, net = torch.tensor([i % 2, 1 - i % 2]).float(), Conditioner().to(DEVICE)
    flows += [normflows.flows.MaskedAffineFlow(mask, Shift(net), net), normflows.flows.ActNorm(2)]
  base = normflows.distributions.base.DiagGaussian(2, trainable=False)
  model = normflows.NormalizingFlow(base, flows).to(DEVICE)
  version = f"normflows {getattr(normflows, '__version__', '')}, torch {torch.__version__}"
  count = sum(p.numel() for p in model.parameters())
  return model, {"version": version, "parameters": count}


def normflows():
  import torch

  model, facts = flow()
  optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
  data = torch.from_numpy(points()).to(DEVICE)

  def work():
    total = 0.0
    for _ in range(STEPS):
      x = data[torch.randint(len(data), (BATCH,), device=DEVICE)]
      loss = model.forward_kld(x)
      optimizer.zero_grad()
      loss.backward()
      optimizer.step()
      total += loss.detach()
    return total / STEPS

  return facts | {"examples": BATCH * STEPS}, work


def normflows_sample():
  import torch

  model, facts = flow()

  @torch.inference_mode()
  def work():
    x, _ = model.sample(DRAWN)
    return x.mean()

  # Its first batch sets ActNorm.
  model.forward_kld(torch.from_numpy(points()[:BATCH]).to(DEVICE))
  return facts | {"examples": DRAWN}, work

"""WGAN-GP with dense players, 128-512-512-784 and 784-512-512-1, five turns of the critic, batches
of 64: ours and plain PyTorch."""

import numpy as np

from benchmarks.sides.setting import DEVICE, DTYPE, precision

UPDATES, BATCH, TURNS, LATENT, HIDDEN, WEIGHT = 50, 64, 5, 128, (512, 512), 10.0


def images():
  """[60,000, 784] of grey levels."""
  return np.random.default_rng(0).integers(0, 256, (60_000, 784), np.uint8)


def ours():
  from benchmarks.sides.trainer import trainer
  from gen_jax.core import Spec

  adam = {"learning_rate": 1e-4, "b1": 0.0, "b2": 0.9}
  return trainer(
    "gan", Spec.of((28, 28, 1), 256), {"x": images().reshape(-1, 28, 28, 1)}, batch_size=BATCH,
    steps=UPDATES, per_call=10, term="critic_loss", loss="wgan",
    penalties={"wgan_gp": WEIGHT}, n_critic=TURNS, latent=LATENT,
    generator={"widths": (), "hidden": HIDDEN, "norm": "none"},
    critic={"widths": (), "hidden": HIDDEN}, ema=0.0, critic_optimizer=adam,
    generator_optimizer=adam, dtype=DTYPE,
  )  # fmt: skip


def pytorch():
  import torch
  from torch import nn

  torch.manual_seed(0)
  generator = nn.Sequential(
    nn.Linear(LATENT, HIDDEN[0]), nn.ReLU(), nn.Linear(*HIDDEN), nn.ReLU(),
    nn.Linear(HIDDEN[1], 784), nn.Tanh(),
  ).to(DEVICE)  # fmt: skip
  critic = nn.Sequential(
    nn.Linear(784, HIDDEN[0]), nn.LeakyReLU(0.2), nn.Linear(*HIDDEN), nn.LeakyReLU(0.2),
    nn.Linear(HIDDEN[1], 1, bias=False),
  ).to(DEVICE)  # fmt: skip
  adam = {"lr": 1e-4, "betas": (0.0, 0.9)}
  of_critic = torch.optim.Adam(critic.parameters(), **adam)
  of_generator = torch.optim.Adam(generator.parameters(), **adam)
  data = torch.from_numpy(images()).to(DEVICE)
  draw = lambda: torch.randn(BATCH, LATENT, device=DEVICE)

  def turn():
    rows = torch.randint(len(data), (BATCH,), device=DEVICE)
    x = data[rows].float() / 127.5 - 1
    with precision():
      with torch.no_grad():
        y = generator(draw())
      t = torch.rand(BATCH, 1, device=DEVICE)
      between = (t * x + (1 - t) * y).requires_grad_()
      (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
      penalty = ((slope.norm(dim=1) - 1) ** 2).mean()
      loss = critic(y).mean() - critic(x).mean() + WEIGHT * penalty
    of_critic.zero_grad()
    loss.backward()
    of_critic.step()
    return loss.detach()

  def work():
    total = 0.0
    for _ in range(UPDATES):
      for _ in range(TURNS):
        total += turn()
      of_generator.zero_grad()
      with precision():
        loss = -critic(generator(draw())).mean()
      loss.backward()
      of_generator.step()
    return total / (UPDATES * TURNS)

  count = sum(p.numel() for net in (generator, critic) for p in net.parameters())
  return {"version": f"torch {torch.__version__}", "parameters": count,
          "examples": UPDATES * TURNS * BATCH}, work  # fmt: skip

"""The DDPM U-Net, 32x32x1, widths 64, 128, 128, attention with 8-wide heads at 16x16: ours and
diffusers' `UNet2DModel`. A training step is of 32 images (128 on GPU), with Adam and the gradient
clipped."""

import numpy as np

from benchmarks.sides.setting import DEVICE, DTYPE, precision

BATCH, STEPS, DRAWN = (32, 3, 4) if DEVICE == "cpu" else (128, 30, 50)
MODEL = {"width": 64, "multipliers": (1, 2, 2), "attention": (16,), "heads": 16, "dropout": 0.0}


def images():
  """[512, 32, 32, 1] of grey levels."""
  return np.random.default_rng(0).integers(0, 256, (512, 32, 32, 1), np.uint8)


def ours():
  from benchmarks.sides.trainer import trainer
  from gen_jax.core import Spec

  return trainer(
    "ddpm", Spec.of((32, 32, 1), 256), {"x": images()}, batch_size=BATCH, steps=STEPS, per_call=1,
    ema=0.0, optimizer={"learning_rate": 2e-4, "clip": 1.0}, dtype=DTYPE, **MODEL,
  )  # fmt: skip


def ours_sample():
  from benchmarks.sides.trainer import sampler
  from gen_jax.core import Spec
  from gen_jax.models import ddpm

  sample = ddpm.Sampler(steps=DRAWN, method="ddim")
  program = ddpm.build(Spec.of((32, 32, 1), 256), ema=0.0, sample=sample, dtype=DTYPE, **MODEL)
  return sampler(program, images()[:1], BATCH)


def unet():
  """diffusers' network and its facts."""
  import diffusers
  import torch

  torch.manual_seed(0)
  net = diffusers.UNet2DModel(
    sample_size=32, in_channels=1, out_channels=1, block_out_channels=(64, 128, 128),
    layers_per_block=2, attention_head_dim=8,
    down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
  ).to(DEVICE)  # fmt: skip
  version = f"diffusers {diffusers.__version__}, torch {torch.__version__}"
  return net, {"version": version, "parameters": sum(p.numel() for p in net.parameters())}


def diffusers(compiled=False):
  import torch
  from diffusers import DDPMScheduler

  net, facts = unet()
  optimizer = torch.optim.Adam(net.parameters(), lr=2e-4)
  schedule = DDPMScheduler(1000)
  data = torch.from_numpy(images()).to(DEVICE)
  call = torch.compile(net) if compiled else net

  def work():
    total = 0.0
    for _ in range(STEPS):
      rows = torch.randint(len(data), (BATCH,), device=DEVICE)
      x = data[rows].permute(0, 3, 1, 2).float() / 127.5 - 1
      eps, t = torch.randn_like(x), torch.randint(1000, (BATCH,), device=DEVICE)
      with precision():
        loss = ((call(schedule.add_noise(x, eps, t), t).sample - eps) ** 2).mean()
      optimizer.zero_grad()
      loss.backward()
      torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
      optimizer.step()
      total += loss.detach()
    return total / STEPS

  facts["version"] += ", torch.compile" if compiled else ""
  return facts | {"examples": BATCH * STEPS}, work


def diffusers_compiled():
  return diffusers(True)


def diffusers_sample():
  import torch
  from diffusers import DDIMScheduler

  net, facts = unet()
  net.eval()
  schedule = DDIMScheduler(1000)
  schedule.set_timesteps(DRAWN)

  @torch.inference_mode()
  def work():
    x = torch.randn(BATCH, 1, 32, 32, device=DEVICE)
    for t in schedule.timesteps:
      with precision():
        eps = net(x, t).sample
      x = schedule.step(eps.float(), t, x).prev_sample
    return x.mean()

  return facts | {"examples": BATCH}, work

"""The segmentation U-Net, 32x32x3, five classes, widths 16, 32, 64, 128 with group normalisation,
bilinear enlargement: ours and plain PyTorch. A training step is of 64 images (512 on GPU), with the
cross-entropy of the pixels, Adam and the gradient clipped."""

import numpy as np

from benchmarks.sides.setting import DEVICE, DTYPE, precision

BATCH, STEPS = (64, 3) if DEVICE == "cpu" else (512, 30)
CLASSES, WIDTHS = 5, (16, 32, 64, 128)


def arrays():
  """[1024, 32, 32, 3] of grey levels and [1024, 32, 32] of classes."""
  rng = np.random.default_rng(0)
  x = rng.integers(0, 256, (1024, 32, 32, 3), np.uint8)
  return {"x": x, "segmentation": x[..., 0] % CLASSES}


def ours():
  from benchmarks.sides.trainer import trainer
  from gen_jax.core import Field, Spec

  spec = Spec.of((32, 32, 3), 256, segmentation=Field((32, 32), CLASSES, (), True))
  return trainer(
    "segment", spec, arrays(), batch_size=BATCH, steps=STEPS, per_call=1, widths=WIDTHS,
    loss="cross_entropy", ema=0.0, optimizer={"learning_rate": 2e-3, "clip": 1.0}, dtype=DTYPE,
  )  # fmt: skip


def unet():
  """The same network in PyTorch."""
  import torch
  from torch import nn

  def twice(before, after):
    layers = []
    for n in (before, after):
      layers += [
        nn.Conv2d(n, after, 3, padding=1, bias=False), nn.GroupNorm(after // 4, after), nn.ReLU()
      ]  # fmt: skip
    return nn.Sequential(*layers)

  class UNet(nn.Module):
    def __init__(self):
      super().__init__()
      self.down = nn.ModuleList(twice(a, b) for a, b in zip((3, *WIDTHS), WIDTHS))
      pairs = list(zip(WIDTHS[1:], WIDTHS))[::-1]
      self.thin = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairs)
      self.up = nn.ModuleList(twice(2 * b, b) for _, b in pairs)
      self.pool = nn.MaxPool2d(2)
      self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear")
      self.logits = nn.Conv2d(WIDTHS[0], CLASSES, 1)

    def forward(self, x):
      skips = []
      for i, level in enumerate(self.down):
        x = level(self.pool(x) if i else x)
        skips.append(x)
      skips.pop()
      for thin, level in zip(self.thin, self.up):
        x = level(torch.cat([skips.pop(), self.enlarge(thin(x))], dim=1))
      return self.logits(x)

  torch.manual_seed(0)
  return UNet().to(DEVICE)


def pytorch(compiled=False):
  import torch
  from torch.nn import functional as F

  net = unet()
  optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
  data = {name: torch.from_numpy(value).to(DEVICE) for name, value in arrays().items()}
  call = torch.compile(net) if compiled else net

  def work():
    total = 0.0
    for _ in range(STEPS):
      rows = torch.randint(len(data["x"]), (BATCH,), device=DEVICE)
      x = data["x"][rows].permute(0, 3, 1, 2).float() / 127.5 - 1
      with precision():
        loss = F.cross_entropy(call(x), data["segmentation"][rows].long())
      optimizer.zero_grad()
      loss.backward()
      torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
      optimizer.step()
      total += loss.detach()
    return total / STEPS

  version = f"torch {torch.__version__}" + (", torch.compile" if compiled else "")
  parameters = sum(p.numel() for p in net.parameters())
  return {"version": version, "parameters": parameters, "examples": BATCH * STEPS}, work


def pytorch_compiled():
  return pytorch(True)

"""VAE 784-200-200-50 with tanh on binary images, Adam, batch 100: ours, plain PyTorch, pythae."""

import math
import tempfile

import numpy as np

from benchmarks.sides.setting import DEVICE, DTYPE, precision

EXAMPLES, BATCH, HIDDEN, LATENT = 60_000, 100, 200, 50


def images(n=EXAMPLES):
  """[n, 784] of zeros and ones with MNIST's share of ones."""
  return (np.random.default_rng(0).random((n, 784)) < 0.13).astype(np.uint8)


def ours(bound="elbo", samples=1, n=EXAMPLES):
  from benchmarks.sides.trainer import trainer
  from gen_jax.core import Spec

  steps = n // BATCH
  return trainer(
    "vae", Spec.of((28, 28, 1), 2), {"x": images().reshape(-1, 28, 28, 1)}, batch_size=BATCH,
    steps=steps, per_call=steps // 5, bound=bound, samples=samples,
    latent=LATENT, hidden=(HIDDEN, HIDDEN), activation="tanh", dtype=DTYPE,
    optimizer={"learning_rate": 1e-3, "eps": 1e-4},
  )  # fmt: skip


def ours_50():
  return ours("iwae", 50, 6_000)


def coders():
  """Encoder to (mean, log variance) and decoder to logits, in PyTorch."""
  from torch import nn

  encoder = nn.Sequential(
    nn.Linear(784, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(),
    nn.Linear(HIDDEN, 2 * LATENT),
  )  # fmt: skip
  decoder = nn.Sequential(
    nn.Linear(LATENT, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(),
    nn.Linear(HIDDEN, 784),
  )  # fmt: skip
  return encoder.to(DEVICE), decoder.to(DEVICE)


def pytorch(samples=0, n=EXAMPLES, compiled=False):
  """The data in memory and shuffled by a permutation. samples: k of IWAE, 0 for the ELBO."""
  import torch
  from torch.nn import functional

  torch.manual_seed(0)
  encoder, decoder = coders()
  weights = [*encoder.parameters(), *decoder.parameters()]
  optimizer = torch.optim.Adam(weights, lr=1e-3, eps=1e-4)
  data = torch.from_numpy(images()).to(DEVICE)
  pixels = functional.binary_cross_entropy_with_logits

  def bound(x):
    mean, log_var = encoder(x).chunk(2, -1)
    if not samples:
      z = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
      kl = (mean**2 + log_var.exp() - 1 - log_var).sum(-1) / 2
      logits = decoder(z)
      return -pixels(logits, x, reduction="none").sum(-1) - kl
    eps = torch.randn(samples, *mean.shape, device=DEVICE)
    z = mean + torch.exp(log_var / 2) * eps
    logits = decoder(z)
    log_px = -pixels(logits, x.expand(samples, *x.shape), reduction="none").sum(-1)
    log_w = log_px + ((eps**2 - z**2) / 2 + log_var / 2).sum(-1)
    return torch.logsumexp(log_w, 0) - math.log(samples)

  bound = torch.compile(bound) if compiled else bound

  def work():
    total, order = 0.0, torch.randperm(len(data), device=DEVICE)[:n]
    for start in range(0, n, BATCH):
      x = data[order[start : start + BATCH]].float()
      with precision():
        loss = -bound(x).mean()
      optimizer.zero_grad()
      loss.backward()
      optimizer.step()
      total += loss.detach()
    return total / (n // BATCH)

  version = f"torch {torch.__version__}" + (", torch.compile" if compiled else "")
  facts = {"version": version, "examples": n}
  return facts | {"parameters": sum(p.numel() for p in weights)}, work


def pytorch_compiled():
  return pytorch(compiled=True)


def pytorch_50():
  return pytorch(50, 6_000)


def pythae():
  """pythae's VAE in pythae's trainer, an epoch at a time, without its checkpoints and progress."""
  import pythae
  import torch
  from pythae.data.datasets import BaseDataset
  from pythae.models import VAE, VAEConfig
  from pythae.models.base.base_utils import ModelOutput
  from pythae.models.nn import BaseDecoder, BaseEncoder
  from pythae.trainers import BaseTrainer, BaseTrainerConfig
  from torch import nn

  torch.manual_seed(0)
  first, second = coders()

  class Encoder(BaseEncoder):
    def __init__(self):
      super().__init__()
      self.net = first

    def forward(self, x):
      mean, log_var = self.net(x.flatten(1)).chunk(2, -1)
      return ModelOutput(embedding=mean, log_covariance=log_var)

  class Decoder(BaseDecoder):
    def __init__(self):
      super().__init__()
      self.net = nn.Sequential(second, nn.Sigmoid())  # its loss takes probabilities

    def forward(self, z):
      return ModelOutput(reconstruction=self.net(z).reshape(-1, 1, 28, 28))

  config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
  model = VAE(config, encoder=Encoder(), decoder=Decoder())
  data = BaseDataset(
    torch.from_numpy(images()).float().reshape(-1, 1, 28, 28), torch.zeros(EXAMPLES)
  )
  trainer = BaseTrainer(
    model=model, train_dataset=data,
    training_config=BaseTrainerConfig(
      output_dir=tempfile.mkdtemp(), num_epochs=1, per_device_train_batch_size=BATCH,
      learning_rate=1e-3, optimizer_params={"eps": 1e-4}, no_cuda=DEVICE == "cpu",
      amp=DTYPE == "bfloat16",
    ),
  )  # fmt: skip
  trainer.prepare_training()
  epoch = 0

  def work():
    nonlocal epoch
    epoch += 1
    return float(trainer.train_step(epoch))

  facts = {"version": f"pythae {getattr(pythae, '__version__', '')}".strip(), "examples": EXAMPLES}
  return facts | {"parameters": sum(p.numel() for p in model.parameters())}, work

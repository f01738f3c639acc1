"""Where the sides compute, and how precisely: said by benchmarks.pairs to both interpreters."""

import os
import sys

DEVICE = os.environ.get("PAIRS_DEVICE", "cpu")  # PyTorch's name for it: cpu or cuda
DTYPE = os.environ.get("PAIRS_DTYPE", "float32")  # of the arithmetic, float32 or bfloat16


def precision():
  """The context in which PyTorch computes in DTYPE."""
  import torch

  return torch.autocast(DEVICE, torch.bfloat16, enabled=DTYPE == "bfloat16")


def peak():
  """The most bytes that this process has had on the accelerator at once; 0 on CPU."""
  if "torch" in sys.modules:
    import torch

    return torch.cuda.max_memory_allocated() if DEVICE == "cuda" else 0
  if "jax" in sys.modules and DEVICE != "cpu":
    import jax

    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
  return 0

"""Masked diffusion: integers that are hidden, and drawn in any order given those that are not.

Source: Sahoo et al. 2024 (MDLM, arXiv:2406.07524); `sample.method=confidence` is the decoding of
MaskGIT (Chang et al. 2022, arXiv:2202.04200). The bound on bits/dim is of any order of the pixels;
`transformer` and `pixelcnn` learn one order alone, and theirs is exact.

  ./launch/run.sh --config configs/masked.py       25 minutes of one core
  python -m gen_jax.main --config configs/masked.py --mode=transform           # the lower half
  python -m gen_jax.main --config configs/masked.py --mode=sample --config.sample.method=confidence
"""

from gen_jax.config import experiment, tiny, variant

DIGITS = dict(
  model=dict(
    conditional=True, width=64, layers=3, heads=4, dropout=0.2, ema=0.999,
    optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=8000, warmup=100),
  ),
  data=dict(name="digits", batch_size=64),
  train=dict(
    steps=8000, log_every=100, validate_every=500, sample_every=2000, checkpoint_every=500,
    best="nll",
  ),
  sample=dict(steps=16),
  likelihood=dict(counts=16),
  evaluate=dict(samples=1500),
  measures=(
    "likelihood", "frechet", "prdc", "sample_accuracy", "memorisation", "completion_accuracy",
    "hole_psnr",
  ),
)  # fmt: skip

VARIANTS = {
  "digits": DIGITS,
  "tiny": tiny(
    DIGITS,
    dict(
      model=dict(width=8, layers=1, heads=2, optimizer=dict(decay_steps=8, warmup=2)),
      data=dict(batch_size=16),
      sample=dict(steps=4),
      likelihood=dict(counts=4),
    ),
  ),
}


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.masked.build", **variant(name, VARIANTS))

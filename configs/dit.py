"""DiT: a transformer of patches for the U-Net of a diffusion, here of flow matching.

Source: Peebles & Xie 2023 (arXiv:2212.09748); on straight paths: Ma et al. 2024, SiT
(arXiv:2401.08740). It has no convolution, so that several steps make one call on CPU.

  launch/run.sh --config configs/dit.py
"""

from gen_jax.config import experiment, merge, tiny, variant

DIGITS = dict(
  model=dict(
    path="linear", prediction="velocity", times="logit_normal", conditional=True, ema=0.999,
    network_of_images="dit", dit=dict(patch=2, width=96, depth=6, heads=4),
    optimizer=dict(learning_rate=1e-3, schedule="cosine", decay_steps=1800, warmup=100, clip=1.0),
  ),
  data=dict(name="digits", batch_size=128),
  train=dict(
    steps=1800, steps_per_call=10, log_every=50, sample_every=600, checkpoint_every=300
  ),
  sample=dict(solver="heun", steps=25),
  evaluate=dict(samples=1500),
  measures=(
    "likelihood", "frechet", "prdc", "sample_accuracy", "memorisation", "function_evaluations",
  ),
)  # fmt: skip

VARIANTS = {
  "digits": DIGITS,
  "patches_of_one": merge(DIGITS, dict(model=dict(dit=dict(patch=1)))),
  "tiny": tiny(
    DIGITS,
    dict(
      model=dict(
        dit=dict(width=8, depth=1, heads=2), ema=0.9, optimizer=dict(warmup=2, decay_steps=8)
      ),
      data=dict(batch_size=16),
      sample=dict(steps=2),
      measures=("likelihood",),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.diffusion.build", **variant(name, VARIANTS))

"""Video given actions: a VQ-VAE of frames and a transformer of their codes.

Source: van den Oord et al. 2017 (arXiv:1711.00937), section 4.4; IRIS (Micheli et al. 2023).

  ./launch/run.sh --config configs/video.py   clips of 6 frames, 16x16, of one sprite that moves;
      17 minutes of one core; figures: docs/results.md
  --config configs/video.py --mode=sample --cond.action=right,right,up,up,grow
"""

from gen_jax.config import experiment, merge, tiny, variant

MOVING = dict(
  model=dict(
    factor=4, codes=128, dim=32, width=64, blocks=1, residual=32,
    optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=1000),
    transformer=dict(
      width=128, layers=3, heads=4, dropout=0.0, ema=0.995,
      optimizer=dict(learning_rate=1e-3, schedule="cosine", decay_steps=3000, warmup=100),
    ),
  ),
  data=dict(name="moving", frames=6, resolution=16, batch_size=32),
  train=dict(
    steps=(1000, 3000), log_every=50, validate_every=500, sample_every=500, checkpoint_every=250,
  ),
  evaluate=dict(samples=200),
  measures=("likelihood", "code_use"),
)  # fmt: skip

VARIANTS = {
  "moving": MOVING,
  "maze": merge(MOVING, dict(data=dict(name="maze", resolution=32), model=dict(factor=8))),
  "tiny": tiny(
    MOVING,
    dict(
      model=dict(
        codes=8,
        dim=4,
        width=8,
        blocks=0,
        residual=4,
        optimizer=dict(decay_steps=8),
        transformer=dict(
          width=8,
          layers=1,
          heads=2,
          optimizer=dict(decay_steps=8, warmup=2),
        ),
      ),
      data=dict(frames=3, resolution=8, batch_size=16),
    ),
  ),  # fmt: skip
}


def get_config(name: str = "moving"):
  """The config of a variant."""
  return experiment("gen_jax.models.video.build", **variant(name, VARIANTS))

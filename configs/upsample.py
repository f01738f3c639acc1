"""Upsampling: one autoencoder of sprites whose only doubling is done in six ways, of equal weights.

Source: Odena et al. 2016; Aitken et al. 2017 (ICNR). `transposed3` has a kernel that the stride
does not divide, and fewer weights than the others (6,311; 8,103). What they came to stands in
docs/upsampling.md.

  python -m gen_jax.main --config configs/upsample.py[:VARIANT]   half a minute of CPU time
  python -m gen_jax.main --config configs/upsample.py --sweep seed=0,1,2 \\
    --sweep variant=transposed,transposed3,unpool,nearest,bilinear,shuffle,icnr
"""

from gen_jax.config import experiment, merge, tiny, variant

SHAPES = dict(
  model=dict(optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=800)),
  data=dict(name="shapes", batch_size=32, test=0.02),
  train=dict(steps=800, log_every=50, sample_every=400, checkpoint_every=400),
  evaluate=dict(batch_size=256),
  measures=("likelihood", "checkerboard"),
)

VARIANTS = {
  "nearest": SHAPES,
  **{
    up: merge(SHAPES, dict(model=dict(up=up)))
    for up in ("transposed", "unpool", "bilinear", "shuffle", "icnr")
  },
  "transposed3": merge(SHAPES, dict(model=dict(up="transposed", kernel=3))),
  "tiny": tiny(
    SHAPES,
    dict(
      model=dict(up="unpool", width=4, latent=2, optimizer=dict(decay_steps=8)),
      data=dict(batch_size=16, validation=0.01, test=0.02),
    ),
  ),
}


def get_config(name: str = "nearest"):
  """The config of a variant."""
  return experiment("gen_jax.models.upsample.build", **variant(name, VARIANTS))

"""pix2pix: squares to ellipses of the same colour, size and place, learnt from pairs.

Source: Isola et al. 2017 (arXiv:1611.07004). The networks here are small, for sprites of 16x16; the
builder's defaults are the source's. `colour` turns red sprites to blue ones. `camvid_labels` and
`camvid_photo` are for a folder or zip of photographs and label images, images/ and masks/: the one
paints the labels of photographs, the other makes photographs of painted labels. What they came to
stands in docs/pix2pix.md.

  python -m gen_jax.main --config configs/pix2pix.py   3 minutes of CPU time
  python -m gen_jax.main --config configs/pix2pix.py:camvid_photo --config.data.path=PATH
"""

from gen_jax.config import experiment, merge, tiny, variant

# Without norms the generator paints everything black, as most of a sprite is, and stays there.
ADAM = dict(learning_rate=1e-3, b1=0.5, schedule="cosine", decay_steps=4000)

SHAPE = dict(
  model=dict(
    generator=dict(widths=(48, 96, 128), dropout=0.0, init_std=0.1),
    critic=dict(widths=(32, 64), norm="none", init_std=0.05),
    generator_optimizer=ADAM,
    critic_optimizer=merge(ADAM, dict(learning_rate=2e-4)),
  ),
  data=dict(name="pairs:shape", resolution=16, batch_size=32),
  train=dict(steps=4000, log_every=50, validate_every=500, sample_every=500, checkpoint_every=500),
  measures=("translation", "sprite_counterparts"),
)

CAMVID = dict(
  model=dict(
    generator=dict(widths=(32, 64, 128, 128, 128), init_std=0.05),
    critic=dict(widths=(32, 64, 128), init_std=0.05),
    generator_optimizer=merge(ADAM, dict(learning_rate=5e-4, decay_steps=1200)),
    critic_optimizer=merge(ADAM, dict(learning_rate=2e-4, decay_steps=1200)),
  ),
  data=dict(
    name="pairs", painted=True, ignore=11, resolution=64, resize="stretch", channels=3,
    batch_size=8, augment=("flip",),
  ),
  train=dict(steps=1200, log_every=50, validate_every=400, sample_every=400, checkpoint_every=400),
  measures=("translation", "painted"),
)  # fmt: skip

VARIANTS = {
  "shape": SHAPE,
  "colour": merge(SHAPE, dict(data=dict(name="pairs:colour"))),
  "camvid_labels": CAMVID,
  "camvid_photo": merge(CAMVID, dict(model=dict(direction="y_to_x"))),
  "tiny": tiny(
    SHAPE,
    dict(
      model=dict(
        generator=dict(widths=(4, 6), dropout=0.5), critic=dict(widths=(4,)),
        ema=0.9, generator_optimizer=dict(decay_steps=8), critic_optimizer=dict(decay_steps=8),
      ),
      data=dict(resolution=8, batch_size=8, validation=0.02, test=0.02),
      sample=dict(noise=True),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "shape"):
  """The config of a variant."""
  return experiment("gen_jax.models.pix2pix.build", **variant(name, VARIANTS))

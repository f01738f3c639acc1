"""CycleGAN: red sprites to blue ones and back, learnt without pairs.

Source: Zhu et al. 2017 (arXiv:1703.10593). The networks here are small, for sprites of 16x16; the
builder's defaults are the source's. `shape` turns squares to ellipses, `digits` one set of digits
to another, `inverted` digits to their negatives, `camvid` photographs to painted label images. What
they came to stands in docs/translation.md.

  python -m gen_jax.main --config configs/cyclegan.py
  python -m gen_jax.main --config configs/cyclegan.py --mode=transform
    --config.sample.direction=y_to_x
"""

from gen_jax.config import experiment, merge, tiny, variant

# The source's rate. At 1e-3 both generators paint everything black, where tanh is flat, and stay.
ADAM = dict(learning_rate=2e-4, b1=0.5, schedule="cosine", decay_steps=3500)

COLOUR = dict(
  model=dict(
    generator=dict(widths=(32,), blocks=2, kernel=3, norm="none", init_std=0.05),
    critic=dict(widths=(32, 64), norm="none", init_std=0.05),
    generator_optimizer=ADAM,
    critic_optimizer=ADAM,
  ),
  data=dict(name="domains:colour", resolution=16, batch_size=16),
  train=dict(steps=3500, log_every=50, validate_every=500, sample_every=500, checkpoint_every=500),
  measures=("translation", "cycle", "sprite_counterparts"),
)

SHORTER = dict(
  model=dict(generator_optimizer=dict(decay_steps=2000), critic_optimizer=dict(decay_steps=2000)),
  train=dict(steps=2000),
)

# Digits of 8x8 pixels; the other set is the user's, see docs/translation.md.
DIGITS = merge(
  COLOUR,
  SHORTER,
  dict(
    model=dict(
      generator=dict(blocks=3),
      generator_optimizer=dict(learning_rate=5e-4),
      critic_optimizer=dict(learning_rate=5e-4),
    ),
    data=dict(name="digits", other="mnist8.npz", resolution=0),
    measures=("translated_accuracy", "cycle"),
  ),
)
INVERTED = merge(
  DIGITS,
  dict(
    data=dict(name="domains:inverted", other=""),
    measures=("translated_accuracy", "cycle", "translation"),
  ),
)

# Photographs and their painted label images; nothing says which belong together.
CAMVID = dict(
  model=dict(
    generator=dict(widths=(16, 32, 64), blocks=4, kernel=7, init_std=0.05),
    critic=dict(widths=(32, 64, 128), init_std=0.05),
    identity_weight=0.0,
    generator_optimizer=merge(ADAM, dict(decay_steps=2500)),
    critic_optimizer=merge(ADAM, dict(decay_steps=2500)),
  ),
  data=dict(
    name="pairs", painted=True, ignore=11, resolution=64, resize="stretch", channels=3,
    batch_size=4, augment=("flip",),
  ),
  train=dict(steps=2500, log_every=50, validate_every=500, sample_every=500, checkpoint_every=500),
  measures=("translation", "cycle", "painted"),
)  # fmt: skip

VARIANTS = {
  "colour": COLOUR,
  "camvid": CAMVID,
  "shape": merge(
    COLOUR,
    SHORTER,
    dict(
      model=dict(
        generator=dict(norm="instance", blocks=4), generator_optimizer=dict(learning_rate=5e-4),
        critic_optimizer=dict(learning_rate=5e-4),
      ),
      data=dict(name="domains:shape"),
    ),
  ),
  "digits": DIGITS,
  "inverted": INVERTED,
  "inverted_without_identity": merge(INVERTED, dict(model=dict(identity_weight=0.0))),
  "tiny": tiny(
    COLOUR,
    dict(
      model=dict(
        generator=dict(widths=(4,), blocks=1), critic=dict(widths=(4,)), pool=12, ema=0.9,
        generator_optimizer=dict(decay_steps=8), critic_optimizer=dict(decay_steps=8),
      ),
      data=dict(resolution=8, batch_size=8, validation=0.02, test=0.02),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "colour"):
  """The config of a variant."""
  return experiment("gen_jax.models.cyclegan.build", **variant(name, VARIANTS))

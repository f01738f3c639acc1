"""Completion: sprites with a hole, filled by a net and two critics in three phases.

Source: Iizuka, Simo-Serra & Ishikawa 2017. The networks here are small, for images of 32x32 and
64x64; the builder's defaults are the source's. Sprites are in no more than a part of most holes, so
that the picture itself is the exact answer of what is left to see.

  python -m gen_jax.main --config configs/complete.py
  python -m gen_jax.main --config configs/complete.py --mode=transform --config.sample.blend=True

`faces` learns from photographs of faces, split by person: a zip or folder with train/, val/ and
test/, of other people in each; `faces_mse` is its first phase alone. Of the AT&T faces, which come
with a folder for each of 40 people, those of s1 to s28 go to train/, s29 to s32 to val/ and s33 to
s40 to test/ (train/s1-1.pgm, ...).

  python -m gen_jax.main --config configs/complete.py:faces --config.data.path=FILE.zip
"""

from gen_jax.config import experiment, merge, tiny, variant

ADAMW = dict(name="adamw", learning_rate=1e-3, weight_decay=0.3)

SPRITES = dict(
  model=dict(
    completer=dict(widths=(16, 48), dilations=(2, 4, 8), bounded=False),
    critic=dict(whole=(16, 32, 48, 64), local=(16, 32, 48), features=64, patch=16),
    ema=0.995,
    generator_optimizer=dict(learning_rate=1e-3),
    critic_optimizer=dict(learning_rate=4e-4, b1=0.5),
  ),
  data=dict(name="shapes", batch_size=16, validation=0.01, test=0.04),
  train=dict(
    steps=(1500, 150, 1000), log_every=50, validate_every=500, sample_every=500,
    checkpoint_every=500,
  ),
  measures=("hole_psnr",),
)  # fmt: skip

FACES = merge(
  SPRITES,
  dict(
    model=dict(
      holes=dict(low=20, high=28),
      completer=dict(widths=(16, 32, 64), dilations=(2, 4, 8), bounded=True),
      critic=dict(whole=(16, 32, 48, 64, 64), local=(16, 32, 48, 64), patch=32),
      generator_optimizer=ADAMW,
    ),
    data=dict(
      name="folder", resolution=64, channels=1, augment=("flip", "shift"), validation=0.0, test=0.0
    ),
    train=dict(steps=(2000, 200, 800), validate_every=250),
  ),
)

VARIANTS = {
  "sprites": SPRITES,
  "faces": FACES,
  "faces_mse": merge(FACES, dict(model=dict(alpha=0.0), train=dict(steps=2000))),
  "tiny": tiny(
    SPRITES,
    dict(
      model=dict(
        completer=dict(widths=(4, 8), dilations=(2,), norm="group"),
        critic=dict(whole=(4, 4), local=(4,), features=4, patch=8),
        holes=dict(low=4, high=6),
        ema=0.9,
      ),
      data=dict(resolution=16, batch_size=8, validation=0.002, test=0.002),
      train=dict(steps=(8, 8, 8)),
    ),
  ),
}


def get_config(name: str = "sprites"):
  """The config of a variant."""
  return experiment("gen_jax.models.completion.build", **variant(name, VARIANTS))

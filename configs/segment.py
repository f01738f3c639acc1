"""Segmentation by a U-Net (Ronneberger et al. 2015): which shape a pixel belongs to, under noise.

  python -m gen_jax.main --config configs/segment.py   18 minutes on two busy cores

`fcn8`, `fcn4` and `fcn2` are FCNs (Long et al. 2015) with a score for every 8x8, 4x4 and 2x2
pixels. `isbi` is for membranes of cells (ISBI 2012) and learns from patches, `camvid` for street
scenes of 160x120 pixels; both read a zip or folder of image/{train,val,test}/ and as many in
mask/{train,val,test}/:

  python -m gen_jax.main --config configs/segment.py:isbi --config.data.path=FILE.zip
"""

from gen_jax.config import experiment, merge, tiny, variant


def adam(steps: int) -> dict:
  return dict(learning_rate=2e-3, schedule="cosine", decay_steps=steps, clip=1.0)


def lasting(steps: int, every: int) -> dict:
  names = ("validate_every", "sample_every", "checkpoint_every")
  return dict(steps=steps, log_every=50, **dict.fromkeys(names, every))


SHAPES = dict(
  model=dict(loss="cross_entropy", optimizer=adam(6000)),
  data=dict(name="pairs:segmentation", batch_size=32, augment=("flip",), validation=0.05, test=0.1),
  train=dict(**lasting(6000, 1000), best="cross_entropy"),
  measures=("segmentation", "likelihood"),
)

# Without norms over the image, whose tiles then give what the whole does.
ISBI = dict(
  model=dict(norm="none", loss="cross_entropy", optimizer=adam(1500)),
  data=dict(
    name="pairs", classes=2, patch=128, batch_size=8, augment=("flip", "rotate"), validation=0.0
  ),
  train=dict(lasting(1500, 500), validate_every=0),
  measures=("segmentation", "regions"),
)
CAMVID = dict(
  model=dict(widths=(16, 32, 64, 128, 128), loss="cross_entropy", optimizer=adam(2500)),
  data=dict(name="pairs", classes=11, ignore=11, batch_size=8, augment=("flip",)),
  train=lasting(2500, 500),
  measures=("segmentation",),
)

VARIANTS = {
  "shapes": SHAPES,
  "transposed": merge(SHAPES, dict(model=dict(up="transposed"))),
  **{f"fcn{s}": merge(SHAPES, dict(model=dict(net="fcn", every=s))) for s in (8, 4, 2)},
  "isbi": ISBI,
  "camvid": CAMVID,
  "tiny": tiny(
    SHAPES,
    dict(
      model=dict(widths=(4, 8), optimizer=dict(decay_steps=8)),
      data=dict(resolution=8, batch_size=16, validation=0.004, test=0.008),
    ),
  ),
}
VARIANTS["tiny_fcn"] = merge(VARIANTS["tiny"], dict(model=dict(net="fcn", every=1)))


def get_config(name: str = "shapes"):
  """The config of a variant."""
  return experiment("gen_jax.models.segment.build", **variant(name, VARIANTS))

"""Colour segmentation by mean shift or k-means, of the data's pictures or of your own.

Source: Comaniciu & Meer 2002, section 3. Each picture is segmented by clusters of its own pixels,
`model.own=0` for those of all pictures; `model.place=30` lets colours be those of a region too.

  launch/run.sh --config configs/palette.py[:kmeans]
  launch/run.sh --config configs/palette.py --mode=transform --input=photo.jpg
  launch/run.sh --config configs/palette.py --mode=predict --input=photo.jpg
"""

from gen_jax.config import experiment, merge, tiny, variant

MEANSHIFT = dict(
  model=dict(method="meanshift", bandwidth=12.0, colours=16),
  data=dict(name="shapes", labels=32, validation=0.02, test=0.02, batch_size=64, remainder="pad"),
  train=dict(steps=60, log_every=10, sample_every=60, checkpoint_every=60),
  measures=("likelihood",),
)

VARIANTS = {
  "meanshift": MEANSHIFT,
  "kmeans": merge(MEANSHIFT, dict(model=dict(method="kmeans", colours=8))),
  "tiny": tiny(
    MEANSHIFT,
    dict(
      model=dict(seeds=8, pixels=16, colours=4, own=3),
      data=dict(resolution=8, labels=4, batch_size=8, validation=0.002, test=0.002),
    ),
  ),
}


def get_config(name: str = "meanshift"):
  """The config of a variant."""
  return experiment("gen_jax.models.palette.build", **variant(name, VARIANTS))

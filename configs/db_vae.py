"""Debiasing VAE: a classifier that draws rare examples of a class more often, by its own codes.

Source: Amini et al. 2019. Is a sprite a heart? In training 95% of hearts are of warm colours, in
the test split half are; no colour is told. The rules of drawing (`plain` for none) beside each
other; what has been measured so far stands in docs/representations.md:

  launch/run.sh --config configs/db_vae.py[:plain|max|product]
  launch/run.sh --config configs/db_vae.py --sweep variant=plain,max,product,tempered \
      --sweep seed=0,1,2,3,4
"""

from gen_jax.config import experiment, merge, tiny, variant

TEMPERED = dict(
  model=dict(
    rule="tempered", draw=128, latent=4, widths=(16, 32), hidden=(64,),
    error="squared", reconstruction=100.0,
    optimizer=dict(learning_rate=3e-3, schedule="cosine", decay_steps=3000),
  ),
  data=dict(name="shapes:hearts", resolution=16, batch_size=256),
  train=dict(
    steps=3000, steps_per_call=20, log_every=100, sample_every=1000, checkpoint_every=1000
  ),
  measures=("likelihood", "subgroups"),
)  # fmt: skip

VARIANTS = {
  "tempered": TEMPERED,
  "product": merge(TEMPERED, dict(model=dict(rule="product"))),
  "max": merge(TEMPERED, dict(model=dict(rule="max"))),
  "plain": merge(TEMPERED, dict(model=dict(rule="none"))),
  "tiny": tiny(
    TEMPERED,
    dict(
      model=dict(draw=4, latent=2, widths=(4,), hidden=(4,), optimizer=dict(decay_steps=8)),
      data=dict(resolution=8, batch_size=16, test=0.01, validation=0.01),
    ),
  ),
}


def get_config(name: str = "tempered"):
  """The config of a variant."""
  return experiment("gen_jax.models.db_vae.build", **variant(name, VARIANTS))

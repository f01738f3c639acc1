"""Adversarial debiasing: a classifier of a table whose output tells nothing of a protected group.

Source: Zhang, Lemoine & Mitchell 2018 (arXiv:1801.07593). The default is of a table made by rule,
after the source's own, whose best prediction uses the group and whose fair one is known: beside the
accuracy stands that of both. `adult` is UCI's Adult from its files, with odds between the sexes.
SGD keeps the projected direction, which Adam would turn. The figures stand in docs/results.md:
parity has the accuracy of the fair prediction (0.688; 0.687), a parity gap of 0.008 and a fresh
adversary at 0.50; `plain` that of the best one (0.717; 0.716), 0.42 and 0.84.

  launch/run.sh --config configs/debias.py[:odds|plain]   half a minute on two busy cores
  launch/run.sh --config configs/debias.py[:tinted|tinted_plain]
  launch/run.sh --config configs/debias.py:adult[_plain] --config.data.path=FOLDER_OF_ADULT
  launch/run.sh --config configs/debias.py:persons[_plain] --config.data.path=FACES.zip

`persons` learns codes of faces, a folder of pictures for each person, whose colour changes between
two sessions and is to be left out.
"""

from gen_jax.config import experiment, merge, tiny, variant

BIASED = dict(
  model=dict(
    fairness="parity", alpha=1.0,
    predictor_optimizer=dict(
      name="sgd", b1=0.0, learning_rate=0.1, schedule="cosine", decay_steps=4000
    ),
    adversary_optimizer=dict(
      name="sgd", b1=0.0, learning_rate=0.5, schedule="cosine", decay_steps=4000
    ),
  ),
  data=dict(name="table:biased", batch_size=512),
  train=dict(
    steps=4000, steps_per_call=50, log_every=200, validate_every=1000, checkpoint_every=1000
  ),
  measures=("likelihood", "fairness"),
)  # fmt: skip

TINTED = dict(
  model=dict(
    fairness="odds", latent=16, hidden=(128,), adversary_hidden=(64,), n_adversary=3, alpha=0.3,
    predictor_optimizer=dict(learning_rate=1e-3, clip=1.0),
    adversary_optimizer=dict(learning_rate=2e-3),
  ),
  data=dict(name="digits:tinted", batch_size=128),
  train=dict(
    steps=3000, steps_per_call=50, log_every=200, validate_every=1000, checkpoint_every=1000
  ),
  measures=("likelihood", "group_probe"),
)  # fmt: skip

PERSONS = merge(
  TINTED,
  dict(
    model=dict(latent=32, widths=(16, 32, 64), hidden=()),
    data=dict(name="persons:tinted", resolution=32, batch_size=64, augment=("flip",)),
    train=dict(steps=1000, validate_every=0, checkpoint_every=500),
    measures=("rank", "group_probe"),
  ),
)

VARIANTS = {
  "parity": BIASED,
  "odds": merge(BIASED, dict(model=dict(fairness="odds"))),
  "plain": merge(BIASED, dict(model=dict(alpha=0.0, project=False))),
  "adult": merge(
    BIASED, dict(model=dict(fairness="odds", sharpnesses=3), data=dict(name="table:adult"))
  ),
  "adult_plain": merge(
    BIASED, dict(model=dict(alpha=0.0, project=False), data=dict(name="table:adult"))
  ),
  "tinted": TINTED,
  "tinted_plain": merge(TINTED, dict(model=dict(alpha=0.0, project=False))),
  "persons": PERSONS,
  "persons_plain": merge(PERSONS, dict(model=dict(alpha=0.0, project=False))),
  "tiny": tiny(
    BIASED,
    dict(
      model=dict(
        fairness="odds", hidden=(4,), predictor_optimizer=dict(decay_steps=8),
        adversary_optimizer=dict(decay_steps=8),
      ),
      data=dict(batch_size=16),
      train=dict(steps_per_call=1),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "parity"):
  """The config of a variant."""
  return experiment("gen_jax.models.debias.build", **variant(name, VARIANTS))

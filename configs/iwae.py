"""IWAE: importance weighted autoencoder, with k samples in its bound.

Source: Burda, Grosse & Salakhutdinov 2016 (arXiv:1509.00519), section 5; `vae1` to `iwae50` are
rows of its table 1 (one stochastic layer) at full length, 3280 epochs, with all training examples.
Two things differ: output biases start at 0, not at the logit of the data's mean, and weights are
LeCun's, not Glorot's.

  python -m gen_jax.main --config configs/iwae.py   1 minute on two cores
      nll_5000 23.39 nats, freshly binarised (359 test digits)
  python -m gen_jax.main --config configs/iwae.py:vae1 --config.train.steps=3279000
      --config.train.steps_per_call=1000
      1093 of the 3280 epochs, to the end of the schedule's seventh stage; 134 minutes on a core
      that other work used too, 3.2 s an epoch alone: nll_5000 87.48 nats, 18 active units of 50
      (10,000 test digits; 86.76 and 19 in the paper)
  python -m gen_jax.main --config configs/iwae.py:vae1 --config.train.steps=1092000
      --config.model.optimizer.decay_steps=1092000 --config.train.steps_per_call=1000
      364 epochs with the whole schedule in them: 88.79 nats, 19 active units
  python -m gen_jax.main --config configs/iwae.py:iwae50 --config.model.optimizer.schedule=cosine
      --config.train.steps=363000 --config.model.optimizer.decay_steps=363000
      121 epochs, 1e-3 to 0 by a cosine, 28.8 s an epoch on a core of its own (68 minutes of one
      with the 5000 samples of the test): 87.22 nats, 24 active units (84.78 and 25 in the paper);
      :iwae5, the same, 13 minutes, 88.05 nats, 21 units; :vae50 88.59 nats, 16 units; :vae1,
      9 minutes, 89.13 nats, 18 units: the order of the paper
  python -m gen_jax.main --config configs/iwae.py:iwae50 --workdir=RUN --config.model.samples=10
      --config.model.optimizer.schedule=cosine --config.train.steps=900000
      --config.model.optimizer.decay_steps=1600000 --config.train.steps_per_call=200
  python -m gen_jax.main --config configs/iwae.py:iwae50 --init_from=RUN --config.train.steps=144000
      --config.model.optimizer.schedule=cosine --config.model.optimizer.learning_rate=4e-4
      --config.model.optimizer.decay_steps=144000 --config.train.steps_per_call=200
      300 epochs with k = 10, 1e-3 to 4e-4, then 48 with k = 50, 4e-4 to 0: 48, 28 and, for the
      test, 6 minutes of a core: 86.01 nats, 22 active units (`vae1` has 18 or 19)
  the second command with the first of these runs of `vae1` for RUN, as in table 2 of the paper:
      85.93 nats, 19 active units (84.88 and 22 in the paper: units that a VAE has given up come
      back slowly)
"""

from gen_jax.config import experiment, merge, tiny, variant

DIGITS = dict(
  model=dict(
    bound="iwae", samples=10, binarize="fresh", latent=16, hidden=(200, 200), activation="tanh",
    optimizer=dict(eps=1e-4, schedule="burda", decay_steps=6000),
  ),
  data=dict(name="digits", batch_size=20),
  train=dict(
    steps=6000, steps_per_call=50, log_every=100, validate_every=1000, sample_every=2000,
    checkpoint_every=1000, best="nll_10",
  ),
  sample=dict(pixels="mean"),
  likelihood=dict(importance_samples=5000),
  evaluate=dict(samples=1500),
  measures=("likelihood", "active_units", "frechet", "prdc", "memorisation"),
)  # fmt: skip

EPOCH = 3000  # steps, with all 60,000 examples

PAPER = merge(
  DIGITS,
  dict(
    model=dict(latent=50, optimizer=dict(decay_steps=3280 * EPOCH)),
    data=dict(name="tfds:mnist", validation=0.0),
    train=dict(
      steps=3280 * EPOCH, steps_per_call=100, log_every=EPOCH, validate_every=0,
      sample_every=10 * EPOCH, checkpoint_every=EPOCH, best="",
    ),
    measures=("likelihood", "active_units"),
  ),
)  # fmt: skip

VARIANTS = {
  "digits": DIGITS,
  "vae1": merge(PAPER, dict(model=dict(bound="elbo", samples=1))),
  "vae50": merge(PAPER, dict(model=dict(bound="elbo", samples=50))),
  "iwae5": merge(PAPER, dict(model=dict(samples=5))),
  "iwae50": merge(PAPER, dict(model=dict(samples=50))),
  "tiny": tiny(
    DIGITS,
    dict(
      model=dict(samples=3, latent=3, hidden=(8,), optimizer=dict(decay_steps=8)),
      data=dict(batch_size=16),
      train=dict(best="nll_3"),
      likelihood=dict(importance_samples=5, chunk=2),
    ),
  ),
}


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.vae.build", **variant(name, VARIANTS))

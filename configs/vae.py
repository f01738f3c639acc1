"""VAE: variational autoencoder, with the ELBO as its bound.

Source: Kingma & Welling 2014 (arXiv:1312.6114). `mnist_static` is the setting of Flax's example,
784-500-20, batch 128, 10 epochs, with pixels Bernoulli-sampled once; `conv` its convolutional twin.
`mnist` samples pixels anew each time, with 50 latents and two layers of 500, for 30 epochs.

  python -m gen_jax.main --config configs/vae.py                20 s on two cores
      negative_elbo 88.7, nll_500 84.3 nats of the 17 grey levels (359 test digits)
  python -m gen_jax.main --config configs/vae.py:mnist_static   2 minutes
      negative_elbo 102.6 nats (10,000 test digits; about 104 for Flax's example)
  python -m gen_jax.main --config configs/vae.py:mnist          3 minutes
  python -m gen_jax.main --config configs/vae.py:mnist --mode=probe
      test error from the codes of 100 / 1000 / 60,000 labelled digits:
      linear 27.6% / 14.3% / 10.5%, RBF-SVM 25.6% / 5.8%
"""

from gen_jax.config import experiment, merge, tiny, variant

DIGITS = dict(
  model=dict(
    observation="logistic", learn_scale=True, latent=16, hidden=(256, 256),
    optimizer=dict(schedule="cosine", decay_steps=2000),
  ),
  data=dict(name="digits", batch_size=128),
  train=dict(
    steps=2000, steps_per_call=50, log_every=100, validate_every=500, sample_every=1000,
    checkpoint_every=500, best="negative_elbo",
  ),
  sample=dict(pixels="mean"),
  likelihood=dict(importance_samples=500),
  evaluate=dict(samples=1500),
  measures=("likelihood", "active_units", "frechet", "prdc", "memorisation"),
)  # fmt: skip

MNIST = dict(
  data=dict(name="tfds:mnist", binarize="static", validation=0.0),
  train=dict(
    steps=4690, steps_per_call=67, log_every=469, validate_every=0, sample_every=938,
    checkpoint_every=938, best="",
  ),
  evaluate=dict(batch_size=200),
  measures=("likelihood", "active_units"),
)  # fmt: skip

VARIANTS = {
  "digits": DIGITS,
  "mnist_static": MNIST,
  "conv": merge(
    MNIST,
    dict(
      model=dict(widths=(32, 64), hidden=(256,)),
      train=dict(steps_per_call=1),
    ),
  ),
  "mnist": merge(
    MNIST,
    dict(
      model=dict(
        binarize="fresh",
        latent=50,
        hidden=(500, 500),
        optimizer=dict(schedule="cosine", decay_steps=14_000),
      ),
      data=dict(binarize=""),
      train=dict(
        steps=14_000, steps_per_call=70, log_every=700, sample_every=7000, checkpoint_every=7000
      ),
    ),
  ),
  "outliers": merge(
    MNIST,
    dict(
      model=dict(optimizer=dict(schedule="cosine", decay_steps=2000)),
      data=dict(binarize="", only=(0,)),
      train=dict(
        steps=2000, steps_per_call=50, log_every=500, sample_every=2000, checkpoint_every=2000
      ),
      likelihood=dict(importance_samples=50),
      measures=("likelihood", "outliers_by_error", "outliers_by_density"),
    ),
  ),
  "tiny": tiny(
    DIGITS,
    dict(
      model=dict(latent=3, hidden=(8,), optimizer=dict(decay_steps=8)),
      data=dict(batch_size=16),
      likelihood=dict(importance_samples=5, chunk=2),
    ),
  ),
}


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.vae.build", **variant(name, VARIANTS))

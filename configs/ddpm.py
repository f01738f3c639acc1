"""DDPM: denoising diffusion probabilistic models, class-conditional, with the variational bound.

Source: Ho, Jain & Abbeel 2020 (arXiv:2006.11239); `cifar10` is the paper's setting.
"""

from gen_jax.run.config import experiment, merge, variant

LABELLED = ("likelihood", "frechet", "prdc", "sample_accuracy", "trained_on_samples", "memorisation")

SMALL = dict(
  model=dict(
    schedule="cosine", conditional=True, width=32, multipliers=(1, 2), blocks=1, attention=(),
    dropout=0.0, ema=0.999,
    optimizer=dict(learning_rate=2e-3, warmup=100, schedule="cosine", decay_steps=2400, clip=1.0),
  ),
  sample=dict(method="ddim", steps=50, eta=1.0),
  measures=LABELLED,
)  # fmt: skip

VARIANTS = {
  "digits": merge(
    SMALL,
    dict(
      data=dict(name="digits", batch_size=128),
      train=dict(
        steps=2400, log_every=50, validate_every=600, sample_every=600, checkpoint_every=300,
        best="bits_per_dim",
      ),
      likelihood=dict(times=50),
      evaluate=dict(samples=1500),
    ),
  ),
  "tiny": merge(
    SMALL,
    dict(
      data=dict(name="digits", batch_size=16),
      model=dict(timesteps=20, width=8, optimizer=dict(warmup=2, decay_steps=8)),
      train=dict(
        steps=8, log_every=2, validate_every=4, sample_every=8, checkpoint_every=4,
        best="bits_per_dim",
      ),
      sample=dict(steps=4),
      likelihood=dict(times=2),
      evaluate=dict(samples=40, batch_size=40, classifier_steps=20),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.ddpm.build", **variant(name, VARIANTS))

"""GAN: generative adversarial networks, by default WGAN-GP on the digits.

Sources: Gulrajani et al. 2017 (arXiv:1704.00028) for `wgan_gp`; Goodfellow et al. 2014 with
DCGAN's settings for `mm` and `ns`; Mao et al. 2017 `ls`; Arjovsky et al. 2017 `wgan`; Kodali et
al. 2017 `dragan`; Berthelot et al. 2017 `began`. `ring8` and `grid25` have the networks with which
PacGAN (Lin et al. 2018, section 4.1) counts modes.

`wgan_gp` with seed 0: Frechet distance 11.6 (training data 3.5), precision 0.76, recall 0.97,
coverage 0.96, smallest share of a class 0.087 (test data 0.089), nearest-training ratio 1.33. The
other variants' lengths have not been tried out.
"""

from gen_jax.run.config import experiment, merge, variant

ADAM_GP = dict(learning_rate=5e-4, b1=0.5, b2=0.9, schedule="linear", decay_steps=1500)
DCGAN = dict(learning_rate=2e-4, b1=0.5)

BASE = dict(
  model=dict(latent=32, widths=(64, 128)),
  data=dict(name="digits", batch_size=64),
  train=dict(
    steps=3000, log_every=50, validate_every=500, sample_every=500, checkpoint_every=500
  ),
  evaluate=dict(samples=1500),
  measures=("frechet", "prdc", "memorisation", "class_shares"),
)  # fmt: skip

WGAN_GP = merge(
  BASE,
  dict(
    model=dict(
      loss="wgan", penalty="wgan_gp", critic_turns=5, critic_norm="layer", deviation=0.0,
      critic_optimizer=ADAM_GP, generator_optimizer=ADAM_GP,
    ),
    train=dict(steps=1500),
  ),
)  # fmt: skip

# One turn each: three times the steps for about the same time.
ALTERNATING = merge(
  BASE,
  dict(
    model=dict(critic_optimizer=DCGAN, generator_optimizer=DCGAN),
    train=dict(
      steps=10_000, log_every=100, validate_every=1000, sample_every=1000, checkpoint_every=1000
    ),
  ),
)  # fmt: skip

# The paper's length is 400k steps.
PLANE = merge(
  BASE,
  dict(
    model=dict(
      latent=2, widths=(), generator_hidden=(400,) * 4, critic_hidden=(200,) * 3, maxout=5,
      deviation=0.0,
      critic_optimizer=dict(learning_rate=1e-4, b1=0.8),
      generator_optimizer=dict(learning_rate=1e-4, b1=0.8),
    ),
    data=dict(batch_size=100),
    train=dict(
      steps=20_000, steps_per_call=50, log_every=500, validate_every=0, sample_every=5000,
      checkpoint_every=5000,
    ),
    evaluate=dict(samples=2500, batch_size=500),
    measures=("class_shares",),
  ),
)  # fmt: skip

RMSPROP = dict(name="rmsprop", learning_rate=5e-5, b2=0.9)

VARIANTS = {
  "wgan_gp": WGAN_GP,
  "conditional": merge(
    WGAN_GP,
    dict(
      model=dict(conditional=True),
      measures=("frechet", "prdc", "sample_accuracy", "trained_on_samples", "memorisation"),
    ),
  ),
  "ns": merge(ALTERNATING, dict(model=dict(loss="ns"))),
  "mm": merge(ALTERNATING, dict(model=dict(loss="mm"))),
  "ls": merge(ALTERNATING, dict(model=dict(loss="ls"))),
  "wgan": merge(
    BASE,
    dict(
      model=dict(
        loss="wgan", clip=0.01, critic_turns=5,
        critic_optimizer=RMSPROP, generator_optimizer=RMSPROP,
      ),
    ),
  ),
  "dragan": merge(
    ALTERNATING,
    dict(
      model=dict(
        loss="ns", penalty="dragan", critic_norm="layer",
        critic_optimizer=dict(learning_rate=1e-4, b2=0.9),
        generator_optimizer=dict(learning_rate=1e-4, b2=0.9),
      ),
    ),
  ),
  "began": merge(
    ALTERNATING,
    dict(
      model=dict(
        loss="began", noise="uniform", generator_norm="none", deviation=0.0,
        critic_optimizer=dict(schedule="linear", decay_steps=10_000),
        generator_optimizer=dict(schedule="linear", decay_steps=10_000),
      ),
      data=dict(batch_size=16),
    ),
  ),
  "ring8": merge(PLANE, dict(data=dict(name="toy2d:ring8"))),
  "grid25": merge(PLANE, dict(data=dict(name="toy2d:grid25"))),
  "tiny": merge(
    WGAN_GP,
    dict(
      model=dict(
        latent=4, widths=(), generator_hidden=(16,), critic_hidden=(16, 16), critic_turns=2,
        critic_optimizer=dict(decay_steps=8), generator_optimizer=dict(decay_steps=8),
      ),
      data=dict(batch_size=16),
      train=dict(
        steps=8, log_every=2, validate_every=4, sample_every=8, checkpoint_every=4
      ),
      evaluate=dict(samples=40, batch_size=40, classifier_steps=20),
    ),
  ),
}


def get_config(name: str = "wgan_gp"):
  """The config of a variant."""
  return experiment("gen_jax.models.gan.build", **variant(name, VARIANTS))

"""VQ-VAE: images as discrete codes, and a prior over them that is drawn from.

Source: van den Oord et al. 2017 (arXiv:1711.00937); `sonnet` is the setting of DeepMind Sonnet's
example on CIFAR-10 (10k steps of 32: MSE / variance 0.056, perplexity about 327, both of training
batches), for a folder or zip of colour images. `train.steps` are those of the VQ-VAE, then those of
the prior; the PixelCNN overfits the 1294 digits soon after its 500.

  launch/run.sh --config configs/vqvae.py[:digits_transformer]   2 to 4 minutes of a busy core
  launch/run.sh --config configs/vqvae.py:digits_masked   9 minutes of one core
  launch/run.sh --config configs/vqvae.py:mnist   46 minutes of CPU time
  launch/run.sh --config configs/vqvae.py:sonnet --config.data.path=IMAGES.zip

Test digits, one seed: MSE / variance 0.039, 64 of 64 codes used, perplexity 56.5. `digits`: 2.01
nats a code against a unigram entropy of 4.04, 92.3% of 1500 samples read as their class.
`digits_transformer`: 2.04 nats, 94.4%. `digits_masked`: at most 2.15 nats, 96.3%.

Below are figures of runs that did not yet begin at the mean colour.

`mnist`, 10,000 test digits: MSE / variance 0.034 (MSE 0.0032), 256 of 256 codes used, perplexity
179.6; 1.84 nats a code against a unigram entropy of 5.19; 91.5% of 10,000 samples read as their
class.

`sonnet` on 9000 of CIFAR-10's images, kept as JPEG (the example has all 50,000, and averages the
last 100 training steps): MSE / variance 0.053 of 1000 test images, perplexity 424 over all of them
and 339 over the last 100 training batches, 512 of 512 codes used; the prior 4.79 nats a code
against a unigram entropy of 6.05, and samples have colours and textures without objects. 27 minutes
of CPU time.
"""

from gen_jax.config import experiment, merge, tiny, variant

DIGITS = dict(
  model=dict(
    factor=2, codes=64, dim=16, width=32, blocks=1, residual=16, conditional=True,
    optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=1500),
    pixelcnn=dict(
      width=32, dilations=(1, 1, 1), first_kernel=3, head=64, dropout=0.2, ema=0.995,
      optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=1500),
    ),
  ),
  data=dict(name="digits", batch_size=128),
  train=dict(
    steps=(1500, 500), log_every=50, validate_every=250, sample_every=500, checkpoint_every=250,
    best="nll",
  ),
  evaluate=dict(samples=1500),
  measures=("likelihood", "code_use", "frechet", "prdc", "sample_accuracy", "memorisation"),
)  # fmt: skip

VARIANTS = {
  "digits": DIGITS,
  "digits_transformer": merge(
    DIGITS,
    dict(
      model=dict(
        prior="transformer",
        transformer=dict(
          width=64, layers=2, heads=4, dropout=0.3, ema=0.995,
          optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=1500, warmup=50),
        ),
      ),
      train=dict(steps=(1500, 1500)),
    ),
  ),
  "digits_masked": merge(
    DIGITS,
    dict(
      model=dict(
        prior="masked",
        masked=dict(
          width=64, layers=2, heads=4, dropout=0.3, ema=0.998,
          optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=8000, warmup=50),
        ),
      ),
      train=dict(steps=(1500, 8000)),
    ),
  ),
  "mnist": merge(
    DIGITS,
    dict(
      model=dict(
        factor=4, codes=256, dim=64, width=64, blocks=2, residual=32,
        optimizer=dict(learning_rate=1e-3, decay_steps=4000),
        pixelcnn=dict(
          width=64, dilations=(1, 1, 1, 1, 1), head=128, dropout=0.1, ema=0.999,
          optimizer=dict(learning_rate=1e-3, decay_steps=4000),
        ),
      ),
      data=dict(name="tfds:mnist", validation=0.05),
      train=dict(
        steps=(4000, 4000), log_every=100, validate_every=1000, sample_every=1000,
        checkpoint_every=1000,
      ),
      evaluate=dict(samples=10_000, batch_size=500, classifier_steps=4000),
    ),
  ),
  "sonnet": dict(
    model=dict(
      factor=4, codes=512, dim=64, width=128, blocks=2, residual=32, codebook="ema", decay=0.99,
      commitment=0.25, optimizer=dict(learning_rate=3e-4),
      pixelcnn=dict(
        width=64, dilations=(1, 1, 2, 1), head=128, dropout=0.2,
        optimizer=dict(learning_rate=1e-3, schedule="cosine", decay_steps=5000, warmup=200),
      ),
    ),
    data=dict(name="folder", resolution=32, channels=3, batch_size=32),
    train=dict(
      steps=(10_000, 5000), log_every=100, validate_every=1000, sample_every=2500,
      checkpoint_every=1000, best="nll",
    ),
    evaluate=dict(samples=1000),
    measures=("likelihood", "code_use", "memorisation"),
  ),
  "tiny": tiny(
    DIGITS,
    dict(
      # A fast average, so that codes die and are restarted within these few steps.
      model=dict(
        codes=8, dim=4, width=8, residual=4, decay=0.5, restart=0.3,
        optimizer=dict(decay_steps=8),
        pixelcnn=dict(width=8, dilations=(1,), head=8, optimizer=dict(decay_steps=8)),
      ),
      data=dict(batch_size=16),
      train=dict(steps=(8, 8)),
    ),
  ),
}  # fmt: skip
VARIANTS["tiny_gumbel"] = merge(
  VARIANTS["tiny"],
  dict(model=dict(codebook="gumbel", gumbel=dict(steps=8, kl_steps=4))),
)
VARIANTS["tiny_transformer"] = merge(
  VARIANTS["tiny"],
  dict(
    model=dict(
      prior="transformer",
      transformer=dict(width=8, layers=1, heads=2, optimizer=dict(decay_steps=8)),
    ),
  ),
)
VARIANTS["tiny_masked"] = merge(
  VARIANTS["tiny"],
  dict(
    model=dict(
      prior="masked", masked=dict(width=8, layers=1, heads=2, optimizer=dict(decay_steps=8)),
    ),
    sample=dict(steps=4),
  ),
)  # fmt: skip


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.vqvae.build", **variant(name, VARIANTS))

"""gen_jax: deep generative models as pure functions, in JAX."""


def load(workdir, *, checkpoint: str = "newest", **options):
  """The model of a run and its state; see `gen_jax.run.load.load`."""
  from gen_jax.run.load import load as load_

  return load_(workdir, checkpoint=checkpoint, **options)

"""gen_jax: deep generative models as pure functions, in JAX."""


def load(workdir, *, checkpoint: str = "newest", builders=(), **options):
  """The model of a run and its state; see `gen_jax.run.load.load`."""
  from gen_jax.run.load import load as load_

  return load_(workdir, checkpoint=checkpoint, builders=builders, **options)


def train(program, arrays, *, steps, **settings):
  """Trains a program on arrays; see `gen_jax.run.door.train_on_arrays`."""
  from gen_jax.run.door import train_on_arrays

  return train_on_arrays(program, arrays, steps=steps, **settings)

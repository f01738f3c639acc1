"""Config files on the command line: their variants, overrides and default run folders."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import re
import textwrap
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from absl import flags
from ml_collections import ConfigDict

from gen_jax.core import UserError

PACKAGE = Path(__file__).resolve().parents[1]
# In a checkout beside the package, in an installation inside it.
CONFIGS = next(
  p / "configs" for p in (PACKAGE.parent, PACKAGE) if (p / "configs/ddpm.py").is_file()
)


def version() -> str:
  """Of this code: a checkout says it in its pyproject.toml, an installation in its metadata."""
  project = PACKAGE.parent / "pyproject.toml"
  if (PACKAGE.parent / "configs").is_dir() and project.is_file():
    return tomllib.loads(project.read_text())["project"]["version"]
  return importlib.metadata.version("gen_jax")


def load_module(file: str) -> ModuleType:
  """The module of a config file.

  Raises:
    UserError: if there is no such file, naming near ones, or it has no get_config.
  """
  from gen_jax.schema import nearest

  path = path_of(file)
  if not path.is_file():
    known = {p.stem: str(p) for p in sorted(CONFIGS.glob("*.py"))}
    raise UserError(f"no config file {file}{nearest(path.stem, known)} in {CONFIGS.name}/")
  spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  if not callable(getattr(module, "get_config", None)):
    raise UserError(f"{file} has no get_config(variant): it is not a config file")
  return module


def path_of(file: str) -> Path:
  """The path of a config file, which may be given by its name alone: vae for configs/vae.py, which
  is found from any folder too."""
  path, name = Path(file), re.fullmatch(r"(\w+)|configs/(\w+)\.py", file)
  if name is None or path.is_file():
    return path
  known = CONFIGS / f"{name[1] or name[2]}.py"
  return known if known.is_file() else path


def named(argv: list[str]) -> list[str]:
  """The arguments with the path of a config that is given by its name: --config ddpm:mnist."""
  out = list(argv)
  for i, argument in enumerate(argv):
    flag, equals, name = argument.partition("=")
    if not re.fullmatch("--?config", flag) or not (equals or i + 1 < len(argv)):
      continue
    at, lead = (i, f"{flag}=") if equals else (i + 1, "")
    file, colon, variant = (name if equals else argv[at]).partition(":")
    if path_of(file) != Path(file):
      out[at] = f"{lead}{path_of(file)}{colon}{variant}"
  return out


def split_name(name: str) -> tuple[str, str]:
  """ "configs/ddpm.py:tiny" -> ("configs/ddpm.py", "tiny")."""
  file, _, variant = name.partition(":")
  return file, variant


def load_config(name: str) -> ConfigDict:
  """The config of FILE[:VARIANT] or NAME[:VARIANT], without overrides."""
  file, variant = split_name(name)
  get_config = load_module(file).get_config
  return get_config(variant) if variant else get_config()


def default_variant(module: ModuleType) -> str:
  """The variant that get_config takes when none is given."""
  return next(iter(inspect.signature(module.get_config).parameters.values())).default


def default_workdir(name: str) -> Path:
  """runs/<config>, with -<variant> for any but the default one."""
  file, variant = split_name(name)
  suffix = "" if variant in ("", default_variant(load_module(file))) else f"-{variant}"
  return Path("runs") / f"{Path(file).stem}{suffix}"


def check_workdir(where: str | None) -> None:
  """Refuses a --workdir that is no name of a folder.

  Raises:
    UserError: if it is empty, such as from an unset variable of a shell, or is not UTF-8.
  """
  if where is None:
    return
  if not where.strip():
    raise UserError("--workdir is empty: give a folder, or leave it out for runs/<config>")
  try:
    where.encode()
  except UnicodeEncodeError:
    shown = where.encode(errors="backslashreplace").decode()
    raise UserError(f"--workdir={shown} is not UTF-8: give another name") from None


def split_conditions(argv: list[str]) -> tuple[list[str], dict[str, str]]:
  """The other arguments, and the conditions among them: --cond.FIELD=VALUE.

  Raises:
    UserError: for one without a value.
  """
  others, given = [], {}
  for argument in argv:
    if match := re.fullmatch(r"--?cond\.([^=]+)=(.*)", argument, re.DOTALL):
      given[match[1]] = match[2]
    elif re.match(r"--?cond\b", argument):
      raise UserError(f"{argument}: a condition is --cond.FIELD=VALUE, such as --cond.label=3")
    else:
      others.append(argument)
  return others, given


def check_overrides(argv: list[str]) -> None:
  """Refuses a --config.FIELD that the config lacks, naming the nearest.

  Raises:
    UserError: see above, and `load_module`.
  """
  from gen_jax.schema import nearest

  name = None
  for i, argument in enumerate(argv):
    if match := re.fullmatch(r"--?config(?:=(.*))?", argument):
      name = match[1] if match[1] is not None else (argv[i + 1] if i + 1 < len(argv) else None)
  if name == "":
    raise UserError("--config is empty: give --config configs/NAME.py[:VARIANT]")
  if name is None:
    return
  config = load_config(name)
  for argument in argv:
    if not (match := re.match(r"--?(?:no)?config\.([^=]+)", argument)):
      continue
    place, path = config, match[1].split(".")
    for depth, field in enumerate(path):
      if not isinstance(place, ConfigDict) or field not in place:
        where = ".".join(["config", *path[:depth]])
        fields = place.keys() if isinstance(place, ConfigDict) else ()
        raise UserError(f"{where}.{field} does not exist{nearest(field, fields)}")
      place = place[field]
    if isinstance(place, ConfigDict):
      raise UserError(f"config.{match[1]} is a group of {', '.join(place)}: set one of them")


def listing() -> str:
  """Every system, and each variant with its data, its length and, where it was measured, how long
  it takes; one line each."""
  lines = []
  for path in sorted(CONFIGS.glob("*.py")):
    module = load_module(str(path))
    lines.append(f"configs/{path.name}  {inspect.getdoc(module).splitlines()[0]}")
    default, took = default_variant(module), times(module)
    for name, variant in module.VARIANTS.items():
      facts = [variant["data"]["name"], length(variant["train"]), *took.get(name, ())]
      marked = " (default)" if name == default else ""
      lines.append(f"  :{name}  {', '.join(facts)}{marked}")
  return "\n".join(lines)


# In a config's docstring: a command, and behind it how long it takes. [:a|b] is the default
# variant, a and b; VARIANT stands for all but the tiny ones.
COMMAND = re.compile(
  r"configs/(\w+)\.py(\[?)(?::([\w|-]+)\]?)?(?: --config\.data\.path=\S+)? {2,}(\S.*)"
)
DURATION = re.compile(r"[^,;:]*\b(?:s|minutes?|hours?)\b[^,;:]*")


def times(module: ModuleType) -> dict[str, tuple[str, ...]]:
  """{variant: (how long it takes, in words)} of those that the docstring tells of."""
  found = {}
  for line in inspect.getdoc(module).splitlines():
    command = COMMAND.search(line)
    duration = command and DURATION.match(command[4])
    if not duration:
      continue
    names = command[3].split("|") if command[3] else []
    if command[2] or not names:
      names.append(default_variant(module))
    if "VARIANT" in names:
      names = [name for name in module.VARIANTS if not name.startswith("tiny")]
    found |= {name: (duration[0],) for name in names}
  return found


def length(train: Mapping) -> str:
  """How long a run is, in words: its steps, of each stage."""
  from gen_jax.config import Train

  steps = train.get("steps", Train.steps)
  return f"{' + '.join(map(str, steps)) if isinstance(steps, tuple) else steps} steps"


def usage(about: str, options: list[flags.Flag]) -> str:
  """What --help says: `about`, then each option with its default and the values that it takes."""
  lines = [about.strip(), ""]
  for flag in options:
    default = f"={flag.default}" if flag.default else ""
    text, values = flag.help.partition(";\n")[0], getattr(flag.parser, "enum_values", None)
    if values:
      text = f"{text.partition('>: ')[2]}: {', '.join(values)}"
    first = f"  --{flag.name}{default}".ljust(23)
    lines += textwrap.wrap(f"{first} {text}", 100, subsequent_indent=" " * 24)
  return "\n".join(lines)

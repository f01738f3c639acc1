# shellcheck shell=bash
# Sourced by run.sh and test.sh. Goes to the root of the repository and defines
#
#   eat_option OPTION    takes --accelerator=cpu|cuda12|cuda13|tpu; false for any other option
#   environment DIR PIN  makes DIR a virtual environment that holds requirements.txt, unless it
#                        already is one; sets `python`. PIN is "" or a version of jax, as ==0.11.*
#
# Read from the environment: GEN_JAX_PYTHON (the interpreter to build with), GEN_JAX_ACCELERATOR
# (as --accelerator).

CDPATH="" cd -P "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

note() { echo "gen_jax: $*" >&2; }
fail() {
  note "$*"
  exit 1
}

accelerator=${GEN_JAX_ACCELERATOR-}

eat_option() {
  [[ $1 == --accelerator=* ]] || return 1
  accelerator=${1#*=}
}

# ---- which Python ----

# Prints "RANK MINOR". Rank: able to make an environment, then the newest of the versions that
# jaxlib has wheels for. The free-threaded builds have none.
inspect='
import sys, sysconfig
from importlib.util import find_spec
v = sys.version_info
if v < (3, 12) or v.releaselevel != "final" or sys.maxsize < 2**32: sys.exit(1)
if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"): sys.exit(1)
able = len(sys.argv) > 1 or bool(find_spec("venv") and find_spec("ensurepip"))
print(1000 * able + (v.minor if v.minor <= 14 else 0), v.minor)
'

candidates() {
  local name
  for name in python3.14 python3.13 python3.12 python3 python; do
    type -aP "$name" || true
  done
  local home=${HOME:-/nowhere} # some containers and services have none
  for name in "${PYENV_ROOT:-$home/.pyenv}"/versions/*/bin/python \
    "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$home/.local/share}/uv/python}"/*/bin/python3 \
    /opt/*/bin/python3 /opt/python/*/bin/python3 /usr/local/bin/python3.1[2-9] \
    /usr/local/*/bin/python3 /opt/homebrew/bin/python3.1[2-9] \
    "${CONDA_PREFIX:-/nowhere}/bin/python" "$home"/{miniconda3,anaconda3,miniforge3}/bin/python \
    "$home"/{miniconda3,anaconda3,miniforge3}/envs/*/bin/python; do
    [[ -x $name ]] && echo "$name"
  done
  return 0
}

# Sets `interpreter` and `minor`. Every candidate is run: a pyenv shim exists for versions that it
# then refuses to start.
find_python() {
  local tool="" candidate answer best=-1
  if type -P uv virtualenv >/dev/null; then tool=tool; fi
  interpreter=""
  if [[ -n ${GEN_JAX_PYTHON-} ]]; then
    answer=$("$GEN_JAX_PYTHON" -I -c "$inspect" $tool 2>/dev/null </dev/null) &&
      [[ $answer =~ ^[0-9]+\ [0-9]+$ ]] || # /bin/true starts too
      fail "GEN_JAX_PYTHON=$GEN_JAX_PYTHON is no working CPython 3.12 or newer"
    interpreter=$GEN_JAX_PYTHON best=${answer% *} minor=${answer#* }
  else
    while IFS= read -r candidate; do
      answer=$("$candidate" -I -c "$inspect" $tool 2>/dev/null </dev/null) || continue
      [[ $answer =~ ^[0-9]+\ [0-9]+$ ]] || continue
      if ((${answer% *} > best)); then
        interpreter=$candidate best=${answer% *} minor=${answer#* }
      fi
    done < <(candidates)
  fi
  [[ -n $interpreter ]] ||
    fail "found no Python 3.12 or newer: install one, or set GEN_JAX_PYTHON to its path"
  ((best >= 1000)) ||
    fail "$interpreter has no venv and ensurepip: install python3.$minor-venv, virtualenv or uv"
}

# ---- which accelerator ----

# All that detect_accelerator depends on, cheap enough for every start: nvidia-smi takes a second.
machine() {
  local driver=""
  if [[ -r /proc/driver/nvidia/version ]]; then read -r driver </proc/driver/nvidia/version; fi
  echo "$(type -P nvidia-smi || true)|$driver|$(tpu_chips)|${TPU_NAME-}${TPU_ACCELERATOR_TYPE-}"
}

# Prints a word where a TPU's device file is there and the PCI bus or the environment confirms it:
# other devices are called /dev/vfio/0 too, and TPU_NAME is set on machines that only command one.
tpu_chips() {
  local device
  [[ -e /dev/accel0 || -e /dev/vfio/0 ]] || return 0
  if [[ -n ${TPU_NAME-}${TPU_ACCELERATOR_TYPE-} ]]; then
    echo tpu
    return
  fi
  for device in /sys/bus/pci/devices/*; do # the ids of jax/_src/hardware_utils.py
    [[ $(cat "$device/vendor" 2>/dev/null) == 0x1ae0 ]] || continue
    case $(cat "$device/device" 2>/dev/null) in
      0x0027 | 0x0056 | 0x005e | 0x0062 | 0x0063 | 0x006f | 0x0076 | 0x007c | 0x0083)
        echo tpu
        return
        ;;
    esac
  done
}

# Prints cpu, cuda12, cuda13 or tpu. CUDA 13 needs driver 580 and compute capability 7.5, CUDA 12
# driver 525.
detect_accelerator() {
  local driver capability
  if [[ -n $(tpu_chips) ]]; then
    echo tpu
  elif type -P nvidia-smi >/dev/null &&
    IFS=', ' read -r driver capability < <(
      nvidia-smi --query-gpu=driver_version,compute_cap --format=csv,noheader 2>/dev/null
    ) && [[ $driver =~ ^[0-9]+ ]]; then
    driver=${driver%%.*} capability=${capability//[!0-9]/}
    if ((driver >= 580 && ${capability:-75} >= 75)); then
      echo cuda13
    elif ((driver >= 525)); then
      echo cuda12
    else
      note "NVIDIA driver $driver is too old for JAX (525 or newer): using the CPU"
      echo cpu
    fi
  else
    echo cpu
  fi
}

choose_accelerator() {
  if [[ -z $accelerator && ${JAX_PLATFORMS-} == cpu ]]; then accelerator=cpu; fi
  case $accelerator in
    cpu) export JAX_PLATFORMS=cpu ;; # an environment with a plugin would use it
    cuda12 | cuda13 | tpu) ;;
    "")
      local here cached=""
      here=$(machine)
      if [[ -r $venv/.gen_jax-machine ]]; then cached=$(<"$venv/.gen_jax-machine"); fi
      if [[ $cached == "$here"$'\n'* ]]; then
        accelerator=${cached##*$'\n'}
      else
        accelerator=$(detect_accelerator)
        machine_note=$here$'\n'$accelerator
      fi
      ;;
    *) fail "unknown accelerator '$accelerator': cpu, cuda12, cuda13 or tpu" ;;
  esac
}

# ---- the environment ----

# Prints the minor version of an interpreter that runs.
minor_of() { "$1" -I -S -c 'import sys; print(sys.version_info[1])' 2>/dev/null; }

# The stamp: the accelerator on the first line, then all else that the packages depend on.
contents() {
  printf 'python 3.%s\njax%s\n' "$1" "$pin"
  cat requirements.txt
}

# Prints the names of all that pip put there and that is gone, one a line.
missing() {
  local name site=("$venv"/lib/python3.*/site-packages)
  [[ -r $venv/.gen_jax-packages ]] || return 0
  while IFS= read -r name; do
    [[ -e ${site[0]}/$name ]] || echo "$name"
  done <"$venv/.gen_jax-packages"
}

# Whether DIR is an environment of ours, or one that may become it. Others are left alone.
ours() {
  [[ -d $venv ]] || return 1
  [[ -e $venv/.gen_jax-lock || -e $venv/.gen_jax-stamp || -z $(ls -A "$venv") ]]
}

ready() {
  local stamp have minor
  [[ -r $venv/.gen_jax-stamp ]] || return 1
  minor=$(minor_of "$venv/bin/python") || return 1
  if [[ -n ${GEN_JAX_PYTHON-} && $(minor_of "$GEN_JAX_PYTHON") != "$minor" ]]; then return 1; fi
  stamp=$(<"$venv/.gen_jax-stamp")
  have=${stamp%%$'\n'*}
  [[ ${stamp#*$'\n'} == "$(contents "$minor")" ]] || return 1
  [[ $have == "$accelerator" || $accelerator == cpu ]] && [[ -z $(missing) ]]
}

# Whether packages can be added to what is there. Sets `minor`.
usable() {
  minor=$(minor_of "$venv/bin/python") && ((minor >= 12)) || return 1
  if [[ -n ${GEN_JAX_PYTHON-} && $(minor_of "$GEN_JAX_PYTHON") != "$minor" ]]; then return 1; fi
  "$venv/bin/python" -m pip --version >/dev/null 2>&1
}

create() {
  rm -rf "${venv:?}/bin" # first, so that what a kill leaves here is not taken for an environment
  find "$venv/" -mindepth 1 -maxdepth 1 ! -name .gen_jax-lock -exec rm -rf {} +
  if "$interpreter" -I -c 'import ensurepip, venv' 2>/dev/null; then
    "$interpreter" -I -m venv "$venv"
  elif type -P virtualenv >/dev/null; then
    virtualenv --quiet --python "$interpreter" "$venv"
  else
    uv venv --quiet --seed --allow-existing --python "$interpreter" "$venv"
  fi || fail "$interpreter could not make $venv"
}

install() {
  local jax=jax other others=() gone="" name site
  # What would send the packages elsewhere, or nowhere; the index and the proxy stay the user's.
  unset PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_DRY_RUN PIP_NO_DEPS PIP_PYTHON
  if usable; then
    gone=$(missing)
    if [[ -n $gone ]]; then
      note "missing from $venv: ${gone//$'\n'/, }"
    else
      note "bringing $venv up to date for $accelerator"
    fi
    rm -f "$venv/.gen_jax-stamp"
  else
    find_python
    note "making $venv with $interpreter for $accelerator: some minutes, once"
    rm -f "$venv/.gen_jax-stamp"
    create
  fi
  # pip writes INSTALLER after a package's files: without it, an install was cut short, and pip
  # would take the package for complete.
  for other in "$venv"/lib/python3.*/site-packages/*.dist-info; do
    [[ ! -d $other || -e $other/INSTALLER ]] || rm -rf "$other"
    # Nor would it look whether what it once put there still is.
    while IFS= read -r name; do
      if [[ -n $name ]] && grep -qs "^${name}[/,]" "$other/RECORD"; then rm -rf "$other"; fi
    done <<<"$gone"
  done
  if [[ $accelerator != cpu ]]; then jax="jax[$accelerator]"; fi
  local pip=("$venv/bin/python" -I -m pip --disable-pip-version-check --no-input -qq)
  "${pip[@]}" install --retries 2 "$jax$pin" -r requirements.txt ||
    fail "pip could not install requirements.txt (is the network there?)"
  for other in jax-cuda12-plugin jax-cuda12-pjrt jax-cuda13-plugin jax-cuda13-pjrt libtpu; do
    [[ $other == *"$accelerator"* ]] || others+=("$other")
  done
  "${pip[@]}" uninstall -y "${others[@]}" || fail "pip could not remove other accelerators"
  site=("$venv"/lib/python3.*/site-packages)
  [[ -d ${site[0]}/jax && -d ${site[0]}/flax ]] ||
    fail "pip put the packages elsewhere, not into $venv: see what '$venv/bin/pip config list' says"
  (cd "${site[0]}" && printf '%s\n' [!_]*) >"$venv/.gen_jax-packages"
  { echo "$accelerator" && contents "$minor"; } >"$venv/.gen_jax-stamp.new" &&
    mv "$venv/.gen_jax-stamp.new" "$venv/.gen_jax-stamp" || exit 1
}

environment() {
  venv=$1 pin=$2 machine_note=""
  if [[ -e $venv || -L $venv ]] && ! ours; then
    fail "$venv is no environment that this script made, and is left as it is: move it away"
  fi
  choose_accelerator
  if ! ready; then
    mkdir -p "$venv"
    (
      if type -P flock >/dev/null && ! flock -n 9; then
        note "waiting for another start that builds $venv"
        flock 9
      fi
      ready || install
    ) 9>"$venv/.gen_jax-lock" || exit 1
  fi
  if [[ -n $machine_note && -w $venv ]]; then echo "$machine_note" >"$venv/.gen_jax-machine"; fi
  # shellcheck disable=SC2034 # for the script that sources this one
  python=$venv/bin/python
}

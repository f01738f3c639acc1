#!/usr/bin/env bash
# StyleGAN and progressive growing on CIFAR-10 at 32x32, some minutes each of one GPU:
#
#   benchmarks/gans.sh [--accelerator=cpu|cuda12|cuda13|tpu] [--minutes=30] [ARGUMENTS]
#
# Each is trained, measured and drawn in runs/gans/; the same command goes on where it ended.
# ARGUMENTS go to both, such as pictures of one's own instead of TFDS's:
#   --config.data.name=folder --config.data.path=FILE.zip --config.data.resolution=32
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=../launch/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/../launch/environment.sh"

accelerator=${accelerator:-cuda13} minutes=30
while (($#)); do
  if [[ $1 == --minutes=* ]]; then
    minutes=${1#*=}
  else
    eat_option "$1" || break
  fi
  shift
done
[[ $minutes =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "--minutes takes a number, not '$minutes'"
environment .venv ""

for system in stylegan progan; do
  command=("$python" -m gen_jax.main --config "configs/$system.py:cifar10" "$@" --workdir "runs/gans/$system")
  status=0
  timeout --signal=TERM "${minutes}m" "${command[@]}" || status=$?
  case $status in
    0) ;; # to its end, with its measures and pictures
    124) # saved, and not at its end; measured if it has come to the last resolution
      "${command[@]}" --mode=sample --n=64
      "${command[@]}" --mode=evaluate || note "$system has not come to 32x32: start this again"
      ;;
    *) exit $status ;;
  esac
done
"$python" -m gen_jax.main compare runs/gans/stylegan runs/gans/progan

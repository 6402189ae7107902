#!/bin/sh
# Resolve pyproject.toml anew into requirements.lock and requirements-dev.lock, for every platform, with hashes.
#
# torch and what only its CUDA wheel needs are left out (see install.sh). uv, which resolves in seconds what takes pip
# minutes, lives in an environment of its own.
set -eu
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"${PYTHON:-python3}" -m venv "$tools"
"$tools/bin/python" -m pip install --quiet uv

omit=
for package in torch triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti \
    nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver \
    nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx; do
    omit="$omit --no-emit-package $package"
done
# Versions that stand are kept; `UPGRADE=--upgrade make lock` takes the newest.
# shellcheck disable=SC2086
compile() {
    "$tools/bin/uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header \
        --no-annotate $omit ${UPGRADE:-} "$@"
}
compile -o requirements.lock
compile --extra dev -c requirements.lock -o requirements-dev.lock

#!/usr/bin/env bash
# What a CUDA GPU has to say, in at most eight minutes on a large one: tests/gpu, then every method on a random model of
# bert-large's size.
#
#     benchmarks/gpu.sh [FOLDER]
#
# FOLDER, or $OUT, or gpu-results: where leaderboard.csv, tests.txt and the results folder are left.
# GPU_PROFILE: a profile (auto). GPU_SIZE: large or tiny. GPU_DRY_RUN=1: all of it on a CPU, with a tiny model, to see
# that this script works. The exit status is not 0 where a test or a cell failed.
set -uo pipefail

out=$(realpath -m "${1:-${OUT:-gpu-results}}")
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
if [ "${GPU_DRY_RUN:-0}" = 1 ]; then
    GPU_PROFILE=${GPU_PROFILE:-cpu} GPU_SIZE=${GPU_SIZE:-tiny}
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out" || exit 1
failed=0

(cd "$root" && timeout -s INT 200 python -m pytest -m gpu -n 0 -q tests/gpu) 2>&1 | tee "$out/tests.txt" || failed=1

python "$root/benchmarks/gpu_setting.py" "$work" "${GPU_SIZE:-large}" || exit 1
cd "$work" || exit 1  # so that records name the model and the task without a folder
timeout -s INT 240 python -m bench run --suite gpu.toml --plugin marked.py --profile "${GPU_PROFILE:-auto}" \
    --timeout 60 --results "$out/results" || failed=1
cp "$out/results/leaderboard.csv" "$out/" || failed=1
echo "Written to $out: leaderboard.csv, tests.txt, results/"
exit $failed

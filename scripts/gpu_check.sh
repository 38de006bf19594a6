#!/usr/bin/env bash
# Checks everything that needs a GPU, in one command of at most nine minutes, without a network: builds, runs the tests
# on the device, looks for wrong accesses and races with compute-sanitizer, times steps beside PyTorch, and writes
# benchmarks/results/<gpu>.md. If a stage fails, the others still run; the exit status is then not 0.
#
#   scripts/gpu_check.sh [--commit NAME] [--emulated]
#
# --commit    the name of the commit, if the tree is not a git repository
# --emulated  a dry run without a GPU: uses the emulated library and tiny sizes, and keeps no result
#
# Logs and results go to $OUT, or to build/gpu-check; PYTHON is the interpreter (python3). It needs NumPy, pybind11,
# scikit-build-core, CMake, nvcc and pytest; PyTorch and compute-sanitizer are used if they are installed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

emulated=no commit=
while (($#)); do
  case $1 in
    --emulated) emulated=yes ;;
    --commit) commit=${2:?--commit: expected a name} && shift ;;
    *) echo "unknown: $1; see the head of $0" >&2 && exit 2 ;;
  esac
  shift
done

python=${PYTHON:-python3}
work=$PWD/build/gpu-check
out=${OUT:-$work/out}
mkdir -p "$work" "$out"
stages=$work/stages.tsv
: >"$stages"
rm -rf "$work/site" "$work/tests.xml" "$work/gpu.md" "$out"/{gpu.json,{build,tests,sanitizer,exercise,times}.log}
failures=0 warming=

# Seconds that each stage may take. The last stage, the timing, also gets the seconds that others leave.
declare -A limits=([build]=120 [tests]=180 [sanitizer]=90 [times]=110)
total=515
if [[ $emulated == yes ]]; then
  limits=([build]=1500 [tests]=900 [sanitizer]=600 [times]=600)
  total=3600
fi

export PYTHONPATH=$work/site PYTHONUNBUFFERED=1 FASTNN_DEVICE=cuda
export TORCHINDUCTOR_CACHE_DIR=$work/inductor

# note NAME STATUS SECONDS WORDS: writes a line of the result.
note() { printf '%s\t%s\t%s\t%s\n' "$@" >>"$stages"; }

# limited SECONDS COMMAND...: after that time, interrupts the command as Ctrl-C does, then kills it and all processes
# that it has left. Under job control the command is a group of processes, in which Ctrl-C is not ignored.
limited() {
  local group status
  set -m
  timeout --signal=INT --kill-after=5 "$@" &
  group=$!
  set +m
  trap 'kill -INT "$group"; exit 130' INT TERM
  wait "$group"
  status=$?
  trap - INT TERM
  kill -KILL -- "-$group" 2>/dev/null
  return "$status"
}

# stage NAME COMMAND...: runs the command within the time of the stage; its output goes to NAME.log.
stage() {
  local name=$1 began=$SECONDS status limit=${limits[$1]} words=passed
  shift
  printf '== %s (at most %s s)\n' "$name" "$limit"
  limited "$limit" "$@" >"$out/$name.log" 2>&1
  status=$?
  if ((status == 124 || status == 137)); then
    words="ended after its $limit s"
  elif ((status != 0)); then
    words="failed (status $status)"
  fi
  ((status == 0)) || { failures=$((failures + 1)) && tail -n 15 "$out/$name.log"; }
  note "$name" "$status" "$((SECONDS - began))" "$words"
}

# The architectures of this machine's GPUs in nvcc's notation; Hopper's if they are not known.
architectures() {
  local found
  found=$("$python" cmake/gpus.py 2>/dev/null) || found=90a
  printf '%s-real' "${found//;/-real;}"
}

build() {
  local options=(-C fastnn.cuda=on -C "cmake.define.CMAKE_CUDA_ARCHITECTURES=$(architectures)")
  [[ $emulated == yes ]] && options=(-C fastnn.cuda=off)
  stage build "$python" -m pip install --no-build-isolation --no-deps --disable-pip-version-check --no-compile \
    --target "$work/site" "${options[@]}" .
  if [[ $emulated == yes ]]; then
    FASTNN_CUDA_LIBRARY=$("$python" tests/emulator.py 2>>"$out/build.log") || failures=$((failures + 1))
    export FASTNN_CUDA_LIBRARY FASTNN_PEER_DEVICE=cpu
  fi
}

# Compiles PyTorch's programs for the timing while the tests run: its compiler is slow, but caches its results.
warm() {
  [[ $emulated == yes ]] && return
  timeout --kill-after=5 400 "$python" -m benchmarks.workers.torch_gpu warm >"$work/warm.log" 2>&1 &
  warming=$!
}

end_warming() {
  [[ -n $warming ]] || return
  if kill "$warming" 2>/dev/null; then echo "(PyTorch's compiler had not finished)"; fi
  wait "$warming" 2>/dev/null
}

# Runs all tests except those that use no device (instruction sets, threads and sessions of the CPU, the build, the
# benchmarks) and those that build the emulator.
tests() {
  local options=(-q -p no:cacheprovider -m "not cpu" --junitxml="$work/tests.xml") chosen=(tests)
  # Other installed plugins may warn, and warnings are errors.
  export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
  local not_here=(console listing isa threads pool bf16 build build_cuda benchmarks examples demo sessions.py)
  local name emulated_ones
  for name in "${not_here[@]}"; do options+=(--ignore-glob="tests/test_$name*"); done
  mapfile -t emulated_ones < <(grep -lE '^(import|from) emulator|^def test_.*[(, ]emulated[,)]' tests/test_*.py)
  options+=("${emulated_ones[@]/#/--ignore=}")
  if "$python" -c 'import xdist' 2>/dev/null; then options+=(-p xdist.plugin -n 8); fi
  if "$python" -c 'import pytest_timeout' 2>/dev/null; then options+=(-p pytest_timeout --timeout=60 --timeout-method=thread); fi
  if [[ $emulated == yes ]]; then
    chosen=(tests/test_losses.py tests/test_trajectory.py -k "mean_squared_error or trajectory")
  fi
  stage tests "$python" -m pytest "${options[@]}" "${chosen[@]}"
}

# Runs the three tools at once, each with its own process and log, in the shell that `stage` starts.
# shellcheck disable=SC2329
sanitize() {
  local tool tools=(memcheck racecheck synccheck) running=() status=0 k
  for tool in "${tools[@]}"; do
    compute-sanitizer --tool "$tool" --target-processes all --error-exitcode 9 --print-limit 20 \
      "$python" scripts/gpu_exercise.py >"$work/$tool.log" 2>&1 &
    running+=($!)
  done
  trap 'kill "${running[@]}" 2>/dev/null' INT TERM
  for k in "${!tools[@]}"; do
    wait "${running[k]}" || { status=1 && echo "${tools[k]}: failed"; }
  done
  for tool in "${tools[@]}"; do
    printf '\n== %s\n' "$tool"
    head -c 4000000 "$work/$tool.log"
  done
  return "$status"
}

sanitizer() {
  if [[ $emulated == yes ]]; then
    stage exercise "$python" scripts/gpu_exercise.py
  elif command -v compute-sanitizer >/dev/null; then
    export -f sanitize
    export python work
    stage sanitizer bash -c 'set -uo pipefail; sanitize'
  else
    echo "== sanitizer: compute-sanitizer is not installed"
    note sanitizer - 0 "skipped: compute-sanitizer is not installed"
    stage exercise "$python" scripts/gpu_exercise.py
  fi
}

times() {
  local options=(--json "$out/gpu.json" --markdown "$work/gpu.md")
  local left=$((total - SECONDS))
  if ((left > limits[times])); then limits[times]=$left; fi
  options+=(--limit "$((limits[times] - 15))")
  [[ $emulated == yes ]] && options+=(--tiny --rounds 1 --seconds 0.001 --rows "iris,binary")
  stage times "$python" -m benchmarks.gpu "${options[@]}"
}

limits[exercise]=${limits[sanitizer]}
build
warm
tests
sanitizer
end_warming
times

result=("$python" scripts/gpu_result.py "$work" "$out" --commit "$commit")
[[ $emulated == yes ]] || result+=(--keep)
"${result[@]}" || failures=$((failures + 1))
echo "logs: $out; $SECONDS s in all"
exit "$((failures > 0))"

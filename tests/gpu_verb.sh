#!/usr/bin/env bash
# usage: gpu_verb.sh BUILD_SH WORK
#
# Rehearses `build.sh gpu` with stand-ins for the compiler, the GPU and what runs on it: every stage
# is listed, what takes too long is cut, what shows nothing fails, and the whole ends in its time.
# shellcheck disable=SC2317
set -euo pipefail
build_sh=$1
work=$2

die() { printf 'gpu_verb.sh: %s\n' "$*" >&2; exit 1; }

# stand_in NAME: standard input as a program on the path.
stand_in() {
  { printf '#!/usr/bin/env bash\n' && cat; } >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}

make_stand_ins() {
  rm -rf "$work"
  mkdir -p "$work/bin"
  stand_in nvidia-smi <<'STAND_IN'
[[ -z ${NO_GPU-} ]] || exit 9
if [[ $1 == -L ]]; then echo "GPU 0: stand-in"; else echo 9.0; fi
STAND_IN
  stand_in nproc <<<'echo 4'
  stand_in cmake <<'STAND_IN'
printf 'cmake %s\n' "$*"
[[ $1 == --build ]] || exit 0
mkdir -p build-gpu/tests
here=$(dirname "$0")
for name in ceilings train bench; do cp "$here/$name" "build-gpu/natgrad-$name"; done
for name in backend graph io; do cp "$here/tests" "build-gpu/tests/gpu_${name}_tests"; done
STAND_IN
  stand_in ceilings <<'STAND_IN'
for section in "$@"; do echo "${section}_a 1024 1.0 us"; done
[[ $1 != capture ]] || echo "capture_b 1024: instantiated, launch 1 equal, launch 2 equal"
STAND_IN
  stand_in train <<'STAND_IN'
while (($# > 1)); do
  [[ $1 != --metrics ]] || file=$2
  shift
done
for ((i = 0; i < 10; i++)); do echo "{\"step\": $i, \"loss\": 0.$((9 - i))5}"; done >"$file"
STAND_IN
  stand_in bench <<'STAND_IN'
for argument in "$@"; do
  [[ $argument != --benchmark_out=* ]] || file=${argument#*=}
done
exec >"$file"
printf '{\n  "context": {},\n  "benchmarks": [\n    {"name": "a", "aggregate_name": "median"}'
[[ -z ${BENCH_HANGS-} ]] || sleep 1000
printf ',\n    {"name": "b", "aggregate_name": "median"}\n  ]\n}\n'
STAND_IN
  # 230 tests in `backend`, 3 in the others.
  stand_in tests <<'STAND_IN'
tests=3
[[ $0 != *backend* ]] || tests=230
case ${GTEST_FILTER-} in
  *copy*) tests=2 ;;
  none*) tests=0 ;;
esac
if [[ ${1-} == --gtest_list_tests ]]; then
  echo operations.
  for ((i = 0; i < tests; i++)); do echo "  t$i"; done
  exit
fi
mine=()
for ((i = ${GTEST_SHARD_INDEX-0}; i < tests; i += ${GTEST_TOTAL_SHARDS-1})); do mine+=("$i"); done
echo "[==========] Running ${#mine[@]} tests from 1 test suite."
for i in "${mine[@]}"; do
  echo "[ RUN      ] operations.t$i"
  if [[ $0 == *${TEST_HANGS:-no}* && $i == 1 ]]; then sleep 1000; fi
  if [[ $0 == *${TEST_SKIPS:-no}* && $i == 1 ]]; then
    echo "[  SKIPPED ] operations.t$i (0 ms)"
    unset 'mine[-1]'
    continue
  fi
  echo "[       OK ] operations.t$i (0 ms)"
done
echo "[  PASSED  ] ${#mine[@]} tests."
STAND_IN
  stand_in compute-sanitizer <<'STAND_IN'
echo "========= COMPUTE-SANITIZER"
[[ ${SANITIZER-} != unusable ]] || exit 1
"${@: -1}" || exit
if [[ ${SANITIZER-} == reports && $* == *initcheck* ]]; then
  echo "========= Uninitialized __global__ memory read of size 4 bytes"
  echo "=========     at void natgrad::kernels::add<float>(float*)+0x10"
fi
echo "========= ERROR SUMMARY: 0 errors"
STAND_IN
}

# start NAME [VARIABLE=VALUE...]: the verb, as `verb`, in a folder and a session of its own and
# without what the caller set.
start() {
  tree=$work/$1
  table=$tree/out/stages.txt
  mkdir -p "$tree"
  cp "$build_sh" "$tree/build.sh"
  setsid env -u STAGES -u BENCHMARKS -u SANITIZED -u CUDAARCHS -u GPU_SECONDS \
    PATH="$work/bin:$PATH" OUT="$tree/out" "${@:2}" "$tree/build.sh" gpu -DOWN=1 \
    >"$tree/output" 2>&1 &
  verb=$!
}

# finish EXPECTED_STATUS: nothing is left running either.
finish() {
  local status=0 try
  wait "$verb" || status=$?
  [[ $status == "$1" ]] || die "exit code $status instead of $1: $(cat "$tree/output")"
  for ((try = 0; try < 50; try++)); do
    [[ -n $(find /proc/[0-9]*/cwd -maxdepth 0 -lname "$tree" 2>/dev/null) ]] || return 0
    sleep 0.1
  done
  die "something is left running in $tree"
}

# try NAME EXPECTED_STATUS [VARIABLE=VALUE...]
try() {
  start "$1" "${@:3}"
  finish "$2"
}

# ended STAGE RESULT [DETAIL]
ended() {
  grep -qE "^$1 +$2 +[-0-9]+ *.*${3-}" "$table" || die "no line $1, $2, ${3-}: $(cat "$table")"
}

json_is_whole() {
  [[ $(head -c 1 "$1") == '{' && $(tail -n 2 "$1" | tr -d ' \n') == ']}' ]] || die "$1: $(cat "$1")"
}

everything_passes() {
  try passes 0
  local stage out=$work/passes/out
  for stage in build float double; do ended "$stage" passed; done
  ended ceilings passed '7 lines, 1 of 2 captures replayed alike'
  ended tests passed '236 of 236 tests passed, in 5 processes'
  ended benchmarks passed '2 medians'
  ended tf32 passed '2 medians'
  for stage in memcheck racecheck initcheck; do
    ended "$stage" passed '230 of 230 tests passed, in 4 processes'
    grep -q "^== $stage.4: passed, 57 of 57 tests" "$out/sanitizers.txt" || die "no shard of $stage"
  done
  [[ $(wc -l <"$table") == 11 ]] || die "a stage too many or too few: $(cat "$table")"
  # The table comes last, in the log too, and what comes back are few files.
  [[ $(tail -n 11 "$out/log.txt") == "$(<"$table")" ]] || die "the log ends otherwise"
  [[ $(tail -n 11 "$work/passes/output") == "$(<"$table")" ]] || die "the output ends otherwise"
  (($(find "$out" -type f | wc -l) <= 8)) || die "too many files: $(ls "$out")"
  json_is_whole "$out/benchmarks.json"
  grep -q 'cmake --preset default .*-DCMAKE_CUDA_ARCHITECTURES=90 -DOWN=1' "$out/log.txt" ||
    die "not configured for one architecture"
}

# Also one that does not get its quarter is listed.
what_takes_too_long_is_cut() {
  local begin=$SECONDS
  try slow 1 TEST_HANGS=graph BENCH_HANGS=1 GPU_SECONDS=15 \
    STAGES="tests:4 benchmarks:2 float:20 memcheck:100"
  ended tests cut '234 of 236 tests passed'
  ended benchmarks cut '1 medians'
  ended float passed
  ended memcheck 'not run' 'it may take 100 s'
  ((SECONDS - begin <= 15)) || die "it took $((SECONDS - begin)) s of 15"
  json_is_whole "$work/slow/out/benchmarks.json"
  grep -q '^graph.1: exit code 124, last test: operations.t1$' "$work/slow/out/log.txt" ||
    die "the test that hangs is not named"
}

what_shows_nothing_fails() {
  try skips 1 TEST_SKIPS=io STAGES=tests
  ended tests FAILED '235 of 236'
  try no_test 1 SANITIZED=none STAGES=memcheck
  ended memcheck FAILED '0 of 0'
  try reports 1 SANITIZER=reports STAGES="memcheck initcheck"
  ended memcheck passed
  ended initcheck FAILED '230 of 230 tests passed, in 4 processes, 4 of these failed'
  grep -q 'at void natgrad::kernels::add' "$work/reports/out/sanitizers.txt" || die "no report"
  try unusable 1 SANITIZER=unusable STAGES="memcheck racecheck"
  ended memcheck skipped
  ended racecheck skipped
  try no_gpu 1 NO_GPU=1
  ended build passed
  ended initcheck 'no GPU'
}

# The table still comes, and nothing is left running.
a_signal_ends_it() {
  local try
  start signal TEST_HANGS=graph
  for ((try = 0; try < 300; try++)); do
    ! grep -q 'tests, at most' "$tree/output" || break
    sleep 0.1
  done
  kill -TERM -- "-$verb"
  finish 143
  ended ceilings passed
  ended tests cut
  ended initcheck 'not run'
  [[ $(tail -n 11 "$tree/output") == "$(<"$table")" ]] || die "the output ends otherwise"
}

make_stand_ins
cases=(everything_passes what_takes_too_long_is_cut what_shows_nothing_fails a_signal_ends_it)
running=()
for case in "${cases[@]}"; do
  "$case" &
  running+=($!)
done
failed=0
for i in "${!cases[@]}"; do
  if wait "${running[i]}"; then
    echo "passed: ${cases[i]}"
  else
    echo "FAILED: ${cases[i]}"
    failed=1
  fi
done
exit "$failed"

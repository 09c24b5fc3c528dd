#!/usr/bin/env bash
# Sets up, builds, trains, tests and times natgrad on Debian 12 or Ubuntu 24.04.
# The flags of every build stand in CMakePresets.json.
set -euo pipefail
caller=$PWD
cd -P "$(dirname "${BASH_SOURCE[0]}")"
root=$PWD

# make: what cmake takes for a project that names no generator.
packages=(g++ cmake make ninja-build ccache libopenblas-openmp-dev libcli11-dev nlohmann-json3-dev
  libfmt-dev zlib1g-dev libgtest-dev libbenchmark-dev librandom123-dev pkgconf)
# libomp-dev holds the omp.h that clang's tools read; nothing is linked with it.
# For tests/requirements.txt: what tests in Python import.
test_packages=(python3 python3-venv)
# abigail-tools compares the ABI of the C interface.
ci_packages=(git clang clang-tidy clang-format libomp-dev abigail-tools)

usage() {
  cat <<'END'
usage: ./build.sh VERB [arguments]

  setup            install the packages that are missing (apt-get, as root or through sudo, which
                   may ask for a password where there is a terminal; else: sudo -v before)
  build [args]     setup, configure and build into build/; args go to cmake, as -DNATGRAD_CUDA=OFF
  train [args]     build, train the digits on ten splits, print the mean test accuracy;
                   args go to natgrad-train
  test  [args]     build and run the tests but outside.*; args go to ctest, as -R fisher
  bench [args]     build and run the benchmarks; args go to natgrad-bench
  ci               formatting, warnings as errors, clang-tidy, sanitizers, each with its tests
  torch [args]     natgrad beside LibTorch, in build-torch/, with torch's wheel from PyPI (5.4 GB on
                   disk): the tests of natgrad/torch.hpp against a shared and a static natgrad; args
                   go to ctest
  gpu   [args]     what needs a GPU, in build-gpu/: its own rates, the tests, training against the
                   CPU's, benchmarks, compute-sanitizer; within GPU_SECONDS (default 480); a table
                   comes last and goes, with their results, to $OUT or build-gpu/; args go to cmake.
                   STAGES="tests memcheck:200" runs these alone, the latter for up to 200 s;
                   BENCHMARKS and SANITIZED choose by name what both are about. Installs nothing: see
                   the comment above gpu() for libraries in a prefix
END
}

# A line before everything that takes long, with the seconds since the start.
say() { printf '== %3d s: %s\n' "$SECONDS" "$*"; }
die() { printf 'build.sh: %s\n' "$*" >&2; exit 1; }

installed() { [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

install_missing() {
  if ! command -v dpkg-query >/dev/null; then
    say "not Debian or Ubuntu; what these packages hold is taken to be there: $*"
    return
  fi
  local package missing=() as_root=()
  for package in "$@"; do
    installed "$package" || missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  [[ $(id -u) -eq 0 ]] || as_root=(sudo)
  # Without the option apt-get takes a repository that it cannot reach for none.
  local update=("${as_root[@]}" apt-get -q -y -o APT::Update::Error-Mode=any update)
  local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install
    --no-install-recommends "${missing[@]}")
  local line="${update[*]} && ${install[*]}"
  if [[ ${#as_root[@]} -gt 0 ]]; then
    command -v sudo >/dev/null || die "there is no sudo here; please run as root: ${line//sudo /}"
    if ! sudo -n true 2>/dev/null; then
      [[ -t 0 ]] || die "sudo asks for a password and there is no terminal: run sudo -v first, or $line"
      say "sudo asks for your password, to install: ${missing[*]}"
      sudo -v || die "without sudo, please run as root: ${line//sudo /}"
    fi
  fi
  say "installing: $line"
  "${update[@]}" </dev/null ||
    die "the package lists could not be updated (no network?), so nothing was installed; this was run: $line"
  "${install[@]}" </dev/null || die "the packages could not be installed; this was run: $line"
}

setup() {
  install_missing "${packages[@]}"
}

# What is built, as cmake --build takes it; empty: all.
targets=()

# compile PRESET [cmake arguments]
compile() {
  local preset=$1
  shift
  if command -v ccache >/dev/null; then
    export CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER-ccache}
    export CMAKE_CUDA_COMPILER_LAUNCHER=${CMAKE_CUDA_COMPILER_LAUNCHER-ccache}
  fi
  # What ccache asks for where headers are precompiled.
  export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS-pch_defines,time_macros}
  say "configuring the preset $preset"
  cmake --preset "$preset" "$@"
  say "building the preset $preset"
  cmake --build --preset "$preset" "${targets[@]}"
}

build() {
  setup
  compile default
}

# The test accuracy on the last line of a metrics file, which must be marked as final.
final_accuracy() {
  tail -n 1 "$1" | sed -n '/"final": *true/s/.*"test_accuracy": *\([0-9.eE+-]*\).*/\1/p'
}

# Shows the run on split 0, the default; the others train quietly.
train() {
  local targets=(--target natgrad-train)
  setup
  compile default
  cd "$caller"
  local split accuracy quiet=()
  say "training on ten splits of the digits, the first one with its progress"
  metrics=$(mktemp -d)
  trap 'rm -rf "$metrics"' EXIT
  for split in {0..9}; do
    "$root/build/natgrad-train" digits --split "$split" --metrics "$metrics/$split.jsonl" \
      "${quiet[@]}" "$@"
    accuracy=$(final_accuracy "$metrics/$split.jsonl")
    [[ -n $accuracy ]] || die "the metrics of split $split do not end with a final test accuracy"
    printf 'split %d: test accuracy %s\n' "$split" "$accuracy"
    printf '%s\n' "$accuracy" >>"$metrics/accuracies"
    quiet=(--quiet)
  done
  LC_ALL=C awk '{ sum += $1 } END { printf "mean test accuracy over %d splits: %.4f\n", NR, sum / NR }' \
    "$metrics/accuracies"
}

# What tests in Python import, in build/python/: without it, as without network, they are skipped.
set_up_python() {
  local folder=$root/build/python
  python=()
  if [[ ! -f $folder/complete || tests/requirements.txt -nt $folder/complete ]]; then
    say "Python packages for the tests, into build/python/"
    if ! { python3 -m venv "$folder" && "$folder/bin/pip" install -q -r tests/requirements.txt &&
      touch "$folder/complete"; }; then
      say "they could not be installed, so that tests in Python are skipped"
      return
    fi
  fi
  python=(-DNATGRAD_PYTHON="$folder/bin/python")
}

run_tests() {
  install_missing "${packages[@]}" "${test_packages[@]}"
  set_up_python
  compile default "${python[@]}"
  say "testing"
  # What builds projects of their own takes a third of the time: the verb ci runs it.
  if [[ $# -eq 0 ]]; then set -- --label-exclude outside; fi
  ctest --preset default "$@"
}

# Standard output is the benchmarks' alone, so that it can be redirected.
bench() {
  build >&2
  cd "$caller"
  "$root/build/natgrad-bench" "$@"
}

check_format() {
  local tool version
  tool=$(command -v clang-format-14 || command -v clang-format || true)
  version=$([[ -z $tool ]] || "$tool" --version | sed -n 's/.*version \([0-9]*\).*/\1/p')
  if [[ $version != 14 ]]; then
    say "SKIPPED: formatting is checked with clang-format 14 only, found: ${version:-none}"
    return
  fi
  say "clang-format"
  git ls-files -z --cached --others --exclude-standard '*.hpp' '*.cpp' '*.cu' '*.h' '*.c' |
    xargs -0 -r "$tool" --dry-run -Werror
}

# Prints only for a file that fails: clang-tidy counts what it suppressed for every other.
tidy_file() {
  local output
  output=$(clang-tidy --quiet -p build-ci "$1" 2>&1) && return
  printf '%s\nclang-tidy failed: %s\n' "$output" "$1"
  return 1
}

check_tidy() {
  say "clang-tidy"
  export -f tidy_file
  # shellcheck disable=SC2016
  sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' build-ci/compile_commands.json |
    grep -F "$root/src/" | sort -u |
    xargs -r -n 1 -P "$(nproc)" bash -c 'tidy_file "$1"' tidy_file
}

# header_alone FILE COMPILER [arguments]: a header twice in a row, a program once; through standard
# input, because g++ warns of #pragma once in a main file.
header_alone() {
  local lines
  printf -v lines '#include "%s"\n' "$1"
  if [[ $1 == *.hpp ]]; then lines+=$lines; fi
  printf '%s' "$lines" |
    "${@:2}" -x c++ -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Wconversion \
      -Wsign-conversion -Werror -Iinclude -Ibuild-ci/include -
}

check_headers() {
  local compiler nvcc toolkit=() without=(! -name cuda.hpp ! -path '*/torch*')
  export -f header_alone
  if nvcc=$(command -v nvcc); then
    toolkit=(-isystem "$(dirname "$(readlink -f "$nvcc")")/../include")
    without=(! -path '*/torch*')
  fi
  for compiler in g++ clang++; do
    say "public headers, each alone, and a program that uses them, with $compiler"
    # shellcheck disable=SC2016
    find "$root/include" "$root/build-ci/include" "$root/tests/outside" \
      \( -name '*.[hc]pp' -o -name '*.h' \) "${without[@]}" -print0 |
      xargs -0 -I {} -P "$(nproc)" bash -c 'header_alone "$@"' header_alone \
        {} "$compiler" "${toolkit[@]}"
  done
}

# Torch's wheel, in an environment of its own, and natgrad installed beside it, of either kind: whose
# BLAS torch finds depends on it (docs/linking.md). Without CUDA, for the wheel brings its own.
torch() {
  local folder=$root/build-torch kind shared torch_cmake
  install_missing "${packages[@]}" "${test_packages[@]}"
  if [[ ! -f $folder/python/complete ]]; then
    say "torch from PyPI into build-torch/python/, 5.4 GB"
    python3 -m venv "$folder/python"
    "$folder/python/bin/pip" install -q torch numpy
    touch "$folder/python/complete"
  fi
  torch_cmake=$("$folder/python/bin/python" -c 'import torch; print(torch.utils.cmake_prefix_path)')
  for kind in shared static; do
    [[ $kind == shared ]] && shared=ON || shared=OFF
    say "natgrad as a $kind library, installed into build-torch/$kind/prefix"
    cmake -G Ninja -S . -B "$folder/$kind/natgrad" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=$shared \
      -DNATGRAD_CUDA=OFF -DNATGRAD_BUILD_TRAINER=OFF -DNATGRAD_BUILD_BENCH=OFF -DNATGRAD_BUILD_TESTS=OFF
    cmake --build "$folder/$kind/natgrad"
    cmake --install "$folder/$kind/natgrad" --prefix "$folder/$kind/prefix" >"$folder/$kind/install.log"
    say "programs that link it and torch"
    cmake -G Ninja -S tests/torch -B "$folder/$kind/tests" \
      -DCMAKE_PREFIX_PATH="$folder/$kind/prefix;$torch_cmake" >"$folder/$kind/configure.log" 2>&1 ||
      die "they could not be configured: see build-torch/$kind/configure.log"
    cmake --build "$folder/$kind/tests"
    ctest --test-dir "$folder/$kind/tests" --output-on-failure "$@"
  done
}

# The stages, what each finds and what it costs: docs/ci.md.
ci() {
  local runner=()
  install_missing "${packages[@]}" "${ci_packages[@]}"
  check_format
  compile default
  say "testing the documented commands, and projects that link the library"
  ctest --preset default --label-regex outside
  say "warnings as errors, shared library"
  compile ci
  check_headers
  say "ABI of the C interface"
  bindings/c/abi.sh check build-ci/src/libnatgrad.so
  check_tidy
  say "AddressSanitizer, UndefinedBehaviorSanitizer"
  compile asan
  say "testing with them"
  ctest --preset asan
  say "ThreadSanitizer"
  compile tsan
  # Some kernels randomize addresses further than it can follow.
  if setarch -R true 2>/dev/null; then runner=(setarch -R); fi
  say "testing with it"
  "${runner[@]}" ctest --preset tsan
  say "testing the shared library"
  ctest --preset ci
  if [[ -f build-torch/python/complete ]]; then torch; fi
}

# The stages of gpu(), in order of worth, each with the seconds that it may take of 480.
gpu_stages=(build:240 ceilings:45 tests:150 float:30 double:30 benchmarks:100 tf32:60 memcheck:90
  racecheck:60 initcheck:60)

# What is timed unless BENCHMARKS says otherwise: the stage ceilings has Cholesky at more sizes.
gpu_benchmarks='^step/mlp:(784|8x4096)|^gram/dense/n:4096'

# What runs under compute-sanitizer unless SANITIZED says otherwise, as a filter of GoogleTest: all
# operations but the largest, most of whose time goes into the reference on the host.
gpu_sanitized='-*_large_*:*_wider_*:*_many_terms_*'

# note STAGE RESULT SECONDS [DETAIL]
note() {
  local line
  printf -v line '%-11s %-8s %7s  %s' "$1" "$2" "$3" "${4-}"
  printf '%s\n' "${line%"${line##*[! ]}"}" >>"$out/stages.txt"
}

# within SECONDS COMMAND...: its status, 124 or 137 if its time ran out. It gets a group of
# processes of its own, of which none is left afterwards.
within() {
  local status=0
  timeout --kill-after=3 "$1" bash -uo pipefail -c '"$@"' bash "${@:2}" &
  group=$!
  wait "$group" || status=$?
  kill -KILL -- "-$group" 2>/dev/null || true
  group=
  return "$status"
}

# stage NAME COMMAND...: notes how it ends; the next one runs in any case. One with less than a
# quarter of its time left is not begun, but for the first.
stage() {
  local name=$1 seconds=${limits[$1]-} left=$((deadline - SECONDS)) status=0 result=FAILED took
  shift
  [[ -n $seconds ]] || return 0
  if [[ $name != build ]] && ((left < 1 || 4 * left < seconds)); then
    note "$name" "not run" - "$((left > 0 ? left : 0)) s left, it may take $seconds s"
    failed=1
    return
  fi
  ((seconds <= left)) || seconds=$left
  say "$name, at most $seconds s"
  running=$name began=$SECONDS
  : >"$logs/detail"
  export seconds
  within "$seconds" "$@" || status=$?
  running=
  took=$((SECONDS - began))
  # 137 is also what a process ends with that the system kills for want of memory.
  if ((status == 0)); then
    result=passed
  elif ((status == 3)); then
    result=skipped
  elif ((status == 124 || status == 137 && took >= seconds)); then
    result="cut"
  fi
  note "$name" "$result" "$took" "$(gpu_detail "$name")"
  [[ $result == passed ]] || failed=1
}

# What the table shows beside a stage, also if it was cut.
gpu_detail() {
  case $1 in
    ceilings)
      [[ ! -f $out/ceilings.txt ]] || printf '%d lines, %d of %d captures replayed alike' \
        "$(wc -l <"$out/ceilings.txt")" "$(grep -c '1 equal, launch 2 equal' "$out/ceilings.txt")" \
        "$(grep -c '^capture_' "$out/ceilings.txt")"
      ;;
    benchmarks | tf32)
      gpu_end_json "$out/$1.json"
      [[ ! -f $out/$1.json ]] ||
        printf '%d medians' "$(grep -c '"aggregate_name": "median"' "$out/$1.json")"
      ;;
    *) cat "$logs/detail" ;;
  esac
}

# What was cut between two benchmarks lacks no more than the end.
gpu_end_json() {
  [[ ! -s $1 || $(tail -n 1 "$1") == '}' ]] || printf '\n  ]\n}\n' >>"$1"
}

# Goes on after a file that cannot be compiled, so that the rest can be run, and removes what an
# earlier call has linked: what a stage runs was built now.
gpu_build() {
  local generator=() go_on=(-k 0)
  command -v ninja >/dev/null || generator=(-G "Unix Makefiles") go_on=(-k)
  rm -f build-gpu/natgrad-{ceilings,train,bench} build-gpu/tests/gpu_*_tests
  cmake --preset default "${generator[@]}" -B build-gpu -DNATGRAD_CUDA=ON \
    -DNATGRAD_TEST_EMULATED_CUDA=OFF "$@" &&
    cmake --build build-gpu --parallel "$(nproc)" \
      --target natgrad-ceilings gpu_tests natgrad-train natgrad-bench -- "${go_on[@]}"
}

# What can be captured comes first, in a process of its own with a third of the time: a capture that
# fails may leave a context that is of no more use.
gpu_ceilings() {
  {
    timeout --foreground --kill-after=1 $((seconds / 3 + 1)) build-gpu/natgrad-ceilings capture
    local captured=$?
    build-gpu/natgrad-ceilings launch syrk potrf gemm copy && ((captured == 0))
  } 2>&1 | tee "$out/ceilings.txt"
}

gpu_tests_in() { "$1" --gtest_list_tests | grep -c '^  '; }

# gpu_start NAME SHARD SHARDS COMMAND...: one of several processes of tests, for nine tenths of the
# stage's time; gpu_finish waits for them.
gpu_start() {
  local name=$1 limit=$((seconds * 9 / 10))
  ((limit > 0)) || limit=1
  processes+=("$name")
  {
    local begin=$SECONDS status=0
    GTEST_SHARD_INDEX=$2 GTEST_TOTAL_SHARDS=$3 OMP_NUM_THREADS=2 timeout --foreground \
      --kill-after=1 "$limit" "${@:4}" >"$logs/$name.log" 2>&1 || status=$?
    ((status != 137 || SECONDS - begin < limit)) || status=124
    printf '%d %d\n' "$status" $((SECONDS - begin)) >"$logs/$name.end"
  } &
}

# What a log says besides tests that are right, as far as it can be read.
gpu_excerpt() { grep -vE '^\[ +(RUN|OK) +\]|^\[-+\]' "$1" | head -c "$2"; }

gpu_last_test() { sed -n 's/^\[ RUN *\] //p' "$1" | tail -n 1; }

# gpu_verdict LOG STATUS TESTS PASSED SANITIZED. A test that is skipped has shown nothing, nor has a
# process without a test or a sanitizer without a summary. Kernels of cuBLAS and cuSOLVER may read
# uninitialized memory of their own: without an exit code for errors only those of kernels of
# natgrad count.
gpu_verdict() {
  if grep -qE '^\[  (FAILED|SKIPPED) |SKIPPED without' "$1" ||
    { [[ $5 == yes ]] && grep -qE '^=+ (.* )?at .*natgrad' "$1"; }; then
    echo FAILED
  elif (($2 == 124)); then
    echo cut
  elif (($2 != 0 || $3 == 0 || $3 != $4)) ||
    { [[ $5 == yes ]] && ! grep -qE '^=+ .*SUMMARY:' "$1"; }; then
    echo FAILED
  else
    echo passed
  fi
}

# gpu_finish SANITIZED: says of each process how it ended and how many of its tests passed. Fails if
# one did, with 124 if one was cut.
gpu_finish() {
  local name log status took tests right verdict all=0 all_right=0 failures=0 cuts=0
  wait
  for name in "${processes[@]}"; do
    log=$logs/$name.log
    read -r status took <"$logs/$name.end"
    tests=$(sed -n 's/^\[=*\] Running \([0-9]*\) test.* from .*/\1/p' "$log" | head -n 1)
    right=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | head -n 1)
    tests=${tests:-0} right=${right:-$(grep -c '^\[       OK \]' "$log")}
    all=$((all + tests)) all_right=$((all_right + right))
    verdict=$(gpu_verdict "$log" "$status" "$tests" "$right" "$1")
    printf '%-6s %-14s %4d of %4d tests passed, %3d s\n' \
      "$verdict" "$name" "$right" "$tests" "$took"
    if [[ $verdict == FAILED ]]; then
      failures=$((failures + 1))
      gpu_excerpt "$log" 20000
    elif [[ $verdict == cut ]]; then
      cuts=$((cuts + 1))
    fi
    # With what it was at when it was cut or crashed.
    [[ $verdict == passed ]] ||
      printf '%s: exit code %d, last test: %s\n' "$name" "$status" "$(gpu_last_test "$log")"
    if [[ $1 == yes ]]; then
      printf '== %s: %s, %d of %d tests passed\n' "$name" "$verdict" "$right" "$tests"
      gpu_excerpt "$log" 300000
    fi >>"$out/sanitizers.txt"
    rm "$log"
  done
  printf '%d of %d tests passed, in %d processes, %d of these failed, %d cut' \
    "$all_right" "$all" "${#processes[@]}" "$failures" "$cuts" >"$logs/detail"
  ((failures == 0)) || return 1
  ((cuts == 0)) || return 124
}

# One process for each hundred tests of an executable: one that opens a device takes a second to
# start.
gpu_tests() {
  local executable name shard shards processes=()
  for executable in build-gpu/tests/gpu_*_tests; do
    name=${executable##*/gpu_}
    shards=$((($(gpu_tests_in "$executable") + 99) / 100))
    ((shards > 0)) || shards=1
    for ((shard = 0; shard < shards; shard++)); do
      gpu_start "${name%_tests}.$((shard + 1))" "$shard" "$shards" "$executable"
    done
  done
  gpu_finish no
}

gpu_losses() { grep -oE '"(test_)?loss": *[^,}]+' "$1" | cut -d : -f 2; }

# gpu_training PRECISION BOUND: ten steps on both devices, by the losses' relative difference.
gpu_training() {
  local device metrics=$logs/digits-$1
  for device in cpu cuda; do
    build-gpu/natgrad-train digits --steps 10 --evaluate-every 5 --fisher empirical --quiet \
      --device "$device" --precision "$1" --metrics "$metrics-$device.jsonl" || return 1
  done
  paste <(gpu_losses "$metrics-cpu.jsonl") <(gpu_losses "$metrics-cuda.jsonl") |
    LC_ALL=C awk -v bound="$2" -v detail="$logs/detail" '
      { print; cpu = $1 + 0; cuda = $2 + 0; d = cuda > cpu ? cuda - cpu : cpu - cuda }
      cpu > 0 && d <= bound * cpu { agree++ }
      cpu > 0 && d > largest * cpu { largest = d / cpu }
      END {
        text = sprintf("%d of %d losses agree to %s, by %.1e", agree, NR, bound, largest)
        print text
        printf "%s", text >detail
        exit NR < 10 || agree < NR
      }'
}

# gpu_bench NAME [arguments]: few repetitions; each result is written when it is known.
gpu_bench() {
  local file=$out/$1.json
  build-gpu/natgrad-bench --device cuda --benchmark_filter="$benchmarks" \
    --benchmark_repetitions=3 --benchmark_min_time=0.05 \
    --benchmark_out="$file" --benchmark_out_format=json "${@:2}" &&
    grep -q '"aggregate_name": "median"' "$file"
}

# gpu_sanitizer_works COMMAND...: as it may not on a virtual machine.
gpu_sanitizer_works() {
  [[ ! -f $logs/sanitizer-works ]] || return 0
  GTEST_FILTER='operations.copy*' timeout --foreground --kill-after=1 $((seconds / 3 + 1)) \
    "$@" >"$logs/sanitizer.log" 2>&1 && grep -qE '^\[  PASSED  \] [1-9]' "$logs/sanitizer.log" &&
    mv "$logs/sanitizer.log" "$logs/sanitizer-works"
}

# gpu_sanitize TOOL [arguments of compute-sanitizer]: operations, in as many processes as there are
# processors; 3 if it does not work here.
gpu_sanitize() {
  local executable=build-gpu/tests/gpu_backend_tests shard shards processes=()
  local sanitizer=(compute-sanitizer --target-processes all)
  if ! gpu_sanitizer_works "${sanitizer[@]}" --tool memcheck "$executable"; then
    tail -n 20 "$logs/sanitizer.log"
    printf 'compute-sanitizer is not there or does not work here' >"$logs/detail"
    rm "$logs/sanitizer.log"
    return 3
  fi
  export GTEST_FILTER=$sanitized
  shards=$(gpu_tests_in "$executable")
  ((shards <= $(nproc))) || shards=$(nproc)
  ((shards > 0)) || shards=1
  # Each waits for its process at the first free one of ten ports.
  for ((shard = 0; shard < shards; shard++)); do
    gpu_start "$1.$((shard + 1))" "$shard" "$shards" "${sanitizer[@]}" \
      --port $((49152 + 16 * shard)) --tool "$@" "$executable"
  done
  gpu_finish yes
}

# At the end, whoever ends it: no process is left, and the table shows every stage.
gpu_end() {
  local name log try
  trap '' TERM INT HUP
  [[ -z $group ]] || kill -KILL -- "-$group" 2>/dev/null || true
  [[ -z $running ]] || note "$running" cut $((SECONDS - began)) "$(gpu_detail "$running")"
  for name in "${chosen[@]}"; do
    grep -q "^$name " "$out/stages.txt" || note "$name" "not run" -
  done
  for log in "$logs"/*.log; do
    [[ ! -f $log ]] || { say "the end of ${log##*/}, which was cut" && tail -n 20 "$log"; }
  done
  say "what ended"
  cat "$out/stages.txt"
  # The log is complete when its writer has ended, for which nobody else may hold the pipe.
  exec >&- 2>&-
  for ((try = 0; try < 20; try++)); do
    kill -0 "$log_writer" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$log_writer" 2>/dev/null || true
}

# The one GPU's architecture: nothing is compiled for another.
gpu_architecture() {
  local capability
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null) || true
  capability=${capability%%$'\n'*}
  capability=${capability/./}
  if [[ $capability =~ ^[0-9]+$ ]]; then echo "$capability"; else echo native; fi
}

# choose_stages SECONDS: from STAGES, whose entries are NAME or NAME:SECONDS.
choose_stages() {
  local entry name limit
  local -A usual=()
  for entry in "${gpu_stages[@]}"; do
    limit=${entry#*:}
    usual[${entry%:*}]=$(($1 > 480 ? limit * $1 / 480 : limit))
  done
  limits[build]=${usual[build]}
  for entry in ${STAGES-${gpu_stages[*]%:*}}; do
    name=${entry%%:*}
    limit=${entry#"$name"}
    limit=${limit#:}
    [[ -n ${usual[$name]-} ]] || die "STAGES: $name is none of ${gpu_stages[*]%:*}"
    limits[$name]=${limit:-${usual[$name]}}
    [[ ${limits[$name]} =~ ^[1-9][0-9]*$ ]] || die "STAGES: $entry: expected NAME or NAME:SECONDS"
  done
  for entry in "${gpu_stages[@]%:*}"; do
    [[ -z ${limits[$entry]-} ]] || chosen+=("$entry")
  done
}

# For a machine without a package registry: what the build needs may be unpacked from .deb files by
# dpkg -x FILE P, of GoogleTest (libgtest-dev, googletest), OpenBLAS (libopenblas-openmp-dev,
# libopenblas0-openmp, libgfortran5, libquadmath0), Google Benchmark, fmt and zlib (each with its
# shared library), CLI11, nlohmann-json and Random123. With L=P/usr/lib/x86_64-linux-gnu it is run as
#   CMAKE_PREFIX_PATH=P/usr CMAKE_LIBRARY_PATH=L/openblas-openmp
#   LD_LIBRARY_PATH=L:L/openblas-openmp:P/lib/x86_64-linux-gnu ./build.sh gpu
# It may be cut at any time: what ended is printed then, and in stages.txt in any case. docs/gpu.md
# says how it is used.
gpu() {
  local name devices architecture=90 helpers total=${GPU_SECONDS-480}
  local -A limits=()
  chosen=() failed=0 group="" running="" began=0
  [[ $total =~ ^[1-9][0-9]*$ ]] || die "GPU_SECONDS=$total: expected a number of seconds"
  choose_stages "$total"
  # The rest is for ending what is cut.
  deadline=$((total > 20 ? total - 5 : total - 1))
  export out logs=$root/build-gpu/logs benchmarks=${BENCHMARKS-$gpu_benchmarks}
  export sanitized=${SANITIZED-$gpu_sanitized} OMP_WAIT_POLICY=passive
  out=$(cd "$caller" && realpath -m "${OUT:-$root/build-gpu}")
  rm -rf "$logs"
  mkdir -p "$out" "$logs"
  : >"$out/stages.txt"
  for name in "${chosen[@]}"; do rm -f "$out/$name".{txt,json}; done
  [[ ${chosen[*]} != *check* ]] || rm -f "$out/sanitizers.txt"
  mapfile -t helpers < <(compgen -A function gpu_)
  export -f "${helpers[@]}"
  # It outlives a signal to all, so that the table gets there.
  exec > >(trap '' TERM INT HUP && exec tee "$out/log.txt") 2>&1
  log_writer=$!
  trap gpu_end EXIT
  trap 'exit 143' TERM
  trap 'exit 130' INT
  trap 'exit 129' HUP
  note stage result seconds

  devices=$(nvidia-smi -L 2>/dev/null) || devices=
  [[ -z $devices ]] || architecture=$(gpu_architecture)
  stage build gpu_build -DCMAKE_CUDA_ARCHITECTURES="${CUDAARCHS-$architecture}" "$@"
  if [[ -z $devices ]]; then
    say "no GPU (nvidia-smi -L names none), so nothing but the build could run"
    for name in "${chosen[@]:1}"; do note "$name" "no GPU" -; done
    exit 1
  fi
  say "$devices"
  stage ceilings gpu_ceilings
  stage tests gpu_tests
  stage float gpu_training float 1e-4
  stage double gpu_training double 1e-10
  stage benchmarks gpu_bench benchmarks
  stage tf32 gpu_bench tf32 --allow-tf32
  # The library looks at every status itself, and others probe for what may not be there.
  stage memcheck gpu_sanitize memcheck --error-exitcode 1 --report-api-errors no
  # Of cuBLAS and cuSOLVER it would report what they do on purpose.
  stage racecheck gpu_sanitize racecheck --error-exitcode 1 --kernel-name kernel_substring=natgrad
  stage initcheck gpu_sanitize initcheck --print-limit 100000 --show-backtrace device
  exit "$failed"
}

verb=${1-}
[[ $# -eq 0 ]] || shift
case $verb in
  build)
    setup
    compile default "$@"
    ;;
  train | bench | gpu | torch) "$verb" "$@" ;;
  test) run_tests "$@" ;;
  setup | ci)
    [[ $# -eq 0 ]] || die "$verb takes no arguments"
    "$verb"
    ;;
  help | -h | --help) usage ;;
  "")
    usage >&2
    exit 2
    ;;
  *)
    printf 'build.sh: unknown verb: %s\n\n' "$verb" >&2
    usage >&2
    exit 2
    ;;
esac

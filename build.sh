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
ci_packages=(git clang clang-tidy clang-format libomp-dev)

usage() {
  cat <<'END'
usage: ./build.sh VERB [arguments]

  setup            install the packages that are missing (apt-get, as root or through sudo, which
                   may ask for a password where there is a terminal; else: sudo -v before)
  build [args]     setup, configure and build into build/; args go to cmake, as -DNATGRAD_CUDA=OFF
  train [args]     build, train the digits on ten splits, print the mean test accuracy;
                   args go to natgrad-train
  test  [args]     build and run the tests; args go to ctest, as -R fisher
  bench [args]     build and run the benchmarks; args go to natgrad-bench
  ci               formatting, warnings as errors, clang-tidy, sanitizers, each with its tests
  gpu   [args]     what needs a GPU, in build-gpu/: its tests, training against the CPU's,
                   compute-sanitizer, benchmarks; a table of them comes last and goes, with their
                   results, to $OUT or build-gpu/; args go to cmake. STAGES="tests memcheck" runs
                   these alone, BENCHMARKS=step/ the benchmarks that match. Installs nothing: see the
                   comment above gpu() for libraries in a prefix
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
  git ls-files -z --cached --others --exclude-standard '*.hpp' '*.cpp' '*.cu' |
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

# header_alone HEADER COMPILER [arguments]: through standard input, because g++ warns of #pragma once
# in a main file.
header_alone() {
  printf '#include "%s"\n' "$1" |
    "${@:2}" -x c++ -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Wconversion \
      -Wsign-conversion -Werror -Iinclude -Ibuild-ci/include -
}

check_headers() {
  local compiler nvcc toolkit=() without=(! -name cuda.hpp)
  export -f header_alone
  if nvcc=$(command -v nvcc); then
    toolkit=(-isystem "$(dirname "$(readlink -f "$nvcc")")/../include")
    without=()
  fi
  for compiler in g++ clang++; do
    say "public headers, each alone, and a program that uses them, with $compiler"
    # shellcheck disable=SC2016
    find "$root/include" "$root/build-ci/include" "$root/tests/outside" \
      -name '*.[hc]pp' "${without[@]}" -print0 |
      xargs -0 -I {} -P "$(nproc)" bash -c 'header_alone "$@"' header_alone \
        {} "$compiler" "${toolkit[@]}"
  done
}

# The stages, what each finds and what it costs: docs/ci.md.
ci() {
  local runner=()
  install_missing "${packages[@]}" "${ci_packages[@]}"
  check_format
  say "warnings as errors, shared library"
  compile ci
  check_headers
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
}

# note STAGE RESULT SECONDS
note() { printf '%-12s %-8s %7s\n' "$@" >>"$out/stages.txt"; }

# stage NAME COMMAND...: notes how it ends; the next one runs in any case.
stage() {
  local name=$1 begin=$SECONDS result=passed
  shift
  [[ $name == build || " ${chosen[*]} " == *" $name "* ]] || return 0
  say "$name"
  "$@" || result=FAILED
  note "$name" "$result" $((SECONDS - begin))
  [[ $result == passed ]] || failed=1
}

gpu_build() {
  local generator=()
  command -v ninja >/dev/null || generator=(-G "Unix Makefiles")
  cmake --preset default "${generator[@]}" -B build-gpu -DNATGRAD_CUDA=ON "$@" &&
    cmake --build build-gpu --parallel "$(nproc)" --target gpu_tests natgrad-train natgrad-bench
}

# A test that is skipped has shown nothing. An entry is an executable: it may take a while.
gpu_tests() {
  ctest --test-dir build-gpu -L gpu --parallel 8 --timeout 600 --no-tests=error --output-on-failure |
    tee "$out/tests.txt" && ! grep -F '***Skipped' "$out/tests.txt"
}

losses() { grep -oE '"(test_)?loss": *[^,}]+' "$1" | cut -d : -f 2; }

# compare_training PRECISION BOUND: ten steps on both devices, by the losses' relative difference.
compare_training() {
  local device metrics=$out/digits-$1
  for device in cpu cuda; do
    build-gpu/natgrad-train digits --steps 10 --evaluate-every 5 --fisher empirical --quiet \
      --device "$device" --precision "$1" --metrics "$metrics-$device.jsonl" || return
  done
  paste <(losses "$metrics-cpu.jsonl") <(losses "$metrics-cuda.jsonl") | LC_ALL=C awk -v bound="$2" '
    { print; cpu = $1 + 0; cuda = $2 + 0 }
    cpu > 0 && cuda - cpu <= bound * cpu && cpu - cuda <= bound * cpu { agree++ }
    END { printf "%d of %d losses agree to %s\n", agree, NR, bound; exit NR < 10 || agree < NR }'
}

# sanitize TOOL [arguments of compute-sanitizer]: a tool that runs no test has found nothing.
sanitize() {
  compute-sanitizer --tool "$@" --target-processes all \
    build-gpu/tests/gpu_backend_tests --gtest_brief=1 2>&1 | tee "$out/$1.txt" &&
    grep -qE '^\[  PASSED  \] [1-9]' "$out/$1.txt" && ! grep -F 'SKIPPED without' "$out/$1.txt"
}

# Kernels of cuBLAS and cuSOLVER may read uninitialized memory of their own, so that only reads by
# kernels of natgrad count.
initcheck() {
  sanitize initcheck --print-limit 100000 && ! grep -E '^=+ +at .*natgrad' "$out/initcheck.txt"
}

# Some virtual machines do not let the sanitizer use their GPU.
sanitizer_works() {
  command -v compute-sanitizer >/dev/null || return
  GTEST_FILTER='operations.copy*' sanitize memcheck >/dev/null && return
  tail -n 20 "$out/memcheck.txt"
  return 1
}

gpu_sanitizers() {
  local name
  if sanitizer_works; then
    # The library looks at every status itself, and others probe for what may not be there.
    stage memcheck sanitize memcheck --error-exitcode 1 --report-api-errors no
    # Of cuBLAS and cuSOLVER it would report what they do on purpose.
    stage racecheck sanitize racecheck --error-exitcode 1 --kernel-name kernel_substring=natgrad
    stage initcheck initcheck
    return
  fi
  say "compute-sanitizer is not there or does not work here, so that its stages are left out"
  for name in memcheck racecheck initcheck; do
    [[ " ${chosen[*]} " == *" $name "* ]] || continue
    note "$name" skipped -
    failed=1
  done
}

gpu_bench() {
  build-gpu/natgrad-bench --device cuda --benchmark_filter="${BENCHMARKS-.}" \
    --benchmark_out="$out/bench.json" --benchmark_out_format=json | tee "$out/bench.txt"
}

# For a machine without a package registry: what the build needs may be unpacked from .deb files by
# dpkg -x FILE P, of GoogleTest (libgtest-dev, googletest), OpenBLAS (libopenblas-openmp-dev,
# libopenblas0-openmp, libgfortran5, libquadmath0), Google Benchmark, fmt and zlib (each with its
# shared library), CLI11, nlohmann-json and Random123. With L=P/usr/lib/x86_64-linux-gnu it is run as
#   CMAKE_PREFIX_PATH=P/usr CMAKE_LIBRARY_PATH=L/openblas-openmp
#   LD_LIBRARY_PATH=L:L/openblas-openmp:P/lib/x86_64-linux-gnu ./build.sh gpu
# It may be cut at any time: what ended is printed then, and in stages.txt in any case.
gpu() {
  local devices architectures=() name
  local chosen=() stages=(tests float double memcheck racecheck initcheck benchmarks)
  read -r -d '' -a chosen <<<"${STAGES-${stages[*]}}" || true
  [[ ${#chosen[@]} -gt 0 ]] || die "STAGES names no stage: ${stages[*]}"
  for name in "${chosen[@]}"; do
    [[ " ${stages[*]} " == *" $name "* ]] || die "STAGES: $name is none of ${stages[*]}"
  done
  out=$(cd "$caller" && realpath -m "${OUT:-$root/build-gpu}")
  failed=0
  mkdir -p "$out"
  : >"$out/stages.txt"
  trap 'say "what ended"; cat "$out/stages.txt"' EXIT
  note stage result seconds

  devices=$(nvidia-smi -L 2>/dev/null) || devices=
  [[ -z $devices ]] || architectures=(-DCMAKE_CUDA_ARCHITECTURES="${CUDAARCHS-native}")
  stage build gpu_build "${architectures[@]}" "$@"
  [[ $failed -eq 0 ]] || exit 1
  if [[ -z $devices ]]; then
    say "no GPU (nvidia-smi -L names none), so these could not run: ${chosen[*]}"
    for name in "${chosen[@]}"; do note "$name" "no GPU" -; done
    exit 1
  fi
  say "$devices"
  export OMP_WAIT_POLICY=passive
  stage tests gpu_tests
  stage float compare_training float 1e-4
  stage double compare_training double 1e-10
  if [[ " ${chosen[*]} " == *check* ]]; then gpu_sanitizers; fi
  stage benchmarks gpu_bench
  exit "$failed"
}

verb=${1-}
[[ $# -eq 0 ]] || shift
case $verb in
  build)
    setup
    compile default "$@"
    ;;
  train | bench | gpu) "$verb" "$@" ;;
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

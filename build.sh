#!/usr/bin/env bash
# Sets up, builds, trains, tests and times natgrad on Debian 12 or Ubuntu 24.04.
# The flags of every build stand in CMakePresets.json.
set -euo pipefail
caller=$PWD
cd -P "$(dirname "${BASH_SOURCE[0]}")"
root=$PWD

packages=(g++ cmake ninja-build ccache libopenblas-openmp-dev libcli11-dev nlohmann-json3-dev
  libfmt-dev zlib1g-dev libgtest-dev libbenchmark-dev librandom123-dev pkgconf)
# libomp-dev holds the omp.h that clang's tools read; nothing is linked with it.
ci_packages=(git clang clang-tidy clang-format libomp-dev)

usage() {
  cat <<'END'
usage: ./build.sh VERB [arguments]

  setup            install the packages that are missing (apt-get, as root or through sudo)
  build [args]     setup, configure and build into build/; args go to cmake, as -DNATGRAD_CUDA=OFF
  train [args]     build, train the digits on ten splits, print the mean test accuracy;
                   args go to natgrad-train
  test  [args]     build and run the tests; args go to ctest, as -R fisher
  bench [args]     build and run the benchmarks; args go to natgrad-bench
  ci               formatting, warnings as errors, clang-tidy, sanitizers, each with its tests
END
}

say() { printf '== %s\n' "$*"; }
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
  if [[ $(id -u) -ne 0 ]]; then
    sudo -n true 2>/dev/null || die "please install as root: apt-get install ${missing[*]}"
    as_root=(sudo -n)
  fi
  say "installing: ${missing[*]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
  "${apt[@]}" update </dev/null || say "the package lists could not be updated; trying with the old ones"
  "${apt[@]}" install --no-install-recommends "${missing[@]}" </dev/null ||
    die "could not install, please do: apt-get install ${missing[*]}"
}

setup() {
  install_missing "${packages[@]}"
}

# What programs are run with; ci may fill it.
runner=()

# compile PRESET [cmake arguments]
compile() {
  local preset=$1
  shift
  if command -v ccache >/dev/null; then
    export CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER-ccache}
    export CMAKE_CUDA_COMPILER_LAUNCHER=${CMAKE_CUDA_COMPILER_LAUNCHER-ccache}
  fi
  cmake --preset "$preset" "$@"
  # Listing the tests of a sanitizer build runs them.
  "${runner[@]}" cmake --build --preset "$preset"
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
  build
  cd "$caller"
  local split accuracy quiet=()
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

run_tests() {
  build
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

# header_alone COMPILER HEADER: through standard input, because g++ warns of #pragma once in a main file.
header_alone() {
  printf '#include "%s"\n' "$2" |
    "$1" -x c++ -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Wconversion \
      -Wsign-conversion -Werror -Iinclude -Ibuild-ci/include -
}

check_headers() {
  local compiler
  export -f header_alone
  for compiler in g++ clang++; do
    say "public headers, each alone, and a program that uses them, with $compiler"
    # shellcheck disable=SC2016
    find "$root/include" "$root/build-ci/include" "$root/tests/outside" -name '*.[hc]pp' -print0 |
      xargs -0 -n 1 -P "$(nproc)" bash -c 'header_alone "$1" "$2"' header_alone "$compiler"
  done
}

ci() {
  install_missing "${packages[@]}" "${ci_packages[@]}"
  check_format
  say "warnings as errors, shared library"
  compile ci
  check_headers
  check_tidy
  say "AddressSanitizer, UndefinedBehaviorSanitizer"
  compile asan
  ctest --preset asan
  say "ThreadSanitizer"
  # Some kernels randomize addresses further than it can follow.
  if setarch -R true 2>/dev/null; then runner=(setarch -R); fi
  compile tsan
  "${runner[@]}" ctest --preset tsan
  say "the tests with the shared library"
  ctest --preset ci
}

verb=${1-}
[[ $# -eq 0 ]] || shift
case $verb in
  build)
    setup
    compile default "$@"
    ;;
  train | bench) "$verb" "$@" ;;
  test) run_tests "$@" ;;
  setup | ci)
    [[ $# -eq 0 ]] || die "$verb takes no arguments"
    "$verb"
    ;;
  help | -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac

#!/usr/bin/env bash
# usage: documented.sh SOURCE BUILD WORK
#
# Runs every command that README.md, bench/README.md and docs/*.md show in a fenced block `sh`, as
# written, block by block, in a folder that looks like the source tree with its build/, where DIR holds
# a small data set in the files of MNIST and my_program.cpp is a program that uses the library. A line
# `./build.sh VERB` is not run here: .ci/run must have it. A block that no test can run follows a line
#   <!-- not run: REASON -->
# What a block installs under the home folder stays in WORK/home for the tests that come after.
set -euo pipefail
source=$1
build=$2
work=$3

die() { printf 'documented.sh: %s\n' "$*" >&2; exit 1; }

# big_endian NUMBER: four bytes.
big_endian() {
  local hex
  printf -v hex '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) \
    $(($1 >> 8 & 255)) $(($1 & 255))
  # shellcheck disable=SC2059
  printf "$hex"
}

# data_set NAME COUNT: images of bytes that look random, labels that look like them.
data_set() {
  local bytes=$work/bytes
  : >"$bytes"
  while (($(stat -c %s "$bytes") < $2 * 784)); do cat "$source/data/digits.csv.gz" >>"$bytes"; done
  { big_endian 2051; big_endian "$2"; big_endian 28; big_endian 28; head -c $(($2 * 784)) "$bytes"
  } >"$tree/DIR/$1-images-idx3-ubyte"
  printf '\0\1\2\3\4\5\6\7\10\11%.0s' $(seq $(($2 / 10))) >"$bytes"
  { big_endian 2049; big_endian "$2"; cat "$bytes"; } >"$tree/DIR/$1-labels-idx1-ubyte"
}

make_tree() {
  local entry
  rm -rf "$work"
  mkdir -p "$tree/DIR" "$home"
  for entry in "$source"/*; do
    case ${entry##*/} in
      build | build-*) ;;
      *) ln -s "$entry" "$tree/" ;;
    esac
  done
  ln -s "$build" "$tree/build"
  cp "$source/tests/outside/main.cpp" "$tree/my_program.cpp"
  data_set train 2000
  data_set t10k 500
}

# run_block PLACE COMMANDS
run_block() {
  local place=$1 commands="" line command
  while IFS= read -r line; do
    command=${line%%  #*}
    command=${command%"${command##*[! ]}"}
    if [[ $command == ./build.sh* ]]; then
      grep -qxF "$command </dev/null" "$source/.ci/run" || die "$place: .ci/run has no line: $command"
    else
      commands+=$line$'\n'
    fi
  done <<<"$2"
  printf '== %s\n%s' "$place" "$commands"
  (cd "$tree" && HOME=$home bash -euxo pipefail -c "$commands") || die "$place: a command failed"
  blocks=$((blocks + 1))
}

run_file() {
  local line block="" inside=0 number=0 begin=0 reason=""
  while IFS= read -r line; do
    number=$((number + 1))
    if [[ $inside == 1 && $line == '```' ]]; then
      inside=0
      if [[ -n $reason ]]; then
        printf '== %s:%d is not run: %s\n' "$1" "$begin" "$reason"
      else
        run_block "$1:$begin" "$block"
      fi
      reason="" block=""
    elif [[ $inside == 1 ]]; then
      block+=$line$'\n'
    elif [[ $line == '```sh' || $line == '```bash' ]]; then
      inside=1 begin=$number
    elif [[ $line == '<!-- not run: '*' -->' ]]; then
      reason=${line#<!-- not run: }
      reason=${reason% -->}
    elif [[ -n $line ]]; then
      reason=""
    fi
  done <"$source/$1"
}

tree=$work/tree
home=$work/home
blocks=0
make_tree
cd "$source"
for file in README.md bench/README.md docs/*.md; do
  [[ ! -f $file ]] || run_file "$file"
done
((blocks > 0)) || die "no file shows a command"
# Which package the tests that come after are to find.
packages=$(find "$home" -name natgrad.pc)
[[ $(wc -l <<<"$packages") == 1 && -n $packages ]] ||
  die "the documented commands should install the library once under ~, found: ${packages:-nothing}"
printf '%d blocks of commands ran\n' "$blocks"

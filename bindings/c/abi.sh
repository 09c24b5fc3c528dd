#!/usr/bin/env bash
# usage: bindings/c/abi.sh check|renew LIBRARY
#
# Compares the ABI of the C interface in a shared library with bindings/c/natgrad.abi, or writes that
# file anew. The library is one whose C interface has debug information: that of the preset ci, or of
# any build with -DBUILD_SHARED_LIBS=ON -DNATGRAD_C_DEBUG_INFO=ON. Needs abigail-tools.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
verb=${1-}
library=${2-}
[[ -f $library && ($verb == check || $verb == renew) ]] ||
  { sed -n '2s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The functions natgrad_... alone, and of the types those of the header: what handles are is hidden.
cat >"$work/rules" <<'END'
[suppress_function]
  symbol_name_not_regexp = ^natgrad_
  drop = yes
[suppress_variable]
  symbol_name_not_regexp = ^natgrad_
  drop = yes
[suppress_type]
  source_location_not_regexp = natgrad/natgrad[.]h
  drop = yes
END
abidw --suppressions "$work/rules" \
  --exported-interfaces-only --no-corpus-path --no-comp-dir-path --no-elf-needed --no-show-locs \
  --type-id-style hash --out-file "$work/all.abi" "$library"
# Without the symbols of other functions, which depend on the machine.
sed "/<elf-symbol name='_Z/d" "$work/all.abi" >"$work/natgrad.abi"
functions=$(grep -c '<function-decl ' "$work/natgrad.abi")
declared=$(grep -c '^NATGRAD_EXPORT' "$here/../../include/natgrad/natgrad.h")
if [[ $functions != "$declared" ]]; then
  printf '%s has %s functions with debug information, natgrad.h declares %s\n' "$library" \
    "$functions" "$declared" >&2
  exit 1
fi

if [[ $verb == renew ]]; then
  cp "$work/natgrad.abi" "$here/natgrad.abi"
elif ! abidiff "$here/natgrad.abi" "$work/natgrad.abi"; then
  # New functions are a difference, too: what programs may rely on stands in that file.
  printf '%s\n' "The C interface is another one than bindings/c/natgrad.abi says. If programs that" \
    "were compiled before still run with it, renew that file: bindings/c/abi.sh renew LIBRARY" >&2
  exit 1
fi
printf 'the C interface has %s functions\n' "$functions"

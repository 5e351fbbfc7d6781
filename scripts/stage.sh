#!/usr/bin/env bash
# stage.sh PROGRAM [aarch64|none] : puts into target/deb what the Debian package holds besides the program and this tree's files:
# man pages and completions, which PROGRAM writes (it runs on this machine), and ONNX Runtime for the package's processor.
set -euo pipefail
program=$(realpath "${1:?usage: stage.sh PROGRAM [aarch64|none]}")
machine=${2:-}
cd "$(dirname "$0")/.."
stage=target/deb
rm -rf "$stage"
mkdir -p "$stage/completions"
"$program" man --out "$stage/man"
for shell in bash:cardea.bash zsh:_cardea fish:cardea.fish; do
  "$program" completions "${shell%%:*}" >"$stage/completions/${shell#*:}"
done
[ "$machine" != none ] || exit 0
runtime=models/cache${machine:+/$machine}
# By processor: a package that asks for another one's library finds none.
to=$stage/onnxruntime${machine:+-$machine}
mkdir -p "$to"
python3 models/build/build.py runtime ${machine:+--machine "$machine"} --out "$runtime" >&2
cp "$runtime/libonnxruntime.so" "$to/"
for text in LICENSE ThirdPartyNotices.txt; do cp "$runtime/onnxruntime-$text" "$to/$text"; done

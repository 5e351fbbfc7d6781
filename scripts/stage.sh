#!/usr/bin/env bash
# stage.sh PROGRAM [aarch64] : puts into target/deb what the Debian package holds besides the program and this tree's files:
# man pages and completions, which PROGRAM writes (it runs on this machine), and ONNX Runtime for the package's processor.
set -euo pipefail
program=$(realpath "${1:?usage: stage.sh PROGRAM [aarch64]}")
machine=${2:-}
cd "$(dirname "$0")/.."
stage=target/deb
rm -rf "$stage"
mkdir -p "$stage/completions" "$stage/onnxruntime"
"$program" man --out "$stage/man"
for shell in bash:cardea.bash zsh:_cardea fish:cardea.fish; do
  "$program" completions "${shell%%:*}" >"$stage/completions/${shell#*:}"
done
runtime=models/cache${machine:+/$machine}
python3 models/build/build.py runtime ${machine:+--machine "$machine"} --out "$runtime" >&2
cp "$runtime/libonnxruntime.so" "$stage/onnxruntime/"
for text in LICENSE ThirdPartyNotices.txt; do cp "$runtime/onnxruntime-$text" "$stage/onnxruntime/$text"; done

#!/usr/bin/env bash
# emulated.sh NATIVE : plays 20 frames of the sample clip through the arm64 program under emulation, with ONNX Runtime in
# int8, and holds its verdicts to those of the program NATIVE on this machine. Correctness only: an emulated processor says
# nothing of a board's speed.
#
# Needs what `make models` and `build.sh arm64` made.
source "$(dirname "$0")/lib.sh"

native=${1:?usage: emulated.sh NATIVE}
program=${CARGO_TARGET_DIR:-$REPO/target}/cross/aarch64-unknown-linux-gnu/release/cardea
models=$REPO/models/cache
[ -x "$program" ] || die 69 "$program is missing; run make arm64"
[ -f "$models/samples/carphone_pristine.mp4" ] || die 69 "the sample clip is missing; run make models"
qemu=$("$REPO/cross/emulator.sh" aarch64)
work=$REPO/target/emulated
rm -rf "$work"
mkdir -p "$work/clip" "$work/begin"
python3 "$REPO/models/build/build.py" runtime --machine aarch64 --out "$models/aarch64" >&2

# Frames once for both: ffmpeg is no part of the comparison. In the one span he answers a prompt with his mouth; the other
# is the clip's beginning.
frames() { ffmpeg -v error -nostdin -ss "$1" -i "$models/samples/carphone_pristine.mp4" -vf fps=10 -frames:v 20 -q:v 2 "$2/%02d.jpg"; }
frames 2 "$work/clip"
frames 0 "$work/begin"
cp "$work/begin/20.jpg" "$work/him.jpg"

emulated() { "$qemu" -L /usr/aarch64-linux-gnu "$program" --set "models.runtime=$models/aarch64/libonnxruntime.so" "$@"; }
verdict() { python3 -c '
import json, sys
last = json.loads(sys.stdin.read().splitlines()[-1])
assert last["type"] == "summary" and last["frames"] <= 20, last
print(last["verdict"], last["reason"], last["person"], "after", last["frames"], "frames")'; }
faults=0
check() { # check NAME EXPECTED ARGUMENTS OF REPLAY...
  local name=$1 expected=$2 here there began
  shift 2
  set -- --set recognition.min_face_px=40 --set challenge.mouth_hold_ms=200 "$@" --fps 10 --precision int8 --json
  here=$("$native" "$@" 2>"$work/native.err" | verdict) || { cat "$work/native.err" >&2; here="no verdict"; }
  began=$SECONDS
  there=$(emulated "$@" 2>"$work/emulated.err" | verdict) || { cat "$work/emulated.err" >&2; there="no verdict"; }
  echo "$name: x86-64: $here; arm64: $there ($((SECONDS - began)) s)"
  if [ "$here" != "$there" ] || [ "${there%% after*}" != "$expected" ]; then
    faults=$((faults + 1))
    echo "FAULT: $name: expected $expected from both"
  fi
}

him=carphone=$work/him.jpg
her=portrait=$models/samples/astronaut.png
check "registry pack, the enrolled person, who does what is asked" "granted None carphone" --set 'models.pack="registry"' \
  replay --clip "$work/clip" --enroll "$him" --challenge mouth_open --onset-ms 100
check "registry pack, a stranger, who does what is asked" "denied no_match None" --set 'models.pack="registry"' \
  replay --clip "$work/clip" --enroll "$her" --challenge mouth_open --onset-ms 100
# Not in ordinary package registries: there where CARDEA_MODELS_FROM had them.
if [ -f "$models/yunet_2023mar_320_int8.onnx" ]; then
  check "standard pack, the enrolled person, PAD networks" "granted None carphone" --set 'models.pack="standard"' \
    replay --clip "$work/begin" --enroll "$him" --challenge none
  check "standard pack, a stranger, PAD networks" "denied no_match None" --set 'models.pack="standard"' \
    replay --clip "$work/begin" --enroll "$her" --challenge none
else
  echo "not played: the standard pack, whose files are not here"
fi

# The library of this check has no GPU. What was asked for must not become a run on the CPU.
for provider in cuda tensorrt xnnpack; do
  code=0
  emulated --set "models.provider=\"$provider\"" --set 'models.pack="registry"' \
    replay --clip "$work/clip" --enroll "$him" --challenge none --json >"$work/out" 2>"$work/err" || code=$?
  if [ "$code" -eq 69 ] && ! grep -q observation "$work/out" && grep -q "models.provider = \"$provider\"" "$work/err"; then
    echo "arm64, provider $provider: refused: $(grep -m 1 error: "$work/err" | cut -c 1-200)"
  else
    faults=$((faults + 1))
    echo "FAULT: provider $provider: exit code $code, $(wc -l <"$work/out") lines of output"
    cat "$work/err"
  fi
done
echo "$faults faults"
[ "$faults" -eq 0 ]

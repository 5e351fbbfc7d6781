#!/usr/bin/env bash
# Identifies pictures of the sample clip with the armv7 program under emulation: fp32 networks of the registry pack, run by
# tract, which the program takes there unasked. Needs what `make models` and `build.sh armv7` made.
source "$(dirname "$0")/lib.sh"

program=${CARGO_TARGET_DIR:-$REPO/target}/cross/armv7-unknown-linux-gnueabihf/release/cardea
models=$REPO/models/cache
[ -x "$program" ] || die 69 "$program is missing; run make armv7"
[ -f "$models/samples/carphone_pristine.mp4" ] || die 69 "the sample clip is missing; run make models"
qemu=$("$REPO/cross/emulator.sh" arm)
work=$REPO/target/emulated-armv7
rm -rf "$work"
mkdir -p "$work"
ffmpeg -v error -nostdin -i "$models/samples/carphone_pristine.mp4" -vf fps=1 -frames:v 3 -q:v 2 "$work/%d.jpg"

cd "$REPO"
emulated() {
  "$qemu" -L /usr/arm-linux-gnueabihf "$program" --set 'models.pack="registry"' --set recognition.min_face_px=40 --state "$work/state" --json "$@"
}
faults=0
check() { # check WHAT EXIT-CODE PATTERN ARGUMENTS...
  local what=$1 wanted=$2 pattern=$3 code=0 began=$SECONDS
  shift 3
  emulated "$@" >"$work/out" 2>"$work/err" || code=$?
  if [ "$code" -eq "$wanted" ] && grep -qE "$pattern" "$work/out"; then
    echo "armv7: $what ($((SECONDS - began)) s)"
  else
    faults=$((faults + 1))
    echo "FAULT: armv7: $what: exit code $code instead of $wanted"
    cat "$work/out" "$work/err"
  fi
}
check "enrolled from a picture" 0 '"templates": ?1' enroll carphone --image "$work/1.jpg"
check "another picture of him is his" 0 '"person": ?"carphone"' identify "$work/3.jpg"
check "the portrait is nobody's" 1 '"reason": ?"no_match"' identify "$models/samples/astronaut.png"
echo "$faults faults"
[ "$faults" -eq 0 ]

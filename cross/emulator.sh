#!/usr/bin/env bash
# emulator.sh aarch64|arm : prints the path of a qemu-user for that processor, unpacked into the cache where the machine's
# is too old. ONNX Runtime's library for arm64 crashes in qemu-user 7.2 while it is loaded and runs in 10.0 (measured).
source "$(dirname "$0")/lib.sh"

machine=${1:?usage: emulator.sh aarch64|arm}
SUITE=${CARDEA_QEMU_SUITE:-trixie}

recent() { # recent PROGRAM: 10 or newer
  local major
  major=$("$1" --version 2>/dev/null | sed -n 's/^qemu-[a-z0-9]* version \([0-9]*\)\..*/\1/p')
  [ "${major:-0}" -ge 10 ]
}
packages() { unpack "$1" qemu-user; }
fill() { with_suite "$SUITE" packages "$1"; }

for program in "qemu-$machine-static" "qemu-$machine"; do
  if found=$(command -v "$program") && recent "$found"; then
    echo "$found"
    exit
  fi
done
in_place "$CACHE/qemu-$SUITE" fill
found=$CACHE/qemu-$SUITE/usr/bin/qemu-$machine
recent "$found" || die 69 "$found is missing or older than 10; name a newer suite in CARDEA_QEMU_SUITE"
echo "$found"

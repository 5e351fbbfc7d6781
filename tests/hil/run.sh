#!/usr/bin/env bash
# run.sh SCENARIO.sh [OUT]: boots the guest, runs the scenario in it, prints its log, returns its exit status.
# OUT is shared with the guest as /hil/out and writable there; what a scenario needs of the host is put in before.
#
# The guest's clock is counted from its instructions (-icount): an instruction is one nanosecond, whatever the emulation
# costs. So every limit of the daemon stays as it is at a door. Only where the guest waits does its clock follow the
# host's (sleep=on); without that it would leap over every wait for the host's files. KVM is not used: it needs rights
# that a build machine seldom gives, and hangs where /dev/kvm is nested.
source "$(dirname "$0")/lib.sh"

scenario=${1:?usage: run.sh SCENARIO.sh [OUT]}
[ -f "$HIL/scenarios/$scenario" ] || die 66 "there is no $HIL/scenarios/$scenario"
out=${2:-$(mktemp -d)}
mkdir -p "$out"
rm -f "$out"/{status,log,booted,ended}
echo "$scenario" >"$out/scenario"
repo=$(cd "$HIL/../.." && pwd)

share() { echo "-fsdev local,id=$1,path=$2,security_model=none,multidevs=remap$3 -device virtio-9p-pci,fsdev=$1,mount_tag=$1"; }
firmware=()
[ -d "$TOOLS/usr/share/qemu" ] && firmware=(-L "$TOOLS/usr/share/qemu" -L "$TOOLS/usr/share/seabios" -L "$TOOLS/usr/lib/ipxe/qemu")

begun=$(date +%s.%N)
ended=0
# shellcheck disable=SC2046
# A time limit in wall time: the only one that does not run on the guest's own clock.
PATH=$PATH run_tool qemu-system-x86_64 -M q35 -accel tcg,thread=single -cpu max -icount shift=0,sleep=on "${firmware[@]}" \
  -smp 1 -m "${HIL_MEMORY:-1536}" -nodefaults -no-user-config -no-reboot -display none -nic none \
  -kernel "$CACHE/kernel/vmlinuz" -initrd "$CACHE/initramfs.gz" \
  -append "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off random.trust_cpu=on" \
  -chardev file,id=console,path="$out/console" -serial chardev:console -device virtio-rng-pci \
  $(share root / ,readonly=on) $(share modules "$CACHE/kernel/lib/modules" ,readonly=on) \
  $(share tools "$TOOLS" ,readonly=on) $(share repo "$repo" ,readonly=on) \
  $(share bench "$HIL" ,readonly=on) $(share out "$out" "") &
qemu=$!
trap 'kill "$qemu" 2>/dev/null || true' EXIT
for ((left = ${HIL_LIMIT_S:-600} * 5; left > 0; left--)); do
  kill -0 "$qemu" 2>/dev/null || break
  sleep 0.2
done
if kill -0 "$qemu" 2>/dev/null; then
  say "stopped after ${HIL_LIMIT_S:-600} s"
  kill "$qemu"
fi
wait "$qemu" || ended=$?
trap - EXIT
[ -f "$out/log" ] && cat "$out/log"
awk -v a="$begun" -v b="$(date +%s.%N)" -v boot="$(cat "$out/booted" 2>/dev/null)" -v end="$(cat "$out/ended" 2>/dev/null)" \
  'BEGIN { printf "hil: %.1f s in all; the guest was ready after %s s and done after %s s of its own time\n", b - a, boot, end }' >&2
if [ ! -f "$out/status" ]; then
  say "the guest gave no result (qemu ended with $ended); its console ends with:"
  tail -n 5 "$out/console" >&2
  exit 70
fi
exit "$(cat "$out/status")"

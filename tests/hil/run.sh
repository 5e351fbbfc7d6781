#!/usr/bin/env bash
# run.sh SCENARIO.sh [OUT]: boots the guest, runs the scenario in it, prints its log, returns its exit status.
# OUT is shared with the guest as /hil/out and writable there; what a scenario needs of the host is put in before.
# A line `# qemu: ...` in a scenario gives the guest more devices. A name that the guest writes to OUT/picture is answered
# with OUT/NAME.ppm: what the guest's display shows at that moment.
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
rm -f "$out"/{pid,status,log,booted,ended,picture,monitor.in,monitor.out}
echo "$scenario" >"$out/scenario"
repo=$(cd "$HIL/../.." && pwd)

share() { echo "-fsdev local,id=$1,path=$2,security_model=none,multidevs=remap$3 -device virtio-9p-pci,fsdev=$1,mount_tag=$1"; }
firmware=()
[ -d "$TOOLS/usr/share/qemu" ] && firmware=(-L "$TOOLS/usr/share/qemu" -L "$TOOLS/usr/share/seabios" -L "$TOOLS/usr/lib/ipxe/qemu")

read -ra devices < <(sed -n 's/^# qemu: //p' "$HIL/scenarios/$scenario") || true # end of file
mkfifo "$out"/monitor.{in,out}
# Both ends are held open, so that neither side waits for the other.
exec 7<>"$out/monitor.in" 8<>"$out/monitor.out"
picture() { # picture NAME: asks QEMU for one; it writes the file while it runs on
  local part=$out/$1.part size=-1 now
  rm -f "$part"
  echo "screendump $part" >&7
  for ((tries = 0; tries < 50; tries++)); do
    now=$(stat -c %s "$part" 2>/dev/null || echo 0)
    [ "$now" -gt 0 ] && [ "$now" = "$size" ] && break
    size=$now
    sleep 0.1
  done
  mv "$part" "$out/$1.ppm" || say "QEMU gave no picture $1"
}

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
  -pidfile "$out/pid" -chardev pipe,id=monitor,path="$out/monitor" -mon chardev=monitor,mode=readline "${devices[@]}" \
  $(share bench "$HIL" ,readonly=on) $(share out "$out" "") &
qemu=$!
cat <&8 >"$out/monitor.log" &
reader=$!
# `$qemu` is the shell of the function run_tool; the program is its child and outlives it.
stop() { kill "$qemu" "$reader" "$(cat "$out/pid" 2>/dev/null || echo "$qemu")" 2>/dev/null || true; }
trap stop EXIT
for ((left = ${HIL_LIMIT_S:-1800} * 5; left > 0; left--)); do
  kill -0 "$qemu" 2>/dev/null || break
  if [ -f "$out/picture" ]; then
    name=$(basename "$(cat "$out/picture")")
    rm "$out/picture"
    picture "$name"
  fi
  sleep 0.2
done
if kill -0 "$qemu" 2>/dev/null; then
  say "stopped after ${HIL_LIMIT_S:-1800} s"
  stop
fi
wait "$qemu" || ended=$?
kill "$reader" 2>/dev/null || true
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

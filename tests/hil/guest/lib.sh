# Helpers for scenarios in the guest. Source it; it runs nothing.
set -uo pipefail
OUT=/hil/out
cd /hil/repo
faults=0

now() { cut -d' ' -f1 /proc/uptime; }
note() { echo "[$(now)] $*"; }
# A fault is told and counted; the scenario goes on, since one run in the guest costs minutes.
fault() { faults=$((faults + 1)); note "FAULT: $*"; }
# `check WHAT COMMAND...`: what must hold now.
check() { local what=$1; shift; if "$@"; then note "ok: $what"; else fault "$what"; fi; }
# `within SECONDS WHAT COMMAND...`: what must come to hold; seconds of the guest's own clock. Looks each EVERY seconds.
within() {
  local limit=$1 what=$2 begun
  shift 2
  begun=$(now)
  until "$@"; do
    if awk -v a="$begun" -v b="$(now)" -v l="$limit" 'BEGIN { exit !(b - a > l) }'; then
      fault "$what: not within $limit s"
      return 1
    fi
    sleep "${EVERY:-0.1}"
  done
  note "ok: $what, after $(awk -v a="$begun" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }') s"
}
# Last statement of a scenario: its exit status.
verdict() { note "$faults faults"; [ "$faults" -eq 0 ]; }
# `holds JSON EXPRESSION`: a Python expression over the object `d`.
holds() { python3 -c 'import json, sys; d = json.loads(sys.argv[1]); sys.exit(not eval(sys.argv[2]))' "$1" "$2"; }

# Programs of the bench, with their own libraries; where the machine has them, its own.
of_bench() {
  local name=$1 path
  shift
  path=$(type -P "$name") || path=$(ls /hil/tools/{usr/bin,sbin}/"$name" 2>/dev/null | head -n 1)
  LD_LIBRARY_PATH=/hil/tools/usr/lib/x86_64-linux-gnu:/hil/tools/lib/x86_64-linux-gnu "$path" "$@"
}
modprobe() { of_bench modprobe "$@"; }
rmmod() { of_bench rmmod "$@"; }
v4l2_ctl() { of_bench v4l2-ctl "$@"; }
cardea() { "$OUT/cardea" "$@"; }

# A v4l2loopback camera at /dev/videoNUMBER that shows what `feed` writes. It calls itself a camera only while it is fed.
# With its own two buffers a slow reader is overtaken by the writer.
loopback() { modprobe v4l2loopback video_nr="$1" card_label="$2" exclusive_caps=1 max_buffers=8; }
# `feed CLIP NUMBER [ffmpeg's output options]`: plays a clip as it is, over and over, at its own speed; sets FEEDER.
# An MJPEG clip passed through costs next to nothing, encoding one in the guest more than everything else.
feed() {
  local clip=$1 number=$2
  shift 2
  [ $# -gt 0 ] || set -- -c:v copy
  ffmpeg -nostdin -loglevel error -re -stream_loop -1 -i "$clip" -an "$@" -f v4l2 "/dev/video$number" \
    </dev/null >"/tmp/feed$number.log" 2>&1 &
  FEEDER=$!
  within 20 "/dev/video$number is fed" fed "$number"
}
fed() { [ "$(cat "/sys/class/video4linux/video$1/format" 2>/dev/null)" != "" ]; }
# Ends a program and waits for it.
end() { kill "-${2:-TERM}" "$1" 2>/dev/null; wait "$1" 2>/dev/null; }

# vivid, a test picture in many formats, at /dev/videoNUMBER.
vivid() { modprobe vivid n_devs=1 node_types=0x1 vid_cap_nr="$1"; }
# Unplugs and plugs in again: the driver lets its device go while programs have it open, as a USB driver does.
vivid_unplug() { echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind; }
vivid_plug() { echo vivid.0 >/sys/bus/platform/drivers/vivid/bind; }

# A gpio-sim chip: `gpio_chip NAME LINES [OFFSET:NAME...]` sets GPIO_DEV and GPIO_SYS. Needs `prepare.sh gpio`.
gpio_chip() {
  local name=$1 lines=$2 bank part
  shift 2
  modprobe configfs
  mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
  modprobe gpio-sim || return 1
  bank=/sys/kernel/config/gpio-sim/$name/bank0
  mkdir -p "$bank"
  echo "$lines" >"$bank/num_lines"
  for part in "$@"; do
    mkdir -p "$bank/line${part%%:*}"
    echo "${part#*:}" >"$bank/line${part%%:*}/name"
  done
  echo 1 >"/sys/kernel/config/gpio-sim/$name/live"
  GPIO_DEV=/dev/$(cat "$bank/chip_name")
  GPIO_SYS=/sys/devices/platform/$(cat "/sys/kernel/config/gpio-sim/$name/dev_name")/$(cat "$bank/chip_name")
}
# What the world outside measures at a line, and what it drives into one.
gpio_level() { cat "$GPIO_SYS/sim_gpio$1/value"; }
gpio_pull() { echo "pull-$2" >"$GPIO_SYS/sim_gpio$1/pull"; }

# `photograph NAME`: what the display shows goes to $OUT/NAME.ppm.
photograph() {
  rm -f "$OUT/$1.ppm"
  echo "$1" >"$OUT/picture.part"
  mv "$OUT/picture.part" "$OUT/picture"
  until [ -f "$OUT/$1.ppm" ]; do sleep 0.1; done
}

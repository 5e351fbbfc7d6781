#!/usr/bin/env bash
# package.sh DEB : the finished Debian package in a Debian 12 of its own, made by mmdebstrap: installed, upgraded, removed and
# purged by the real dpkg, with a relay line (kind sim, which keeps its level) that is energised while it happens. systemd
# does not run in there: a stand-in for systemctl starts and stops the two programs as their units say, and writes down
# what the line was. Then lintian. tests/deb.sh is the quick test of the scripts alone.
set -euo pipefail
deb=$(realpath "${1:?usage: package.sh DEB}")
cache=${CARDEA_CROSS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cardea-cross}
suite=bookworm
if [ "${CARDEA_PACKAGE_INSIDE:-}" != yes ]; then
  mkdir -p "$cache"
  if [ ! -f "$cache/$suite.tar" ]; then
    echo "package: making a Debian $suite for the test (once)" >&2
    # shellcheck disable=SC2016  # The words in $() are apt's own.
    mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' | sed -n 's/^Debian|Debian|//p' | sort -u | head -n 1)
    [ -n "$mirror" ] || { echo "package: apt knows no Debian mirror; run apt-get update" >&2; exit 77; }
    mmdebstrap --quiet --variant=minbase --include=systemd,libstdc++6,man-db "$suite" "$cache/$suite.tar.part" \
      "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
    mv "$cache/$suite.tar.part" "$cache/$suite.tar"
  fi
  export CARDEA_PACKAGE_INSIDE=yes
  # Mounts of its own; users of its own too where the caller is not root.
  if [ "$(id -u)" -eq 0 ]; then exec unshare --mount "$0" "$deb"; fi
  exec unshare --mount --map-root-user --map-auto "$0" "$deb"
fi
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
work=$(mktemp -d "${TMPDIR:-/tmp}/cardea-package-XXXXXX")
root=$work/root
log=$root/run/calls
faults=0
finish() {
  # Only what this test has started: their numbers stand in files of the stand-in.
  for pid in "$root"/run/*.pid; do [ ! -f "$pid" ] || kill -KILL "$(cat "$pid")" 2>/dev/null || true; done
  for device in null zero urandom random full tty; do umount -l "$root/dev/$device" 2>/dev/null || true; done
  umount -l "$root/proc" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

mkdir -p "$root"
tar -C "$root" --exclude='./dev/*' -xf "$cache/$suite.tar"
for device in null zero urandom random full tty; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"

inside() { chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
check() { # check WHAT COMMAND...
  local what=$1
  shift
  if "$@" >"$work/out" 2>&1; then echo "ok: $what"; else faults=$((faults + 1)); echo "FAULT: $what"; cat "$work/out"; [ ! -f "$log" ] || cat "$log"; fi
}
dpkg_in() { inside dpkg --force-confdef --force-confold "$@" >"$work/dpkg" 2>&1 || { cat "$work/dpkg"; return 1; }; }
owner() { inside stat -c '%a %U:%G' "$1"; }
is() { [ "$("${@:2}")" = "$1" ] || { echo "is not $1: $("${@:2}")"; false; }; }

# The same package with a higher version and another default configuration: what an upgrade brings.
newer() { # newer VERSION
  dpkg-deb -R "$deb" "$work/$1"
  sed -i "s/^Version: .*/Version: $1/" "$work/$1/DEBIAN/control"
  echo "# A new key of $1." >>"$work/$1/etc/cardea/cardea.toml"
  dpkg-deb --root-owner-group -Znone -b "$work/$1" "$root/$1.deb" >/dev/null
}
cp "$deb" "$root/first.deb"
newer 99.0-1
newer 99.1-1
version=$(dpkg-deb -f "$deb" Version)

echo "== installation"
dpkg_in -i /first.deb
# shellcheck disable=SC2016  # dpkg-query's own word.
check "dpkg calls it installed" is "install ok installed" inside dpkg-query -W -f '${Status}' cardea
check "the program runs and tells its version" is "cardea ${version%-*}" inside cardea --version
check "both users" inside id cardea cardea-guard
check "the daemon's user is in the groups of its devices" eval 'inside id -nG cardea | grep -qw video'
check "the configuration is root's, read by the services' group, and by nobody else" is "640 root:cardea" owner /etc/cardea/cardea.toml
check "so is its directory" is "750 root:cardea" owner /etc/cardea
check "the state directory is the daemon's alone" is "700 cardea:cardea" owner /var/lib/cardea
check "the daemon's user finds the configuration without fault" inside setpriv --reuid cardea --regid cardea --init-groups cardea config check
check "so does the guard's" inside setpriv --reuid cardea-guard --regid cardea-guard --groups cardea cardea config check
check "somebody else cannot read it" eval '! inside setpriv --reuid nobody --regid nogroup --clear-groups cat /etc/cardea/cardea.toml'
inside man -P cat cardea >"$work/man" 2>&1 || true
check "man cardea" grep -q "Opens doors for faces it knows" "$work/man"
check "a man page for each command that systemd's units name" inside man -w cardea-guard cardea-run
for file in bash-completion/completions/cardea zsh/vendor-completions/_cardea fish/vendor_completions.d/cardea.fish; do
  check "completions: $file" inside grep -q config "/usr/share/$file"
done
for unit in cardea.service cardea-guard.service cardea-guard.socket; do
  check "$unit is there and not enabled" eval "inside test -f /usr/lib/systemd/system/$unit && ! ls $root/etc/systemd/system/*/$unit"
done
# Its C++ library is this Debian's.
inside cardea doctor --json >"$work/doctor" 2>&1 || true # It finds that there are no networks yet.
check "the package's ONNX Runtime loads on this Debian" grep -q "ONNX Runtime [0-9.]* (/usr/lib/cardea/libonnxruntime.so) loads" "$work/doctor"
check "nothing was started" test ! -e "$log"

# From here on systemctl is there, and so is a door: the line is energised for 10 s at a time.
mkdir -p "$root"/run/systemd/system "$root"/srv/frames
ffmpeg -v error -nostdin -f lavfi -i testsrc2=size=320x240:rate=30 -frames:v 90 -q:v 3 "$root/srv/frames/%03d.jpg"
echo '{"picture": [320, 240], "rows": [{"frames": [0, 9000], "face": {"box": [100, 50, 120, 140], "person": 7}}]}' >"$root/srv/script.json"
cat >"$root/etc/cardea/cardea.toml" <<'EOF'
# Mine.
models = { pack = "scripted", script = "/srv/script.json" }
camera = { kind = "file", path = "/srv/frames", looped = false }
challenge.mode = "off"
prompt.kind = "none"
insecure = { scripted_models = true, challenge_off = true, virtual_camera = true }
[door]
guard = "socket"
guard_socket = "/run/guard.sock"
hold_ms = 10000
relay = { kind = "sim", line = "/var/lib/cardea/line", persist = true }
EOF
# As the units say, by root: users and sandbox are systemd's and are judged by tests/units.rs.
cat >"$root/usr/local/sbin/systemctl" <<'EOF'
#!/bin/bash
# Stands in for systemd: runs a unit's ExecStart= and after its end the ExecStopPost=, and notes the line's level.
level() { cat /var/lib/cardea/line 2>/dev/null || echo -; }
note() { echo "line $(level) $*" >>/run/calls; }
exec_of() { sed -n "s/^$2=//p" "/usr/lib/systemd/system/$1"; }
# A zombie is not alive: whoever adopts orphans here may not reap them.
alive() {
  local state
  [ -f "/run/$1.pid" ] && state=$(cut -d ' ' -f 3 "/proc/$(cat "/run/$1.pid")/stat" 2>/dev/null) && [ "$state" != Z ]
}
start() {
  case $1 in *.socket) return ;; esac
  setsid $(exec_of "$1" ExecStart) >>"/run/$1.log" 2>&1 </dev/null &
  echo $! >"/run/$1.pid"
}
stop() {
  alive "$1" || return 0
  [ ! -e "/run/$1.deaf" ] || return 1
  kill -TERM "$(cat "/run/$1.pid")"
  for _ in $(seq 500); do alive "$1" || break; sleep 0.01; done
  if alive "$1"; then note "$1 does not end"; return 1; fi
  rm "/run/$1.pid"
  post=$(exec_of "$1" ExecStopPost)
  [ -z "$post" ] || $post
  # Its socket's end reaches the guard after its own.
  for _ in $(seq 10); do [ "$(level)" = 1 ] || break; sleep 0.01; done
}
verb=$1
shift
now=no quiet=no units=()
for word in "$@"; do
  case $word in --now) now=yes ;; --quiet) quiet=yes ;; *) units+=("$word") ;; esac
done
[ "$quiet" = yes ] || note "before $verb ${units[*]}"
code=0
for unit in "${units[@]}"; do
  case $verb in
  start) [ -e /run/no-daemon ] || start "$unit" || code=1 ;;
  stop) stop "$unit" || code=1 ;;
  try-restart) if alive "$unit"; then stop "$unit" && start "$unit" || code=1; fi ;;
  disable) [ "$now" = no ] || stop "$unit" || code=1 ;;
  is-active) alive "$unit" || code=3 ;;
  esac
done
[ "$quiet" = yes ] || note "after $verb ${units[*]}"
exit $code
EOF
chmod +x "$root/usr/local/sbin/systemctl"
inside cardea enroll ada --image /srv/frames/001.jpg >/dev/null 2>&1 || { echo "FAULT: enroll"; faults=$((faults + 1)); }
level() { cat "$root/var/lib/cardea/line"; }
# Starts both and waits until somebody was let in.
open_door() {
  inside systemctl start cardea-guard.service
  for _ in $(seq 500); do [ -S "$root/run/guard.sock" ] && break; sleep 0.01; done
  inside systemctl start cardea.service
  for _ in $(seq 1500); do [ "$(level)" = 0 ] || break; sleep 0.01; done
  : >"$log"
  [ "$(level)" = 1 ] || { echo "nobody was let in"; cat "$root"/run/*.log; false; }
}
calls() { cut -d' ' -f2- "$log" | grep -v daemon-reload | tr '\n' '|'; }
told() { [ "$(calls)" = "$1" ] || { echo "told: $(calls)"; false; }; }

echo "== upgrade, the door open"
check "somebody is let in" open_door
: >"$root/run/no-daemon" # Nobody is let in again afterwards.
dpkg_in -i /99.0-1.deb
check "the daemon ends first and with it the pulse; the guard is changed on a line that is inactive" \
  told "1 before stop cardea.service|0 after stop cardea.service|0 before try-restart cardea-guard.service|0 after try-restart cardea-guard.service|0 before start cardea.service|0 after start cardea.service|"
check "the line is inactive" is 0 level
check "the new guard owns it" inside systemctl is-active --quiet cardea-guard.service
check "the edited configuration is the edited one" grep -q '^# Mine.$' "$root/etc/cardea/cardea.toml"
check "the new default lies beside it" grep -q 'A new key of 99.0-1' "$root/etc/cardea/cardea.toml.dpkg-dist"
check "its mode too" is "640 root:cardea" owner /etc/cardea/cardea.toml

echo "== upgrade, the door open and the daemon does not end"
rm "$root/run/no-daemon"
inside systemctl stop cardea-guard.service
rm -f "$root/run/guard.sock"
check "somebody is let in" open_door
: >"$root/run/cardea.service.deaf"
: >"$root/run/no-daemon"
dpkg_in -i /99.1-1.deb
check "the guard's own end puts the line inactive" \
  told "1 before stop cardea.service|1 after stop cardea.service|1 before try-restart cardea-guard.service|0 after try-restart cardea-guard.service|0 before start cardea.service|0 after start cardea.service|"
rm "$root/run/cardea.service.deaf"
inside systemctl stop cardea.service cardea-guard.service
rm -f "$root/run/guard.sock"

echo "== removal, the door open"
rm "$root/run/no-daemon"
check "somebody is let in" open_door
: >"$root/run/cardea-guard.service.deaf"
check "a guard that does not end stops the removal" eval '! inside dpkg -r cardea'
check "its program is still there to lock with" test -x "$root/usr/bin/cardea"
rm "$root/run/cardea-guard.service.deaf"
check "the daemon's end had put the line inactive" is 0 level
: >"$log"
dpkg_in -r cardea
check "the guard ends before its program goes" \
  told "0 before disable cardea.service|0 after disable cardea.service|0 before disable cardea-guard.service cardea-guard.socket|0 after disable cardea-guard.service cardea-guard.socket|"
check "the line is inactive" is 0 level
check "the program is gone" test ! -e "$root/usr/bin/cardea"
check "configuration, people and key stay" test -f "$root/etc/cardea/cardea.toml" -a -f "$root/var/lib/cardea/people.key"

echo "== purge"
mkdir -p "$root/etc/credstore.encrypted"
: >"$root/etc/credstore.encrypted/cardea.people.key"
: >"$root/etc/credstore.encrypted/other"
dpkg_in -P cardea
check "configuration, state and keys are gone" test ! -e "$root/etc/cardea" -a ! -e "$root/var/lib/cardea" -a ! -e "$root/etc/credstore.encrypted/cardea.people.key"
check "what is not ours stays" test -f "$root/etc/credstore.encrypted/other"
check "dpkg knows nothing of it any more" eval '! inside dpkg-query -s cardea'
# shellcheck disable=SC2016  # For eval.
check "no file of the name is left" eval '! find "$root/usr" "$root/etc" "$root/var/lib" -path "*/dpkg/*" -prune -o -name "*cardea*" -print | grep .'

echo "== lintian"
check "neither errors nor warnings" lintian --fail-on error,warning "$deb"
cat "$work/out"
echo "$faults faults"
[ "$faults" -eq 0 ]

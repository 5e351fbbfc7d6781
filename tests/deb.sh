#!/usr/bin/env bash
# The package's maintainer scripts under the real dpkg, in a root of their own with a systemctl that only writes down what
# it was told. Shows their order and what stays; not what systemd makes of it. Needs dpkg; as a user also unshare.
set -euo pipefail
repo=$(cd "$(dirname "$0")/.." && pwd)
[ "$(id -u)" -eq 0 ] || exec unshare --map-root-user "$0" "$@"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
work=$(mktemp -d "${TMPDIR:-/tmp}/cardea-deb-XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
calls=$root/tmp/calls
faults=0

check() { # check WHAT COMMAND...
  local what=$1
  shift
  if "$@"; then echo "ok: $what"; else faults=$((faults + 1)); echo "FAULT: $what"; cat "$calls"; fi
}
# Calls of systemctl that change something, in their order.
changes() { grep '^systemctl' "$calls" | grep -v is-active | cut -d' ' -f2- | tr '\n' '|'; }
told() { [ "$(changes)" = "$1" ] || { echo "told: $(changes)"; false; }; }

mkdir -p "$root"/{bin,tmp,etc,dev,run/systemd/system,var/lib/dpkg/info}
: >"$root/dev/null" # A file does where nobody may make a device.
touch "$root/var/lib/dpkg/status"
printf 'root:x:0:0::/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\n' >"$root/etc/group"
for tool in sh rm rmdir chmod; do
  cp -L "$(command -v $tool)" "$root/bin/"
  for lib in $(ldd "$(command -v $tool)" | grep -o '/[^ )]*'); do
    mkdir -p "$root$(dirname "$lib")" && cp -Ln "$lib" "$root$lib"
  done
done
stub() { printf '#!/bin/sh\necho "%s $*" >>/tmp/calls\n%s\n' "$1" "${2:-}" >"$root/bin/$1"; chmod +x "$root/bin/$1"; }
stub systemctl 'case "$*" in
*is-active*cardea.service) [ -e /tmp/runs ] ;;
*is-active*cardea-guard.service) [ -e /tmp/stuck ] ;;
esac'
stub systemd-sysusers
stub systemd-tmpfiles
stub udevadm
stub getent
stub chgrp

package() { # package VERSION
  local dir=$work/$1
  mkdir -p "$dir"/{DEBIAN,usr/bin,etc/cardea}
  printf 'Package: cardea\nVersion: %s\nArchitecture: all\nMaintainer: Cardea <cardea@example.org>\nDescription: test\n' "$1" >"$dir/DEBIAN/control"
  echo /etc/cardea/cardea.toml >"$dir/DEBIAN/conffiles"
  install -m 0755 "$repo"/debian/{postinst,prerm,postrm} "$dir/DEBIAN/"
  echo "# $1" >"$dir/etc/cardea/cardea.toml"
  dpkg-deb --root-owner-group --build "$dir" "$work/$1.deb" >/dev/null
}
deb() { : >"$calls"; dpkg --root="$root" --force-confold "$@" >"$work/log" 2>&1 || { cat "$work/log"; return 1; }; }

package 1
package 2

deb -i "$work/1.deb"
check "an installation starts nothing" told "daemon-reload|"
check "users before directories" test "$(grep -o '^systemd-[a-z]*' "$calls" | tr '\n' ' ')" = "systemd-sysusers systemd-tmpfiles "
check "others do not read the configuration" test "$(stat -c %a "$root/etc/cardea/cardea.toml")" = 640

echo mine >>"$root/etc/cardea/cardea.toml"
touch "$root/tmp/runs"
deb -i "$work/2.deb"
check "an upgrade ends the daemon, changes the guard and starts the daemon" \
  told "daemon-reload|stop cardea.service|try-restart cardea-guard.service|start cardea.service|"
check "an upgrade keeps the configuration" grep -q mine "$root/etc/cardea/cardea.toml"
rm "$root/tmp/runs"
deb -i "$work/2.deb"
check "an upgrade starts nothing that did not run" told "daemon-reload|try-restart cardea-guard.service|"

touch "$root/tmp/stuck"
check "a guard that does not end stops the removal" eval '! deb -r cardea >/dev/null'
rm "$root/tmp/stuck"
mkdir -p "$root/var/lib/cardea"
touch "$root/var/lib/cardea/people.key"
deb -r cardea
check "a removal ends the daemon, then the guard" \
  told "disable --now cardea.service|disable --now cardea-guard.service cardea-guard.socket|daemon-reload|"
check "a removal keeps configuration and people" test -e "$root/etc/cardea/cardea.toml" -a -e "$root/var/lib/cardea/people.key"
deb -P cardea
check "a purge leaves neither" test ! -e "$root/etc/cardea" -a ! -e "$root/var/lib/cardea"
echo "$faults faults"
[ "$faults" -eq 0 ]

# shellcheck shell=bash
# shellcheck disable=SC2034  # Those who source it use them.
# Settings and helpers of the cross builds. Source it; it runs nothing.
set -euo pipefail

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Outside of target/, since `cargo clean` should not cost a download.
CACHE=${CARDEA_CROSS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cardea-cross}

say() { echo "cross: $*" >&2; }
# Exit codes are those of the program: 64 usage, 69 unavailable, 77 may not.
die() { local code=$1; shift; say "$*"; exit "$code"; }

# Debian's mirror as this machine's apt knows it.
mirror() {
  # shellcheck disable=SC2016  # The words in $() are apt's own.
  apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 2>/dev/null | sed -n 's/^Debian|Debian|//p' | sort -u | head -n 1
}

# with_suite SUITE COMMAND...: runs COMMAND with an apt that knows this one suite for amd64, arm64 and armhf, beside the
# machine's own and without touching it. Packages are held to the keyring of the machine; the age of the list is not, since a
# mirror may be a snapshot.
with_suite() {
  local suite=$1 apt site
  shift
  [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || die 69 "cross builds need a Debian for amd64; see cross/README.md for other machines"
  site=$(mirror)
  [ -n "$site" ] || die 77 "apt knows no Debian mirror; let an administrator run apt-get update, or see cross/README.md"
  apt=$(mktemp -d)
  mkdir -p "$apt"/{lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d,state}
  : >"$apt/status"
  echo "deb [arch=amd64,arm64,armhf signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $suite main" >"$apt/sources.list"
  cat >"$apt/apt.conf" <<EOF
Dir::Etc "$apt/etc"; Dir::Etc::sourcelist "$apt/sources.list"; Dir::Etc::sourceparts "-"; Dir::State "$apt/state";
Dir::State::lists "$apt/lists"; Dir::State::status "$apt/status"; Dir::Cache "$apt/cache"; APT::Sandbox::User "$(id -un)";
APT::Architecture "amd64"; APT::Architectures { "amd64"; "arm64"; "armhf"; }; Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
EOF
  (export APT_CONFIG=$apt/apt.conf; apt-get -q update >&2 && "$@")
  rm -rf "$apt"
}

# unpack DIR PACKAGE...: downloads exactly these and unpacks them into DIR; nothing is installed. For with_suite.
unpack() {
  local to=$1 debs deb
  shift
  debs=$(mktemp -d)
  (cd "$debs" && apt-get -q download "$@" >&2)
  for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$to"; done
  rm -rf "$debs"
}

# in_place DIR COMMAND...: COMMAND fills DIR.part, which then becomes DIR. What was cut off leaves no DIR.
in_place() {
  local dir=$1
  shift
  [ ! -d "$dir" ] || return 0
  rm -rf "$dir.part"
  mkdir -p "$dir.part"
  "$@" "$dir.part"
  mv "$dir.part" "$dir"
}

# Settings and helpers of the bench on the host's side. Source it; it runs nothing.
set -euo pipefail

HIL=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Outside of target/, since `cargo clean` should not cost a download.
CACHE=${HIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cardea-hil}
TOOLS=$CACHE/tools

say() { echo "hil: $*" >&2; }
# Exit codes are those of the program: 69 unavailable, 77 may not.
die() { local code=$1; shift; say "$*"; exit "$code"; }

# A program of the machine, else the one that was unpacked.
tool() {
  local found
  found=$(PATH="$PATH:/usr/sbin:/sbin" command -v "$1") || found=$TOOLS/usr/bin/$1
  [ -x "$found" ] || found=$TOOLS/bin/$1
  [ -x "$found" ] || found=$TOOLS/sbin/$1
  [ -x "$found" ] || return 1
  echo "$found"
}

# Unpacked programs find unpacked libraries; those of the machine never see them.
run_tool() {
  local path
  path=$(tool "$1") || die 69 "$1 is missing; run tests/hil/prepare.sh"
  shift
  case $path in
    "$TOOLS"/*) LD_LIBRARY_PATH=$TOOLS/usr/lib/x86_64-linux-gnu:$TOOLS/lib/x86_64-linux-gnu "$path" "$@" ;;
    *) "$path" "$@" ;;
  esac
}

#!/usr/bin/env bash
# Unpacks a Rust compiler with the standard library for arm64 and armhf into the cache: Debian's own packages, since a
# machine without rustup has no other target. Nothing is installed. Prints the compiler's path.
source "$(dirname "$0")/lib.sh"

# Debian's testing branch: the stable one's is older than Cargo.toml's rust-version.
SUITE=${CARDEA_CROSS_SUITE:-testing}

fill() {
  with_suite "$SUITE" packages "$1"
  mkdir -p "$1/wrap"
  # The compiler runs on the C library that it was built for, not on this machine's.
  cat >"$1/wrap/rustc" <<'EOF'
#!/bin/sh
root=$(dirname "$(dirname "$(readlink -f "$0")")")
lib=$root/usr/lib/x86_64-linux-gnu
exec "$lib/ld-linux-x86-64.so.2" --argv0 "$root/usr/bin/rustc" --library-path "$lib" "$root/usr/bin/rustc" "$@"
EOF
  chmod +x "$1/wrap/rustc"
  "$1/wrap/rustc" --version >&2
}

packages() {
  local std libraries
  std=$(apt-cache depends libstd-rust-dev:amd64 | sed -n 's/.*Depends: \(libstd-rust-[0-9.]*\)$/\1/p' | head -n 1)
  [ -n "$std" ] || die 69 "the suite $SUITE has no libstd-rust"
  # The compiler is a library in $std; what that needs, down to the C library.
  mapfile -t libraries < <(apt-cache depends --recurse --important "$std:amd64" | grep -oE '^(lib|zlib)[a-z0-9.+-]*$' | sort -u | sed 's/$/:amd64/')
  unpack "$1" rustc:amd64 libstd-rust-dev:{amd64,arm64,armhf} "$std:amd64" "${libraries[@]}"
}

in_place "$CACHE/rust-$SUITE" fill
echo "$CACHE/rust-$SUITE/wrap/rustc"

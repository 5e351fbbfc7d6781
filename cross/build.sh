#!/usr/bin/env bash
# build.sh PROFILE : builds the release program of a profile for its board, in target/cross/TARGET/release.
#
# Compiler: the machine's own if it has the target's standard library (rustup target add TARGET), else Debian's
# (toolchain.sh). Linker and headers: Debian's cross compiler.
source "$(dirname "$0")/lib.sh"

profile=$REPO/cross/profiles/${1:-}
[ -f "$profile" ] || die 64 "usage: build.sh $(cd "$REPO/cross/profiles" && echo * | tr ' ' '|')"
target='' features=''
# shellcheck source=profiles/arm64
source "$profile"

"$REPO/scripts/setup.sh" cross

gnu=${target/unknown-/}
gnu=${gnu/armv7/arm}
name=${target//-/_}
export "CARGO_TARGET_${name^^}_LINKER=$gnu-gcc" "CC_$name=$gnu-gcc" "AR_$name=$gnu-ar"
# bindgen reads the board's headers, not this machine's.
export "BINDGEN_EXTRA_CLANG_ARGS_$name=--sysroot=/usr/$gnu -I/usr/$gnu/include"
if [ ! -d "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ]; then
  RUSTC=$("$REPO/cross/toolchain.sh")
  export RUSTC
fi
# Of its own: with another compiler in the same directory each build would undo the other's.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$REPO/target}/cross
cd "$REPO"
cargo build --release --target "$target" --features "$features"
program=$CARGO_TARGET_DIR/$target/release/cardea
# What the oldest system has: Debian 12 and Raspberry Pi OS bookworm 2.36, JetPack 6 2.35.
needs=$("$gnu-readelf" --dyn-syms --wide "$program" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
say "$program: $(stat -c %s "$program") bytes, needs $needs"
[ "$(printf '%s\nGLIBC_2.35\n' "$needs" | sort -V | tail -n 1)" = GLIBC_2.35 ] || die 1 "$program needs $needs; JetPack 6 has 2.35"

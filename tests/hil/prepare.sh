#!/usr/bin/env bash
# Makes what the bench boots: Debian's own kernel, the modules that it lacks, a first-stage initramfs, and QEMU and small
# tools where the machine has none. Packages are downloaded by name and unpacked into the cache; nothing is installed, so
# neither root nor sudo is needed and no package of the machine is changed or removed.
#
#   prepare.sh          camera: v4l2loopback and vivid
#   prepare.sh gpio     also gpio-sim, for which Debian's kernel source (140 MB) is downloaded
source "$(dirname "$0")/lib.sh"

[ "$(uname -m)" = x86_64 ] || die 69 "the bench boots an x86-64 kernel; this machine is $(uname -m)"
command -v apt-get >/dev/null || die 69 "there is no apt-get here; the bench needs Debian's packages"
for program in gcc make strip; do
  command -v "$program" >/dev/null || die 69 "$program is missing; let scripts/setup.sh install build-essential"
done

newest() { apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: linux-image-\([0-9].*\)/\1/p' | head -n 1; }
image=$(newest)
if [ -z "$image" ]; then
  # A fresh machine has no package lists yet.
  if [ "$(id -u)" -eq 0 ]; then apt-get update -q >&2; elif command -v sudo >/dev/null; then sudo apt-get update -q >&2; fi
  image=$(newest)
fi
[ -n "$image" ] || die 77 "apt knows no linux-image-amd64; let an administrator run apt-get update (Debian is needed)"
series=$(cut -d. -f1-2 <<<"$image")

fetch() { # fetch DIR PACKAGE...: exactly these packages
  local dir=$1
  shift
  mkdir -p "$dir"
  say "downloading, without installing: $*"
  (cd "$dir" && apt-get download -q -o APT::Sandbox::User="$(id -un)" "$@" >&2)
}

# Exactly these and what they need and the machine lacks.
fetch_with_needs() {
  local dir=$1
  shift
  mkdir -p "$dir/partial"
  say "downloading, without installing, with all that they need: $*"
  apt-get install -y -q --download-only --no-install-recommends \
    -o Dir::Cache::archives="$dir" -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" "$@" >&2
}

unpack() { # unpack DEBS... DIR
  local to=${*: -1} deb
  mkdir -p "$to"
  for deb in "${@:1:$#-1}"; do dpkg-deb -x "$deb" "$to"; done
}

tools() {
  local wanted=()
  tool qemu-system-x86_64 >/dev/null || wanted+=(qemu-system-x86)
  tool modprobe >/dev/null || wanted+=(kmod)
  tool cpio >/dev/null || wanted+=(cpio)
  tool v4l2-ctl >/dev/null || wanted+=(v4l-utils)
  # Static, since the first stage has no libraries.
  [ -x "$TOOLS/bin/busybox" ] || wanted+=(busybox-static)
  [ ${#wanted[@]} -gt 0 ] || return 0
  fetch_with_needs "$CACHE/deb-tools" "${wanted[@]}"
  unpack "$CACHE"/deb-tools/*.deb "$TOOLS"
  # Links by absolute path (modprobe -> /bin/kmod) would lead out of the cache.
  find "$TOOLS" -lname '/*' -printf '%p %l\n' | while read -r link to; do ln -sfnr "$TOOLS$to" "$link"; done
  rm -rf "$CACHE/deb-tools"
}

# The kernel's build tree beside the image. Its files name each other by absolute paths, which are turned to the cache.
headers() {
  local tree=$CACHE/headers
  [ -e "$tree/done" ] && return 0
  rm -rf "$tree" "$CACHE/deb-headers"
  fetch "$CACHE/deb-headers" "linux-headers-$image" "linux-headers-${image%-amd64}-common" "linux-kbuild-$series"
  unpack "$CACHE"/deb-headers/*.deb "$tree"
  grep -rlE --include='Makefile*' --include='.kernelvariables' '/usr/(src|lib)/linux-' "$tree/usr" |
    xargs sed -i -E "s,(^|[ =])/usr/(src|lib)/linux-,\\1$tree/usr/\\2/linux-,g"
  touch "$tree/done"
  rm -rf "$CACHE/deb-headers"
}

build() { # build DIR: the modules of a Kbuild directory
  make -s -C "$CACHE/headers/usr/src/linux-headers-$image" M="$1" modules >&2
}

install_module() { # install_module FILE.ko
  local to=$CACHE/kernel/lib/modules/$image/extra
  mkdir -p "$to"
  strip --strip-debug -o "$to/$(basename "$1")" "$1"
  run_tool depmod -b "$CACHE/kernel" "$image"
}

kernel() {
  [ "$(cat "$CACHE/kernel/release" 2>/dev/null)" = "$image" ] && return 0
  rm -rf "$CACHE"/{kernel,headers,deb-kernel,build}
  fetch "$CACHE/deb-kernel" "linux-image-$image" v4l2loopback-dkms
  unpack "$CACHE"/deb-kernel/linux-image-*.deb "$CACHE/kernel"
  unpack "$CACHE"/deb-kernel/v4l2loopback-dkms_*.deb "$CACHE/build/v4l2loopback"
  headers
  local source
  source=$(echo "$CACHE"/build/v4l2loopback/usr/src/v4l2loopback-*)
  build "$source"
  install_module "$source/v4l2loopback.ko"
  mv "$CACHE/kernel/boot/vmlinuz-$image" "$CACHE/kernel/vmlinuz"
  rm -rf "$CACHE"/{deb-kernel,build} "$CACHE"/kernel/{boot,usr}
  echo "$image" >"$CACHE/kernel/release"
}

# Debian's kernels leave CONFIG_GPIO_SIM and the interrupt simulator that it uses off; both build outside of the kernel.
gpio() {
  [ -e "$CACHE/kernel/lib/modules/$image/extra/gpio-sim.ko" ] && return 0
  headers
  fetch "$CACHE/deb-source" "linux-source-$series"
  local at=$CACHE/build/gpio
  mkdir -p "$at"
  dpkg-deb --fsys-tarfile "$CACHE"/deb-source/linux-source-*.deb | tar -xO "./usr/src/linux-source-$series.tar.xz" |
    tar -xJ -C "$at" --transform 's,.*/,,' --wildcards \
      '*/drivers/gpio/gpio-sim.c' '*/drivers/gpio/gpiolib.h' '*/kernel/irq/irq_sim.c'
  mv "$at/gpio-sim.c" "$at/gpio_sim_core.c"
  # irq_to_desc is not exported to modules.
  sed -i 's/irq_to_desc(\([a-z]*\))/irq_data_to_desc(irq_get_irq_data(\1))/' "$at/irq_sim.c"
  printf 'obj-m := gpio-sim.o\ngpio-sim-y := gpio_sim_core.o irq_sim.o\n' >"$at/Kbuild"
  build "$at"
  install_module "$at/gpio-sim.ko"
  rm -rf "$CACHE/deb-source" "$CACHE/build"
}

# The first stage only mounts the host's files: busybox, /init and the modules for that.
initramfs() {
  local root=$CACHE/initramfs module
  rm -rf "$root"
  mkdir -p "$root"/{bin,mod,proc,sys,dev,lower,rw,new}
  cp "$TOOLS/bin/busybox" "$root/bin/busybox"
  ln -s busybox "$root/bin/sh"
  install -m 0755 "$HIL/guest/init" "$root/init"
  for module in virtio_pci virtio_rng 9pnet_virtio 9p overlay; do
    run_tool modprobe -d "$CACHE/kernel" -S "$image" --show-depends "$module"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
    cp "$file" "$root/mod/"
    basename "$file" >>"$root/mod/order"
  done
  (cd "$root" && find . | run_tool cpio --quiet -o -H newc | gzip -1) >"$CACHE/initramfs.gz"
  rm -rf "$root"
}

mkdir -p "$CACHE"
# Two runs at once must not build into each other.
exec 9>"$CACHE/lock"
flock 9
before=$(cat "$CACHE/kernel/release" 2>/dev/null || true)
tools
kernel
[ "${1:-}" = gpio ] && gpio
if [ "$before" != "$image" ] || [ ! -e "$CACHE/initramfs.gz" ] || [ "$HIL/guest/init" -nt "$CACHE/initramfs.gz" ]; then
  initramfs
  say "kernel $image is ready in $CACHE"
fi

#!/usr/bin/env bash
# Installs what building, testing and the demo need and this machine lacks, by Debian package name.
#   setup.sh          for make demo and make test
#   setup.sh cross    also for building for arm64 and armhf
#   setup.sh deb      also for testing the Debian package
#   setup.sh clients  also the clients that tests use, from PyPI and npm into target/clients
# Prints the list first. Exits with 77 where it may not install; then the list is for whoever may.
# Everything goes to standard error: the demo's standard output belongs to its records.
set -euo pipefail
exec >&2

has() { PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null 2>&1; }
libclang() { compgen -G "${LIBCLANG_PATH:-/nonexistent}/libclang*.so*" || compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' ||
  compgen -G '/usr/lib/*/libclang*.so*' || compgen -G '/usr/lib*/libclang*.so*'; }

for tool in cargo python3; do
  if ! has "$tool"; then
    echo "setup: $tool is missing; install it first (Rust: the toolchain named in Cargo.toml, rust-version)"
    exit 77
  fi
done

missing=()
has cc || missing+=(build-essential)                                # SQLite and ring are compiled.
libclang >/dev/null || missing+=(libclang-dev)                      # bindgen, for V4L2.
[ -e /usr/include/linux/videodev2.h ] || missing+=(linux-libc-dev)  # V4L2's own header.
has ffmpeg || missing+=(ffmpeg)                                     # Clips that are not MJPEG.
has mosquitto || missing+=(mosquitto)                               # The broker of the demo and of the tests.
has mosquitto_sub || missing+=(mosquitto-clients)                   # Reads what the broker was told.
has strace || missing+=(strace)                                      # What a power cut may leave of a writer's files.
has mke2fs || missing+=(e2fsprogs)                                   # A file system to look for remains in.
has promtool || missing+=(prometheus)                                # Judges metrics and alert rules; nothing of it runs.
has nginx || missing+=(nginx-light)                                   # The proxy of docs/deploy.md, started by its test alone.
has systemd-analyze && has systemd-sysusers || missing+=(systemd)   # Judges the units; nothing of it runs.
has chromium || missing+=(chromium)                                  # The console in a real browser.
has node || missing+=(nodejs)                                        # Clients in JavaScript, as their owners run them.
has npm || missing+=(npm)
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)  # The model build tool's environment.
clients=
for more in "$@"; do
  case $more in
  clients) clients=yes ;;
  cross)
    has aarch64-linux-gnu-gcc || missing+=(gcc-aarch64-linux-gnu)
    [ -e /usr/aarch64-linux-gnu/include/linux/videodev2.h ] || missing+=(libc6-dev-arm64-cross linux-libc-dev-arm64-cross)
    [ -e /usr/aarch64-linux-gnu/lib/libstdc++.so.6 ] || missing+=(libstdc++6-arm64-cross)  # ONNX Runtime under emulation.
    has arm-linux-gnueabihf-gcc || missing+=(gcc-arm-linux-gnueabihf)
    [ -e /usr/arm-linux-gnueabihf/include/linux/videodev2.h ] || missing+=(libc6-dev-armhf-cross linux-libc-dev-armhf-cross)
    ;;
  deb)
    has mmdebstrap || missing+=(mmdebstrap)                         # A Debian of its own to install into.
    has lintian || missing+=(lintian)
    ;;
  *) echo "setup: $more is unknown; cross, deb or clients"; exit 64 ;;
  esac
done

install_packages() {
  echo "setup: these packages are missing: ${missing[*]}"
  if ! has apt-get; then
    echo "setup: there is no apt-get here; install them by hand"
    exit 77
  elif [ "$(id -u)" -eq 0 ]; then
    as_root=(env)
  elif has sudo; then
    as_root=(sudo)
  else
    echo "setup: neither root nor sudo; let an administrator run: apt-get install ${missing[*]}"
    exit 77
  fi
  echo "setup: installing them with apt-get"
  "${as_root[@]}" apt-get update -q
  # The tests start brokers of their own. What these two packages bring would listen at once, and again after each boot.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin "$policy"
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
  for service in mosquitto prometheus nginx; do
    case " ${missing[*]} " in *" $service"*)
      if has systemctl; then "${as_root[@]}" systemctl disable --quiet "$service" 2>/dev/null || true; fi ;;
    esac
  done
}

[ ${#missing[@]} -eq 0 ] || install_packages

# Anew when a list changes; the mark comes last, so that what was cut off is done again.
if [ -n "$clients" ]; then
  cd "$(dirname "$0")/.."
  lists=(tests/clients/requirements.txt tests/clients/npm.txt)
  if ! cat "${lists[@]}" | cmp -s - target/clients/done; then
    echo "setup: installing clients for the tests into target/clients: $(tr '\n' ' ' < <(cat "${lists[@]}"))"
    mkdir -p target/clients
    python3 -m venv target/clients/venv
    target/clients/venv/bin/pip install --quiet --disable-pip-version-check -r tests/clients/requirements.txt
    # shellcheck disable=SC2046  # One package a line, none with a blank in it.
    npm install --silent --no-audit --no-fund --no-save --no-package-lock --prefix target/clients $(cat tests/clients/npm.txt)
    cat "${lists[@]}" > target/clients/done
  fi
fi

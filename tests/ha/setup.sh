#!/usr/bin/env bash
# Puts Home Assistant's own Python package into a virtual environment, once, and prints the environment's Python.
#   setup.sh DIR          a release that a Python found here can run (schemas)
#   setup.sh DIR live     one that `make ha-live` starts as a whole: Python 3.14, or 3.13 with an older release
# Home Assistant of 2024.11 and later knows the announcement of a whole device. Debian 12's own Python 3.11 runs 2024.3.3, which
# is older: validate.py then splits the announcement into one for each entity.
set -euo pipefail
dir=$1
mode=${2:-}

# The pinned release for each Python; what a release needs beside itself for the parts that are looked at.
release() {
  case $1 in
  3.14) echo "homeassistant==2026.11.0 paho-mqtt==2.1.0 aiohasupervisor==0.8.1 numpy PyTurboJPEG" ;;
  3.13) echo "homeassistant==2025.4.4 paho-mqtt==2.1.0 numpy PyTurboJPEG" ;;
  3.11) echo "homeassistant==2024.3.3 paho-mqtt==1.6.1" ;;
  *) return 1 ;;
  esac
}

shopt -s nullglob
for want in 3.11 3.14 3.13; do
  [ -z "$mode" ] || [ "$want" != 3.11 ] || continue
  for python in "${CARDEA_HA_PYTHON:-}" "python$want" python3 "$HOME"/.pyenv/versions/"$want".*/bin/python3; do
    [ -n "$python" ] || continue
    found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    [ "$found" = "$want" ] || continue
    packages=$(release "$want")
    home=$dir/$(echo "$packages" | cut -d' ' -f1 | tr -d =)
    if [ ! -e "$home/complete" ]; then
      echo "setup: pip install $packages, into $home" >&2
      rm -rf "$home"
      "$python" -m venv "$home"
      core=${packages%% *}
      if [ "$want" != 3.11 ]; then
        # A release lies down what it runs with; without that pip tries one release after the other of what it depends on.
        "$home/bin/pip" install --quiet --no-deps "$core" >&2
        bounds=$("$home/bin/python" -c 'import homeassistant, os; print(os.path.dirname(homeassistant.__file__))')/package_constraints.txt
        # shellcheck disable=SC2086
        "$home/bin/pip" install --quiet --prefer-binary --constraint "$bounds" $packages >&2
      else
        # shellcheck disable=SC2086
        "$home/bin/pip" install --quiet $packages >&2
      fi
      touch "$home/complete"
    fi
    echo "$home/bin/python"
    exit 0
  done
done
echo "setup: no Python ${mode:+of version 3.13 or later }is here that runs Home Assistant; set CARDEA_HA_PYTHON to one" >&2
exit 77

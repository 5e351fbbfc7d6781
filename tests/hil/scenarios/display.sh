# A display on DRM, as HDMI and DSI are: a real driver (bochs) with its connector, photographed from outside, unplugged and
# back, and turned.
# qemu: -device bochs-display,xres=800,yres=480,romfile=
source /hil/bench/guest/lib.sh

modprobe bochs || fault "there is no driver bochs"
within 10 "there is a card" test -e /dev/dri/card0
PLUG=$(echo /sys/class/drm/card0-*/status)
check "a display is plugged in" grep -qx connected "$PLUG"
cat "${PLUG%/*}/modes" | head -n 1

SHOW=0
# `show NAME [--set...]`: shows one screen until it is ended; sets SHOW. (A function in the background would be a shell.)
show() {
  [ "$SHOW" = 0 ] || end "$SHOW"
  "$OUT/cardea" --set 'prompt.kind="drm"' "${@:2}" prompts --show "$1" --each-ms 600000 >/dev/null 2>"$OUT/show.log" &
  SHOW=$!
}
raw() { ffmpeg -nostdin -loglevel error -y -i "$1" "${@:3}" -f rawvideo -pix_fmt rgb24 "$2"; }
# `wanted NAME LANGUAGE [FILTER]`: the picture as the daemon writes it to a file, which tests of the host look at.
wanted() {
  rm -rf /tmp/wanted
  cardea --set 'prompt.kind="png"' --set 'prompt.path="/tmp/wanted"' --set 'prompt.size="800x480"' \
    --set "prompt.language=\"$2\"" prompts --show "$1" --each-ms 500 >/dev/null
  raw /tmp/wanted/screen.png /tmp/wanted.rgb "${@:3}"
}
shown() { photograph "$1" && raw "$OUT/$1.ppm" /tmp/shown.rgb && cmp -s /tmp/wanted.rgb /tmp/shown.rgb; }
says() { grep -q -- "$1" "$OUT/show.log"; }

note "== the display shows, dot for dot, what the daemon drew"
for screen in looking-come_closer:ja unavailable:de; do
  wanted "${screen%:*}" "${screen#*:}"
  show "${screen%:*}" --set "prompt.language=\"${screen#*:}\""
  within 30 "${screen%:*} is shown" shown "${screen%:*}"
done

note "== unplugged and back"
echo off >"$PLUG"
within 15 "the log says that it is unplugged" says "the display was unplugged"
check "the program lives" kill -0 "$SHOW"
echo detect >"$PLUG"
within 60 "the same screen is shown again" shown unavailable

note "== a handshake is one colour all over"
show light
uniform() { photograph light && raw "$OUT/light.ppm" /tmp/shown.rgb && [ "$(od -An -v -tx1 -w3 /tmp/shown.rgb | sort -u)" = " ff 80 ff" ]; }
within 30 "the whole display is magenta" uniform

note "== a display that hangs upside down"
wanted turn_left fr -vf hflip,vflip
show turn_left --set prompt.drm.rotate=180 --set 'prompt.language="fr"'
# The bar shrinks to nothing first; the file was written at its beginning.
half() { photograph turned && raw "$OUT/turned.ppm" /tmp/shown.rgb && cmp -s -i $((800 * 40 * 3)) /tmp/wanted.rgb /tmp/shown.rgb; }
within 30 "the picture stands on its head" half
end "$SHOW"
verdict

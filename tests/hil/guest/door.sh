# The daemon on a camera of the guest. Source it after lib.sh; it runs nothing but a copy of the state.
# Expects in /hil/out: state/ with p01 and the photo's person enrolled, and the MJPEG clips p01.avi, p03.avi, photo.avi.

cp -r "$OUT/state" /tmp/state
chmod -R go= /tmp/state

# `door NAME [--set...]`: starts the daemon; its records go to $OUT/NAME.records. Sets DAEMON and RECORDS.
door() {
  RECORDS=$OUT/$1.records LINE=/tmp/$1.relay
  shift
  "$OUT/cardea" --state /tmp/state --json --set "camera.device=\"$CAMERA\"" --set insecure.virtual_camera=true \
    --set door.hold_ms=1000 --set "door.relay.line=\"$LINE\"" --set door.relay.persist=true --set 'prompt.kind="none"' \
    --set rules.lockout_failures=10 "$@" run >"$RECORDS" 2>"${RECORDS%.records}.log" &
  DAEMON=$!
  within 60 "the daemon is ready" record system.ready
}
# `record TYPE [TEXT]`: such a record was written, and holds that text.
record() { grep "\"type\":\"$1\"" "$RECORDS" 2>/dev/null | grep -q -- "${2:-}"; }
count() { grep -c "\"type\":\"$1\"" "$RECORDS"; }
at_least() { [ "$(count "$1")" -ge "$2" ]; }
pulses() { grep -c ' 1 ' "$LINE.edges" 2>/dev/null; }
close_door() {
  end "$DAEMON"
  check "the daemon left the line inactive" test "$(cat "$LINE")" = 0
}
granted() { count access.granted; }

OFF=(--set 'challenge.mode="off"' --set insecure.challenge_off=true)

# Networks by a script and a camera by files, for scenarios about what is behind a grant: minutes of inference in the
# guest tell nothing of a line. `scripted CLIP` enrols ada and sets SCRIPTED; whoever is filmed is she, and alive.
scripted() {
  mkdir -p /tmp/frames
  ffmpeg -nostdin -loglevel error -y -i "$1" -c:v copy /tmp/frames/%05d.jpg
  cat >/tmp/script.json <<'JSON'
{"picture": [360, 480], "rows": [{"frames": [0, 1000000], "face": {"box": [80, 120, 200, 240], "person": 7, "live": 0.99}}]}
JSON
  # The guest waits on the host's clock: on a busy one frames come late and rarely.
  SCRIPTED=(--set insecure.max_frame_age_ms=5000 --set 'models.pack="scripted"' --set 'models.script="/tmp/script.json"'
    --set insecure.scripted_models=true "${OFF[@]}"
    --set 'camera.kind="file"' --set 'camera.path="/tmp/frames"' --set camera.fps=5)
  "$OUT/cardea" --state /tmp/state --json "${SCRIPTED[@]}" enroll ada --image /tmp/frames/00001.jpg >/tmp/enroll.log 2>&1
  check "ada is enrolled" grep -q '"person":"ada"' /tmp/enroll.log
}

# The whole product on a V4L2 camera: an enrolled person opens the relay, a stranger and a photo do not; a camera that
# stalls or vanishes is an alarm and no grant, and is taken up again when it is back.
# Expects in /hil/out: state/ with p01 and the photo's person enrolled, and the MJPEG clips p01.avi, p03.avi, photo.avi.
source /hil/bench/guest/lib.sh

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
pulses() { grep -c ' 1 ' "$LINE.edges" 2>/dev/null; }
close_door() {
  end "$DAEMON"
  check "the daemon left the line inactive" test "$(cat "$LINE")" = 0
}
granted() { count access.granted; }

OFF=(--set 'challenge.mode="off"' --set insecure.challenge_off=true)
CAMERA=/dev/video10
loopback 10 "door camera"

note "== an enrolled person"
feed "$OUT/p01.avi" 10
door known "${OFF[@]}"
check "what weakens the door is on record" record system.insecure virtual_camera
within 60 "a visit starts" record visit.started
within 60 "p01 is let in" record access.granted '"person":"p01"'
within 10 "the line was energised" record relay.energised
within 10 "and released" record relay.released
check "one pulse" test "$(pulses)" -ge 1

note "== the camera stalls"
kill -STOP "$FEEDER"
stalled=$(now)
within 10 "a lost camera is an alarm" record alarm.camera "no frame for"
note "the alarm came $(awk -v a="$stalled" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }') s after the last frame"
before=$(granted)
sleep 3
check "nobody is let in meanwhile" test "$(granted)" = "$before"
kill -CONT "$FEEDER"
within 15 "it is taken up again" record system.camera "delivers again"
within 60 "and p01 is let in again" eval '[ "$(granted)" -gt "$before" ]'
check "the stall has closed no daemon" kill -0 "$DAEMON"

note "== the feed ends and comes back while somebody is being looked at"
within 30 "another visit starts" eval '[ "$(count visit.started)" -gt "$(count visit.ended)" ]'
end "$FEEDER"
within 10 "its visit is void" eval '[ "$(count visit.started)" = "$(count visit.ended)" ]'
within 15 "a lost camera is an alarm again" eval '[ "$(count alarm.camera)" -ge 2 ]'
feed "$OUT/p01.avi" 10
within 15 "it is opened again" eval '[ "$(count system.camera)" -ge 2 ]'
check "the daemon runs on" kill -0 "$DAEMON"
close_door
end "$FEEDER"

note "== a stranger"
feed "$OUT/p03.avi" 10
door stranger "${OFF[@]}"
within 60 "he is denied" record access.denied no_match
check "the line stayed inactive" test "$(pulses)" = 0
close_door
end "$FEEDER"

note "== a photo of an enrolled person, with the challenge of a door"
feed "$OUT/photo.avi" 10
door photo
within 60 "it is asked to do something" record visit.prompted
within 60 "it is denied" record access.denied challenge
check "the line stayed inactive" test "$(pulses)" = 0
close_door
end "$FEEDER"
rmmod v4l2loopback

note "== the camera is unplugged and plugged in again"
CAMERA=/dev/video20
vivid 20
door unplugged
for cycle in 1 2 3; do
  vivid_unplug
  within 10 "unplugged: an alarm" eval '[ "$(count alarm.camera)" -ge "$cycle" ]'
  within 5 "the daemon has let go of it" eval '! ls -l "/proc/$DAEMON/fd" | grep -q /dev/video'
  vivid_plug
  within 15 "plugged in: it delivers again" eval '[ "$(count system.camera)" -ge "$cycle" ]'
done
check "the daemon runs on" kill -0 "$DAEMON"

note "== another camera in its place"
vivid_unplug
within 10 "unplugged: an alarm" eval '[ "$(count alarm.camera)" -ge 4 ]'
rmmod vivid
loopback 20 "another camera"
feed "$OUT/p01.avi" 20
within 15 "it is refused, and that is on record" record alarm.camera "another camera than at the start"
check "and not looked through" test "$(count system.camera)" = 3
close_door
end "$FEEDER"
verdict

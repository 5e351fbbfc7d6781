# The whole product on a V4L2 camera: an enrolled person opens the relay; a camera that stalls or ends is an alarm and no
# grant, voids the visit, and is taken up again when it is back.
source /hil/bench/guest/lib.sh
source /hil/bench/guest/door.sh

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

note "== the camera stalls"
kill -STOP "$FEEDER"
stalled=$(now)
within 10 "a lost camera is an alarm" record alarm.camera "no frame for"
note "the alarm came $(awk -v a="$stalled" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }') s after the last frame"
before=$(granted)
sleep 3
check "nobody is let in meanwhile" test "$(granted)" = "$before"
check "what lay in the device is not taken for a camera that is back" test "$(count system.camera)" = 0
kill -CONT "$FEEDER"
within 15 "it is taken up again" record system.camera "delivers again"
within 60 "and p01 is let in again" at_least access.granted "$((before + 1))"
check "the stall has closed no daemon" kill -0 "$DAEMON"

note "== the feed ends and comes back while somebody is being looked at"
within 30 "another visit starts" eval '[ "$(count visit.started)" -gt "$(count visit.ended)" ]'
end "$FEEDER"
within 10 "its visit is void" eval '[ "$(count visit.started)" = "$(count visit.ended)" ]'
within 15 "a lost camera is an alarm again" at_least alarm.camera 2
feed "$OUT/p01.avi" 10
within 15 "it is opened again" at_least system.camera 2
check "the daemon runs on" kill -0 "$DAEMON"
note "visits ended: $(grep visit.ended "$RECORDS" | grep -o '"verdict":"[a-z_]*"\(,"reason":"[a-z_]*"\)\?' | tr '\n' ' ')"
close_door
check "a pulse for each grant" test "$(pulses)" = "$(granted)"
end "$FEEDER"
verdict

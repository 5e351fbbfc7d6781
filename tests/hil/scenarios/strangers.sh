# Who must not come in through a V4L2 camera: somebody who is not enrolled, and the photo of somebody who is.
source /hil/bench/guest/lib.sh
source /hil/bench/guest/door.sh

CAMERA=/dev/video10
loopback 10 "door camera"

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
verdict

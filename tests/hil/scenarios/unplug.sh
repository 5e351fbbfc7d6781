# A camera that is unplugged while the daemon looks through it, plugged in again, and replaced by another one.
source /hil/bench/guest/lib.sh
source /hil/bench/guest/door.sh

note "== the camera is unplugged and plugged in again"
CAMERA=/dev/video20
vivid 20
door unplugged
for cycle in 1 2 3; do
  vivid_unplug
  within 10 "unplugged: an alarm" at_least alarm.camera "$cycle"
  within 5 "the daemon has let go of it" eval '! ls -l "/proc/$DAEMON/fd" | grep -q /dev/video'
  vivid_plug
  within 15 "plugged in: it delivers again" at_least system.camera "$cycle"
done
check "the daemon runs on" kill -0 "$DAEMON"

note "== another camera in its place"
vivid_unplug
within 10 "unplugged: an alarm" at_least alarm.camera 4
rmmod vivid
loopback 20 "another camera"
feed "$OUT/p01.avi" 20
within 15 "it is refused, and that is on record" record alarm.camera "another camera than at the start"
check "and not looked through" test "$(count system.camera)" = 3
close_door
end "$FEEDER"
verdict

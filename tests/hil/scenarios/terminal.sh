# The whole terminal: a V4L2 camera, the real networks, the guard on a line of a gpiochip, and a broker. The clip of an
# enrolled person opens the line, as measured from outside, and the broker's subscriber hears of it; a photo does not; the
# camera's module is removed and loaded again.
source /hil/bench/guest/lib.sh
source /hil/bench/guest/door.sh

CAMERA=/dev/video10
gpio_chip door 8 0:door-relay || fault "there is no gpio-sim; run prepare.sh gpio"
level() { test "$(gpio_level 0)" = "$1"; }
heard() { grep -q -- "$1" "$OUT/heard.log" 2>/dev/null; }

note "== the broker, the guard on its socket"
ip link set lo up
printf 'listener 1883 127.0.0.1\nallow_anonymous true\n' >/tmp/mosquitto.conf
mosquitto -c /tmp/mosquitto.conf >/tmp/mosquitto.log 2>&1 &
within 20 "the broker answers" mosquitto_pub -h 127.0.0.1 -t bench/hello -m 1
mosquitto_sub -h 127.0.0.1 -t 'cardea/#' -F '%t %r %p' >"$OUT/heard.log" 2>/dev/null &
"$OUT/cardea" guard --line gpiocdev:line=door-relay --socket /tmp/guard.sock 2>/tmp/guard.log &
GUARD=$!
within 10 "the guard listens" test -S /tmp/guard.sock
# The guest computes the networks some five times slower than a board: what the bench loosens for that is told.
terminal() { # terminal NAME [--set...]
  local name=$1
  shift
  door "$name" --set 'door.guard="socket"' --set 'door.guard_socket="/tmp/guard.sock"' --set 'door.relay.kind="gpiocdev"' \
    --set 'door.relay.line="door-relay"' --set mqtt.enabled=true --set 'mqtt.host="127.0.0.1"' --set door.hold_ms=4000 --set insecure.max_frame_age_ms=5000 "$@"
}

note "== an enrolled person"
loopback 10 "door camera"
feed "$OUT/ahead.avi" 10
terminal known "${OFF[@]}"
check "what the bench loosens is told" record system.started '"insecure":\[[^]]*"max_frame_age_ms"'
check "a waiting door is locked" level 0
within 60 "p01 is let in" record access.granted '"person":"p01"'
within 2 "the line is active" level 1
within 10 "the broker's subscriber hears of the grant" heard '/event/access 0 .*granted'
within 10 "the line is inactive again" level 0
within 10 "the broker's subscriber hears of the pulse's end" heard '"type":"relay.released"'

note "== the camera's module is removed and loaded again"
end "$FEEDER" KILL
within 20 "a lost camera is an alarm" record alarm.camera
within 20 "the module can be removed: the device was let go" rmmod v4l2loopback
before=$(granted)
loopback 10 "door camera"
feed "$OUT/ahead.avi" 10
within 30 "it is opened again" record system.camera
within 60 "and p01 is let in again" at_least access.granted "$((before + 1))"
within 2 "the line is active" level 1

note "== the guard dies in mid-pulse"
end "$GUARD" KILL
within 1 "the line is inactive" level 0
end "$DAEMON"
end "$FEEDER"

note "== a photo of an enrolled person, with the challenge of a door"
"$OUT/cardea" guard --line gpiocdev:line=door-relay --socket /tmp/guard.sock 2>/tmp/guard2.log &
GUARD=$!
within 10 "the guard listens" test -S /tmp/guard.sock
feed "$OUT/photo.avi" 10
terminal photo
within 60 "it is asked to do something" record visit.prompted
within 60 "it is denied" record access.denied
check "nobody was let in" test "$(granted)" = 0
check "the line stayed inactive" level 0
end "$DAEMON"
verdict

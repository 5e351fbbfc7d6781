# Door contact, exit button and key switch on lines of a real gpiochip (gpio-sim), debounced by the kernel, driven and
# measured from outside: who opens the door is told, the bolt is thrown, the key holds it open for as long as it is turned.
source /hil/bench/guest/lib.sh
source /hil/bench/guest/door.sh

gpio_chip door 8 0:door-relay 1:contact 2:exit-button 3:key || fault "there is no gpio-sim; run prepare.sh gpio"
level() { test "$(gpio_level 0)" = "$1"; }
# Closed door, button and key at rest.
gpio_pull 1 down
gpio_pull 2 up
gpio_pull 3 up
CAMERA=none
scripted "$OUT/p01.avi"
door wired "${SCRIPTED[@]}" --set 'door.relay.kind="gpiocdev"' --set 'door.relay.line="door-relay"' --set door.hold_ms=6000 \
  --set 'door.inputs.kind="gpiocdev"' --set 'door.inputs.bias="as_is"' --set 'door.inputs.contact="contact"' \
  --set 'door.inputs.exit="exit-button"' --set 'door.inputs.hold_open="key"'

check "what the bench loosens is told at every start" record system.started '"insecure":\[[^]]*"max_frame_age_ms"'
note "== somebody is let in and opens the door"
within 30 "ada is let in" record access.granted '"person":"ada"'
within 2 "the line is active" level 1
gpio_pull 1 up
within 2 "the bolt is thrown behind the first one" level 0
within 2 "the opening is put down to the grant" record door.opened '"by":"grant"'
check "the release names its cause" record relay.released '"cause":"door_open"'
gpio_pull 1 down
within 2 "the door is shut again" record door.closed

note "== nobody was let in, and the door opens"
gpio_pull 1 up
within 2 "the door is forced" record door.forced
gpio_pull 1 down

note "== the exit button explains an opening"
gpio_pull 2 down
within 2 "the button is told" record door.exit_requested
gpio_pull 2 up
gpio_pull 1 up
within 2 "the opening is put down to the button" record door.opened '"by":"exit"'
gpio_pull 1 down

note "== a turned key holds the door open, a killed daemon ends that"
gpio_pull 3 down
within 4 "the line is active" level 1
sleep 5
check "it still is, after more than two leases" level 1
end "$DAEMON" KILL
within 2 "the line is inactive" level 0
verdict

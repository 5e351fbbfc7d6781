# The relay on a line of a real gpiochip (gpio-sim), measured from outside: named, owned by one, driven and let go.
# gpio-sim puts a line whose owner died back to its pull; that a Raspberry Pi does not is tested on a sim line with
# persist = true (tests/processes.rs).
source /hil/bench/guest/lib.sh
source /hil/bench/guest/door.sh

gpio_chip door 8 0:door-relay 1:exit-button 2:twin || fault "there is no gpio-sim; run prepare.sh gpio"
level() { test "$(gpio_level 0)" = "$1"; }
says() { "${@:2}" 2>/tmp/said; test $? -eq 69 && grep -q -- "$1" /tmp/said || { cat /tmp/said; return 1; }; }
guard() { # guard ACTIVE LINE: sets GUARD
  # Not through the function: its shell would be what is killed.
  "$OUT/cardea" guard --line "gpiocdev:active=$1,line=$2" --socket /tmp/guard.sock 2>/tmp/guard.log &
  GUARD=$!
}
lock() { cardea guard --lock --line "gpiocdev:active=$1,line=door-relay"; }

note "== one owner, and the inactive level from the first instant"
gpio_pull 0 down
check "an unused line is low" level 0
guard low door-relay
within 5 "active low: inactive is high" level 1
check "a second guard is refused" says "a living guard owns it" cardea guard --line gpiocdev:active=low,line=door-relay --socket /tmp/second.sock
check "the second one changed nothing" level 1
check "a lock beside a living guard says who has the line" says "a living guard owns it" lock low
end "$GUARD" KILL
within 1 "gpio-sim lets a dead owner's line fall to its pull" level 0
check "a lock takes a dead guard's line" lock low
guard high door-relay
sleep 0.5
check "active high: inactive is low" level 0
end "$GUARD"
check "a line that no chip has is refused" says "no chip has it; chips here" cardea guard --line gpiocdev:line=door-rely --socket /tmp/s.sock
check "a number is no name" test "$(cardea guard --line gpiocdev:line=0 --socket /tmp/s.sock >/dev/null 2>&1; echo $?)" = 64

note "== a grant drives the line, and a killed daemon releases it in mid-pulse"
CAMERA=none
scripted "$OUT/p01.avi"
door chip "${SCRIPTED[@]}" --set 'door.relay.kind="gpiocdev"' --set 'door.relay.line="door-relay"' --set door.hold_ms=9000
check "a waiting door is locked" level 0
within 30 "ada is let in" record access.granted '"person":"ada"'
within 2 "the line is active" level 1
end "$DAEMON" KILL
within 1 "the line is inactive" level 0
verdict

# The units under a real systemd, on a machine without network and with a clock of 1970: ready, watchdog, restarts, the
# journal's fields, and the relay's line (gpio-sim, measured from outside) through all of it.
# systemd
# qemu: -rtc base=1970-01-02T00:00:00
source /hil/bench/guest/lib.sh
GPIO_SYS=$(cat /srv/cardea/gpio)
level() { test "$(gpio_level 0)" = "$1"; }
property() { systemctl show "$1" -p "$2" --value; }
is() { test "$(property "$1" "$2")" = "$3"; }
finds() { "${@:2}" | grep -qi -- "$1"; }
journal() { journalctl -b -o json --no-pager "$@"; }
records() { runuser -u cardea -g cardea -- cardea --json events list | grep "\"type\":\"$1\""; }
told() { records "$1" >/dev/null; }
granted() { records access.granted | wc -l; }
at_least() { [ "$("${@:2}")" -ge "$1" ]; }
main() { property "$1" MainPID; }
other_than() { test "$(main "$1")" != "$2" && test "$(main "$1")" != 0 && is "$1" ActiveState active; }

note "== boot to ready, without network and clock"
within 30 "the daemon tells systemd that it is ready" is cardea ActiveState active || {
  journalctl -b -u cardea -u cardea-guard --no-pager | tail -n 40
  exit 1
}
check "the machine has no network" test -z "$(ls /sys/class/net | grep -v '^lo$')"
check "the guard is ready too" is cardea-guard ActiveState active
within 20 "a record says so" told system.ready
check "the clock is known not to be right" finds '"clock_synced":false' records system.started
check "what the bench loosens is told" finds '"insecure":\[[^]]*"max_frame_age_ms"' records system.started
note "ready $(records system.ready | head -n 1 | sed 's/.*"uptime_ms":\([0-9]*\).*/\1/') ms after its start; in all $(now) s after the kernel's"
check "the daemon runs as cardea" test "$(stat -c %U "/proc/$(main cardea)")" = cardea
check "the guard runs as another user" test "$(stat -c %U "/proc/$(main cardea-guard)")" = cardea-guard
check "the socket is for cardea alone" test "$(stat -c '%U %a' /run/cardea-guard.sock)" = "cardea 600"

note "== somebody is let in, and the journal holds fields"
EVERY=1 within 60 "ada is let in" at_least 1 granted
within 2 "the line is active" level 1
within 5 "the journal has the record with its fields" finds '"CARDEA_SEQ":"[0-9]' journal -u cardea CARDEA_EVENT=access.granted
check "the guard is in the journal" finds cardea-guard journal -u cardea-guard

note "== the daemon is killed in mid-pulse"
was=$(main cardea)
kill -KILL "$was"
within 1 "the line is inactive" level 0
within 20 "systemd starts another daemon" other_than cardea "$was"

note "== the guard is killed in mid-pulse"
before=$(granted)
EVERY=1 within 60 "ada is let in again" at_least $((before + 1)) granted
within 2 "the line is active" level 1
was=$(main cardea-guard)
kill -KILL "$was"
within 2 "the line is inactive" level 0
within 10 "systemd starts another guard" other_than cardea-guard "$was"
check "the line stayed inactive" level 0
within 10 "the daemon found the new guard" told system.guard

note "== the daemon hangs in mid-pulse"
before=$(granted)
EVERY=1 within 60 "ada is let in once more" at_least $((before + 1)) granted
within 2 "the line is active" level 1
was=$(main cardea)
kill -STOP "$was"
within 2 "the line is inactive" level 0
within 30 "the watchdog ends it and systemd starts another" other_than cardea "$was"
check "it was the watchdog" finds watchdog journalctl -b -u cardea --no-pager

note "== stopped"
before=$(granted)
EVERY=1 within 60 "ada is let in a last time" at_least $((before + 1)) granted
within 2 "the line is active" level 1
systemctl stop cardea
check "the line is inactive" level 0
check "the end is on record" told system.stopped

note "== without any credential"
rm /etc/credstore.encrypted/cardea.people.key
install -m 600 -o cardea -g cardea /srv/cardea/people.key /var/lib/cardea/people.key
before=$(granted)
systemctl start cardea
check "it starts all the same" is cardea ActiveState active
EVERY=1 within 60 "ada is let in with the key of the state directory" at_least $((before + 1)) granted
systemctl stop cardea cardea-guard
check "the line is inactive" level 0
runuser -u cardea -g cardea -- cardea --json events list >"$OUT/records.jsonl"
check "the chain is whole" runuser -u cardea -g cardea -- cardea --json events verify
verdict

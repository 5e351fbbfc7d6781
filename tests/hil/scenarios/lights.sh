# Lamps and a buzzer on lines of a real gpiochip (gpio-sim), measured from outside; the chip is taken away and comes back.
source /hil/bench/guest/lib.sh

chip() { gpio_chip lights 8 0:left 1:right 2:yes 3:no 4:sounder; }
chip || fault "there is no gpio-sim; run prepare.sh gpio"
levels() { test "$(for i in 0 1 2 3 4; do gpio_level $i; done | tr -d '\n')" = "$1"; }
says() { grep -q -- "$1" "$OUT/show.log"; }
SHOW=0
# `show NAME [--set...]`: shows one screen until it is ended; sets SHOW.
show() {
  [ "$SHOW" = 0 ] || end "$SHOW"
  "$OUT/cardea" --set 'prompt.kind="none"' --set 'prompt.lamps.left="left"' --set 'prompt.lamps.right="right"' \
    --set 'prompt.lamps.yes="yes"' --set 'prompt.lamps.no="no"' --set 'prompt.buzzer.line="sounder"' "${@:2}" \
    prompts --show "$1" --each-ms 600000 >/dev/null 2>"$OUT/show.log" &
  SHOW=$!
}

note "== each screen has its own lamps, and the buzzer speaks once"
show turn_left
within 20 "left is lit" levels 10000
show turn_right
within 20 "right is lit" levels 01000
show granted
within 20 "yes is lit and it sounds" levels 00101
within 5 "yes stays lit" levels 00100
show nod
within 20 "both are lit" levels 11000
within 5 "both are dark" levels 00000
within 5 "both are lit again" levels 11000

note "== a chip that goes is told, and taken again when it is back"
show denied
within 20 "no is lit" levels 00010
echo 0 >/sys/kernel/config/gpio-sim/lights/live
within 20 "the log says that the lamps are gone" says 'set the lamps'
check "the program lives" kill -0 "$SHOW"
chip
within 90 "no is lit again" levels 00010

note "== active low"
gpio_pull 2 up
show granted --set 'prompt.lamps.active="low"'
within 20 "yes is low, the others are high" levels 11010
end "$SHOW"
verdict

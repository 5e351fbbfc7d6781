# gpio-sim: an output is read from outside, an input driven from outside. For the relay to come; nothing of cardea here.
source /hil/bench/guest/lib.sh
gpio_chip door 8 0:door-relay 1:exit-button || fault "there is no gpio-sim; run prepare.sh gpio"
check "the chip is there" test -c "${GPIO_DEV:-/none}"
check "an unused line is low" test "$(gpio_level 0)" = 0
gpio_pull 1 up
check "a line follows its pull" test "$(gpio_level 1)" = 1
verdict

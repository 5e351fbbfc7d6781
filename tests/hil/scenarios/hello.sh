# The bench itself: boots, sees the host's files, loads a module, and ends.
source /hil/bench/guest/lib.sh
check "the kernel is the bench's" test -d "/lib/modules/$(uname -r)/extra"
check "the project is there" test -f Cargo.toml
loopback 10 "door camera"
check "the module has made its node" test -c /dev/video10
verdict

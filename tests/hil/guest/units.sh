#!/bin/bash
# Before systemd is process 1: lays the program, its units, users, directories and configuration where the package puts
# them (Cargo.toml, package.metadata.deb), enrols one person, and gives the guest a target with nothing else of the
# machine's own services. Everything lands in the guest's layer of memory.
set -eu
install -m 755 /hil/out/cardea /usr/bin/cardea
install -m 644 /hil/repo/systemd/cardea.service /hil/repo/systemd/cardea-guard.service \
  /hil/repo/systemd/cardea-guard.socket /usr/lib/systemd/system/
install -m 644 /hil/repo/systemd/sysusers.d/cardea.conf /usr/lib/sysusers.d/cardea.conf
install -m 644 /hil/repo/systemd/tmpfiles.d/cardea.conf /usr/lib/tmpfiles.d/cardea.conf
systemd-sysusers /usr/lib/sysusers.d/cardea.conf
systemd-tmpfiles --create /usr/lib/tmpfiles.d/cardea.conf

# Networks by a script and a camera by files: what the service manager does needs no inference. At twice the rate that a
# door asks for: whoever looks at the records takes the guest's one processor for a tenth of a second each time.
mkdir -p /srv/cardea/frames
ffmpeg -nostdin -loglevel error -y -i /hil/out/p01.avi -c:v copy /srv/cardea/frames/%05d.jpg
# Somebody comes, is let in and goes, over and over: whoever was let in and stays is nobody new.
python3 - >/srv/cardea/script.json <<'PY'
import json
face = {"box": [80, 120, 200, 240], "person": 7, "live": 0.99}
rows = [{"frames": [at, at + 40], "face": face} for at in range(0, 30000, 60)]
print(json.dumps({"picture": [360, 480], "rows": rows}))
PY
cat >/etc/cardea/cardea.toml <<'TOML'
[camera]
kind = "file"
path = "/srv/cardea/frames"
fps = 10

[models]
pack = "scripted"
script = "/srv/cardea/script.json"

[challenge]
mode = "off"

[door]
guard = "socket"
guard_socket = "/run/cardea-guard.sock"
hold_ms = 9000

[door.relay]
kind = "gpiocdev"
line = "door-relay"

[prompt]
kind = "none"

[store]
dir = "/var/lib/cardea"

[insecure]
scripted_models = true
virtual_camera = true
challenge_off = true
max_frame_age_ms = 5000
TOML
systemd-tmpfiles --create /usr/lib/tmpfiles.d/cardea.conf
# Cleaning these at boot would walk through all that the host keeps there.
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var/tmp
runuser -u cardea -g cardea -- /usr/bin/cardea --json enroll ada --image /srv/cardea/frames/00001.jpg >/hil/out/enroll.log 2>&1
# The key of the templates as docs/install.md says: encrypted for this machine, and nowhere else.
mv /var/lib/cardea/people.key /srv/cardea/people.key
systemd-creds encrypt --with-key=host --name=people.key /srv/cardea/people.key /etc/credstore.encrypted/cardea.people.key

# The chip, before the services want its line; where udev is missing its rule is carried out by hand.
# The helpers were written for scenarios, which go on after a fault.
set +e
source /hil/bench/guest/lib.sh
gpio_chip door 8 0:door-relay || exit 1
set -e
chgrp gpio "$GPIO_DEV"
chmod 660 "$GPIO_DEV"
echo "$GPIO_SYS" >/srv/cardea/gpio

cat >/etc/systemd/system/bench.service <<'UNIT'
[Unit]
Description=One scenario of the virtual bench
[Service]
Type=oneshot
ExecStart=/bin/bash /hil/bench/guest/stage3 /hil/bench/scenarios/systemd.sh
TimeoutStartSec=infinity
UNIT
cat >/etc/systemd/system/bench.target <<'UNIT'
[Unit]
Description=The virtual bench: a machine with nothing but Cardea
Requires=basic.target bench.service
Wants=cardea.service cardea-guard.service
After=basic.target
UNIT
# A machine without a network and, until somebody tells it, without the time.
for unit in systemd-binfmt.service proc-sys-fs-binfmt_misc.automount systemd-timesyncd.service systemd-networkd.service networking.service apt-daily.timer e2scrub_all.timer; do
  ln -sf /dev/null "/etc/systemd/system/$unit"
done

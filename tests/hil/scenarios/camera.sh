# The V4L2 adapter on v4l2loopback (MJPG, YUYV) and vivid (YUYV, NV12, GREY): what is listed, what is refused, and what
# the frames are like. Expects p01.avi, an MJPEG clip of 360x480, in /hil/out.
source /hil/bench/guest/lib.sh

measure() { # measure NUMBER FRAMES [--set...]: the answer of `doctor camera` about /dev/videoNUMBER
  local number=$1 frames=$2
  shift 2
  cardea --json --set "camera.device=\"/dev/video$number\"" --set insecure.virtual_camera=true "$@" doctor camera --frames "$frames"
}
good() { # good JSON FORMAT WIDTH HEIGHT
  holds "$1" "d['ok'] and d['configured']['format'] == '$2' and (d['configured']['width'], d['configured']['height']) == ($3, $4)"
}

loopback 10 "door camera"
vivid 20

note "== who is there"
listed=$(cardea --json doctor camera --frames 0)
echo "$listed" >"$OUT/listed.json"
check "both cameras are listed and known to be virtual" holds "$listed" \
  "[(c['node'], c['name'], c['virtual_device']) for c in d['cameras']] == [('/dev/video10', 'door camera', True), ('/dev/video20', 'vivid-000-vid-cap', True)]"
check "a loopback that nobody feeds offers nothing" holds "$listed" "not d['cameras'][0]['formats']"
check "vivid's formats are listed with sizes and rates" holds "$listed" \
  "any(f['name'] == 'YUYV' and f['usable'] and any(s['width'] == 640 and s['fps'] for s in f['sizes']) for f in d['cameras'][1]['formats'])"

note "== without hardware means without a door"
refused=$(cardea --json --set 'camera.device="/dev/video20"' doctor camera --frames 1)
check "its exit code is 1" test $? -eq 1
check "a virtual camera is refused and the key that allows it named" holds "$refused" \
  "'no hardware' in d['configured']['error'] and 'insecure.virtual_camera' in d['configured']['hint']"

note "== MJPG through v4l2loopback"
feed "$OUT/p01.avi" 10
m=$(measure 10 60)
echo "$m" >"$OUT/mjpg.json"
note "$(holds "$m" 'print(d["configured"]) or True')"
check "60 frames of 360x480" good "$m" jpeg 360 480
check "numbers and monotonic stamps rise, and no frame is old" holds "$m" \
  "d['configured']['rising'] and 0 <= d['configured']['age_ms']['max'] < 500"
check "at most one in ten is damaged" holds "$m" "d['configured']['undecodable'] <= 6"
end "$FEEDER"

note "== torn frames"
# Every third picture loses its second half on the way into the camera.
ffmpeg -nostdin -loglevel error -i "$OUT/p01.avi" -c:v copy -frames:v 60 -f mjpeg /tmp/whole.mjpeg
python3 - <<'PY'
data = open("/tmp/whole.mjpeg", "rb").read()
starts = [i for i in range(len(data)) if data[i:i + 3] == b"\xff\xd8\xff"] + [len(data)]
pictures = [data[a:b] for a, b in zip(starts, starts[1:])]
open("/tmp/torn.list", "w").write(str(len(pictures)))
import os
os.makedirs("/tmp/torn")
for n, picture in enumerate(pictures):
    open(f"/tmp/torn/{n:03}.jpg", "wb").write(picture[:len(picture) // 2] if n % 3 == 0 else picture)
PY
ffmpeg -nostdin -loglevel error -re -stream_loop -1 -framerate 10 -f image2 -i /tmp/torn/%03d.jpg -c:v copy -f v4l2 /dev/video10 \
  </dev/null >/tmp/feed10.log 2>&1 &
FEEDER=$!
within 20 "/dev/video10 is fed" fed 10
m=$(measure 10 30)
note "$(holds "$m" 'print(d["configured"]) or True')"
check "frames cut in half are counted and skipped, the others come" holds "$m" \
  "d['configured']['frames'] == 30 and 10 <= d['configured']['torn'] <= 25 and d['configured']['rising']"
end "$FEEDER"
rmmod v4l2loopback

note "== YUYV through v4l2loopback"
loopback 11 "door camera"
feed "$OUT/p01.avi" 11 -vf scale=320:240,format=yuyv422 -c:v rawvideo
m=$(measure 11 20 --set camera.width=320 --set camera.height=240)
note "$(holds "$m" 'print(d["configured"]) or True')"
check "20 frames in YUYV" good "$m" yuyv 320 240
end "$FEEDER"

note "== vivid"
for format in yuyv nv12 grey; do
  m=$(measure 20 10 --set "camera.format=\"$format\"")
  note "$(holds "$m" 'print(d["configured"]) or True')"
  check "10 frames in $format" good "$m" "$format" 640 480
  check "$format: rising and fresh" holds "$m" "d['configured']['rising'] and d['configured']['age_ms']['max'] < 500"
done
note "== controls"
m=$(measure 20 3 --set camera.gain=50)
check "vivid runs with a gain of its own" holds "$m" "d['ok']"
check "the driver has it" test "$(v4l2_ctl -d /dev/video20 -C gain)" = "gain: 50"
check "and doctor shows it" holds "$(cardea --json doctor camera --frames 0)" "d['cameras'][-1]['controls']['gain'] == 50"
m=$(measure 20 3 --set camera.exposure_us=8000)
check "a control that it does not have is refused with its key" holds "$m" \
  "not d['ok'] and 'camera.exposure_us: it has no such control' in d['configured']['error']"
m=$(measure 20 3 --set camera.gain=5000)
check "a value beyond its range is taken to the end of it, and said" test "$(v4l2_ctl -d /dev/video20 -C gain)" = "gain: 255"

# vivid's own stamps are of the end of a frame and lie ahead of it; these are of its beginning, as a USB camera's are.
v4l2_ctl -d /dev/video20 -c timestamp_source=1
m=$(measure 20 10 --set 'camera.format="yuyv"')
note "$(holds "$m" 'print(d["configured"]) or True')"
check "a driver's own stamp is believed" holds "$m" "d['configured']['rising'] and 0.1 < d['configured']['age_ms']['median'] < 200"
check "and rates come out right" holds "$m" "24 < d['configured']['fps'] < 26"
check "a size that the driver does not have is said and what it gives is taken" \
  holds "$(measure 20 3 --set camera.width=700 --set camera.height=500)" "d['ok'] and d['configured']['width'] > 0"
verdict

#!/usr/bin/env bash
# bench.sh [SCENARIO...]: what `make hil` runs. Prepares the guest (once), makes on the host what the scenarios need of
# it, runs each scenario in a guest of its own, and fails if one did. Without arguments: camera and door.
#
#   CARDEA_BIN      the program, built with --features v4l2,panel,drm,osdp,keyboard (target/debug/cardea)
#   CARDEA_SHARED   the folder with the evaluation data (../shared)
#   HIL_OUT         where logs, records and clips are left (a directory that is removed after a success)
source "$(dirname "$0")/lib.sh"

repo=$(cd "$HIL/../.." && pwd)
program=${CARDEA_BIN:-$repo/${CARGO_TARGET_DIR:-target}/debug/cardea}
data=${CARDEA_SHARED:-$repo/../shared}/data
[ $# -gt 0 ] || set -- camera door
[ -x "$program" ] || die 69 "there is no $program; run cargo build --features v4l2,panel,drm,osdp,keyboard"
[ -d "$data" ] || die 69 "there is no $data; set CARDEA_SHARED to the folder with the evaluation data"
command -v ffmpeg >/dev/null || die 69 "ffmpeg is missing; run scripts/setup.sh"

case " $* " in *" gpio "* | *" inputs "* | *" terminal "* | *" lights "* | *" systemd "*) "$HIL/prepare.sh" gpio ;; *) "$HIL/prepare.sh" ;; esac

out=${HIL_OUT:-$(mktemp -d "${TMPDIR:-/tmp}/cardea-hil-XXXXXX")}
mkdir -p "$out"
cp "$program" "$out/cardea"

# Decoding and encoding are done here: in the guest the clips are only passed through.
clip() { # clip FROM TO
  [ -f "$out/$2" ] || ffmpeg -nostdin -loglevel error -y -i "$data/video/$1" -an -t 8 -r 10 -c:v mjpeg -q:v 4 "$out/$2"
}
clip live_turn_p01.mov p01.avi
# Somebody who looks ahead, for ten seconds: a part of the clip forwards and backwards. The noise is a sensor's, so that
# no picture comes twice; at five a second the guest can look at most of them.
parts=
for n in 0 1 2 3 4 5; do
  [ $((n % 2)) = 0 ] && back= || back=,reverse
  parts+="[s$n]trim=start_frame=0:end_frame=45,setpts=PTS-STARTPTS$back[p$n];"
done
[ -f "$out/ahead.avi" ] || ffmpeg -nostdin -loglevel error -y -i "$data/video/live_turn_p01.mov" -an -filter_complex \
  "[0:v]fps=30,split=6[s0][s1][s2][s3][s4][s5];$parts[p0][p1][p2][p3][p4][p5]concat=n=6:v=1,fps=5,noise=alls=1:allf=t[out]" \
  -map '[out]' -c:v mjpeg -q:v 2 "$out/ahead.avi"
clip live_turn_p03.mp4 p03.avi
clip synthetic_photo_yaw.mp4 photo.avi
if [ ! -d "$out/state" ]; then
  # The photo's person is enrolled, so that only the challenge can tell the photo from him.
  ffmpeg -nostdin -loglevel error -y -i "$data/video/synthetic_photo_still.mp4" -frames:v 1 "$out/portrait.png"
  for who in "p01 $data/faces/selfies/p01.jpg" "portrait $out/portrait.png"; do
    (cd "$repo" && "$out/cardea" --state "$out/state" enroll "${who%% *}" --image "${who#* }" >&2)
  done
fi

failed=0
for scenario in "$@"; do
  say "scenario $scenario"
  mkdir -p "$out/$scenario"
  ln -f "$out"/{cardea,*.avi} "$out/$scenario/" && cp -r "$out/state" "$out/$scenario/"
  if "$HIL/run.sh" "$scenario.sh" "$out/$scenario"; then
    say "passed: $scenario"
  else
    failed=$((failed + 1))
    say "FAILED: $scenario; its records and logs are in $out/$scenario"
  fi
done
[ "$failed" -eq 0 ] && [ -z "${HIL_OUT:-}" ] && rm -rf "$out"
exit $((failed > 0))

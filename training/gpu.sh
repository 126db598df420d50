#!/usr/bin/env bash
# Trains everything on one GPU at the same time, from a pack folder, for so many minutes; run again to go on.
#
#   training/gpu.sh PACK WORK OUT [RUN_MINUTES] [DECODER_TOTAL_MINUTES]
#
# PACK holds lines.npz and audio_*.ogg (stage `pack`), codebook.npz, clips.npz (stage `speakers`) and references/.
# WORK keeps checkpoints between runs. OUT gets what the voices are made of, in files small enough to send
# (sovits.pth in parts: cat sovits.pth.* > sovits.pth), and the curves.
set -euo pipefail
pack=$1 work=$2 out=$3 run=${4:-8.5} total=${5:-25}
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH="$here:$here/../server${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
mkdir -p "$work" "$out"
stage() { "$python" -W ignore -m voxswap_training "$@"; }

if [ ! -e "$work/sound/done" ]; then
    stage sound --pack "$pack" --out "$work/sound" --processes "$(nproc)"
    touch "$work/sound/done"
fi
common=(--pack "$pack" --device "${DEVICE:-cuda}" --threads "${THREADS:-4}")
names=() jobs=()
start() { # NAME COMMAND...: in the background, with a log of its own
    names+=("$1")
    "${@:2}" >>"$work/$1.log" 2>&1 &
    jobs+=($!)
}
# The decoder's halves and its source learn side by side; what is left of the run then goes to the whole of it.
minutes() { "$python" -c "print(round($1, 2))"; }
parts_then_whole() {
    local began=$SECONDS sound=(--sound "$work/sound" --codebook "$pack/codebook.npz" --report-every 250)
    stage acoustic "${common[@]}" "${sound[@]}" --minutes "$run" --out "$work/acoustic" \
        --budget-minutes "$(minutes "$total * 0.3")" --batch 64 &
    local acoustic=$!
    stage source "${common[@]}" --minutes "$run" --codebook "$pack/codebook.npz" --out "$work/source" \
        --budget-minutes 5 --batch 64 --report-every 250 &
    local source=$!
    stage vocoder "${common[@]}" "${sound[@]}" --minutes "$run" --out "$work/vocoder" \
        --budget-minutes "$(minutes "$total * 0.6")" --batch 48 --judge-width 32 || return
    wait "$acoustic" && wait "$source" || return
    local left
    left=$(minutes "$run - ($SECONDS - $began) / 60")
    if "$python" -c "exit($left < 0.3)"; then
        stage decoder "${common[@]}" "${sound[@]}" --minutes "$left" \
            --acoustic "$work/acoustic/acoustic.pt" --vocoder "$work/vocoder/vocoder.pt" \
            --source "$work/source/source.pt" --out "$work/decoder" \
            --budget-minutes "$(minutes "$total * 0.35")" --batch 48 --judge-width 32
    fi
}
start decoder parts_then_whole
start t2s stage t2s "${common[@]}" --minutes "$run" --codebook "$pack/codebook.npz" --out "$work/t2s" --budget-minutes 14 \
    --batch-tokens 40000 --report-every 250
start content stage content "${common[@]}" --minutes "$run" --codebook "$pack/codebook.npz" --sound "$work/sound" \
    --out "$work/content" --budget-minutes 7 --batch 64 --report-every 250
if [ -e "$pack/clips.npz" ]; then
    start ecapa stage ecapa "${common[@]}" --minutes "$run" --sound "$work/sound" --clips "$pack/clips.npz" --out "$work/ecapa" \
        --budget-minutes 5 --batch 128 --report-every 250 --export "$work/bundle/ecapa"
fi
failed=0
for index in "${!jobs[@]}"; do
    wait "${jobs[$index]}" || { echo "${names[$index]} failed" && failed=1; }
    echo "== ${names[$index]}" && tail -n 3 "$work/${names[$index]}.log"
done
stage judge-t2s --pack "$pack" --codebook "$pack/codebook.npz" --checkpoints "$work/t2s" --lines "${JUDGE_LINES:-20}" || failed=1
if [ ! -e "$work/decoder/decoder.pt" ]; then
    echo "the decoder's halves have not spent their time yet: run again"
    exit $failed
fi
stage export --t2s "$work/t2s" --decoder "$work/decoder" --source "$work/source" --content "$work/content" --codebook "$pack/codebook.npz" \
    --references "$pack/references" --out "$work/bundle"
split -b 12M -d "$work/bundle/sovits.pth" "$out/sovits.pth."
cp "$work/bundle/t2s.ckpt" "$work/bundle/voices.toml" "$out/"
tar -C "$work/bundle" -cf "$out/networks.tar" $(cd "$work/bundle" && ls -d content ecapa 2>/dev/null)
tar -C "$work" -czf "$out/curves.tgz" $(cd "$work" && ls -d ./*/*.jsonl ./*.log)
exit $failed

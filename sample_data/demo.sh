# The demo: three small slides, made here, to feature stores and pictures in demo/; then a synthetic
# cohort, whose planted signal is learnt, measured and shown.
# Wants wsitools and its python first on the PATH; `make demo` sees to that.
set -eu

run() {
    wsitools run demo/slides --out demo/project --preset ihc "$@"
}

rm -rf demo
python sample_data/make_slides.py demo/slides

status=0
run || status=$?
if [ "$status" -eq 5 ]; then # what the machine lacks; here: the weights, or the way to them
    cat >&2 <<'END'

  ************************************************************************
  *  The weights of ResNet50 cannot be had here (see above).             *
  *  The demo goes on with RANDOM weights: the stores have their shape,  *
  *  their numbers mean NOTHING. No other command ever does this.        *
  ************************************************************************

END
    status=0
    run --weights random:0 || status=$?
fi
[ "$status" -eq 0 ] || exit "$status"

wsitools status demo/project

python sample_data/make_cohort.py demo
wsitools splits demo/cohort.csv --label grade --classes low,high -o demo/splits.csv
wsitools train demo/proj demo/cohort.csv --label grade --classes low,high --splits demo/splits.csv --jobs 2 -o demo/run
wsitools predict demo/run demo/proj -o demo/predictions.csv
wsitools evaluate demo/run/predictions.csv demo/cohort.csv --label grade --classes low,high -o demo/metrics
wsitools heatmap demo/run demo/proj -o demo/heatmaps --shard 1/15 >/dev/null
wsitools report demo/run
wsitools status demo/project --html demo/slides.html >/dev/null

echo "pages: demo/run/report.html demo/slides.html"
echo "heat maps: $(echo demo/heatmaps/*.png)"
echo "pictures: $(echo demo/project/overlays/*.png)"

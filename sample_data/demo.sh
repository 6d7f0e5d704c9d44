# The demo: three small slides, made here, to feature stores and pictures in demo/.
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
echo "pictures: $(echo demo/project/overlays/*.png)"

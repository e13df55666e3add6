#!/bin/sh
# Fuzzes decoders for a while, three at a time: fuzz.sh TIME [FOLDER...]. An input that breaks one is kept below its
# testdata/fuzz: commit it with the mend.
#
# Only our own packages are instrumented, so that what they import comes as built already: that makes a build of seconds
# out of one of minutes, and has the fuzzer look for new ways through our code instead of a library's.
set -eu
cd "$(dirname "$0")/.."
time=${1:-10m}
shift $(($# > 0))
[ $# -gt 0 ] || set -- .
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
grep -r '^func Fuzz' --include='*_test.go' "$@" | sed 's|\(.*\)/[^/]*:func \(Fuzz[A-Za-z0-9]*\).*|\1 \2|' | sort -u >"$work/targets"
[ -s "$work/targets" ] || { echo "no decoder is fuzzed in $*" >&2; exit 2; }
packages=$(cut -d' ' -f1 "$work/targets" | sed 's|^\([^./]\)|./\1|' | uniq)
echo "building $(echo "$packages" | wc -l) instrumented packages" >&2
export CGO_ENABLED=0
for package in $packages; do
	go test -c -trimpath -gcflags='github.com/streamkeeper-io/streamkeeper/...=-d=libfuzzer' -o "$work/$(echo "${package#./}" | tr / _).test" "$package"
done

# fuzz runs one target. Nothing is minimized: with inputs of some kilobytes that took nearly all of the time. A fuzzer that
# its own deadline interrupts has found nothing.
fuzz() {
	log=$work/$2.log
	(cd "$1" && "$work/$(echo "${1#./}" | tr / _).test" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$time" -test.fuzzminimizetime 0x -test.fuzzcachedir "$work/cache" -test.parallel 1) >"$log" 2>&1 ||
		[ "$(grep -v '^fuzz: elapsed\|^--- FAIL\|^FAIL$' "$log")" = '    context deadline exceeded' ] || return 1
	echo "ok    $1 $2: $(grep -o 'execs: [0-9]*' "$log" | tail -n 1), $(grep -o 'total: [0-9]*' "$log" | tail -n 1)"
}
each() {
	while read -r package target; do
		fuzz "$package" "$target" || { echo "FAIL  $package $target"; cat "$work/$target.log"; touch "$work/failed"; }
	done
}
for third in 0 1 2; do
	awk "NR % 3 == $third" "$work/targets" | each &
done
wait
echo "$(grep -c . "$work/targets") decoders fuzzed for $time each"
[ ! -e "$work/failed" ]

#!/bin/sh
# Fuzzes every decoder for a while, two at a time: fuzz.sh [TIME]. An input that breaks one is kept below its
# testdata/fuzz: commit it with the mend.
set -eu
cd "$(dirname "$0")/.."
time=${1:-10m}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
grep -rl '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u >"$work/packages"
while read -r package; do
	go test -c -fuzz Fuzz -o "$work/$(echo "$package" | tr / _).test" "$package"
	grep -h '^func Fuzz' "$package"/*_test.go | sed "s|func \(Fuzz[A-Za-z0-9]*\).*|$package \1|"
done <"$work/packages" >"$work/targets"
one() {
	binary=$work/$(echo "$1" | tr / _).test
	if (cd "$1" && "$binary" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$time" -test.fuzzcachedir "$work/cache" -test.parallel 1) >"$work/$2.log" 2>&1; then
		echo "ok    $1 $2: $(grep -o 'execs: [0-9]*' "$work/$2.log" | tail -n 1)"
	else
		echo "FAIL  $1 $2"
		cat "$work/$2.log"
		touch "$work/failed"
	fi
}
split -n l/2 "$work/targets" "$work/half."
for half in "$work"/half.*; do
	while read -r package target; do one "$package" "$target"; done <"$half" &
done
wait
echo "$(grep -c . "$work/targets") decoders fuzzed for $time each"
[ ! -e "$work/failed" ]

#!/bin/sh
# TestCrash with what it exercised, its JSON line last. Arguments go to the test.
set -u
out=$(mktemp)
go test ./engine -run 'TestCrash$' -timeout 120m -v "$@" >"$out" 2>&1
code=$?
grep -v '^{"crashes"' "$out"
grep '^{"crashes"' "$out"
rm -f "$out"
exit $code

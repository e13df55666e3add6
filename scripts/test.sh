#!/bin/sh
# Unit tests, with the race detector where there is a C compiler. What replays hours of telemetry or hundreds of crashes is one
# goroutine's work: it runs afterwards, without the detector, which makes it ten times slower; of the crashes a few are also
# tried with it.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
long='^(TestCrash|TestReplayed)'
if command -v "${CC:-cc}" >/dev/null 2>&1; then
	CRASH_SEEDS=16 CGO_ENABLED=1 GOFLAGS='' go test -race -skip "${long}_" -timeout 15m "$@"
	[ "$*" != ./... ] || set -- ./cli ./engine/...
	go test -run "$long" -timeout 15m "$@"
else
	left_out "the race detector (a C compiler is missing)"
	go test -timeout 15m "$@"
fi

#!/bin/sh
# Unit tests, with the race detector where there is a C compiler.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
race=-race
if ! command -v "${CC:-cc}" >/dev/null 2>&1; then
	left_out "the race detector (a C compiler is missing)"
	race=
fi
exec go test $race -timeout 15m "$@"

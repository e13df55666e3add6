#!/bin/sh
# Builds the S3 server that store drills and bench:cold run against into .bin/, when its arguments name a store drill.
set -eu
cd "$(dirname "$0")/.."
case "$*" in
*object_store*) ;;
*) exit 0 ;;
esac
if [ ! -x .bin/versitygw ]; then
	echo "building the S3 server for store drills (first run only)" >&2
	GOWORK=off GOFLAGS= CGO_ENABLED=0 GOBIN="$PWD/.bin" go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
fi

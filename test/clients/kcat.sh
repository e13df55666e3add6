#!/usr/bin/env bash
# kcat (librdkafka): kcat.sh BROKERS CODEC RECORDS
set -euo pipefail
brokers=$1 codec=$2 records=$3
topic=kcat-$codec-$RANDOM
want=$(mktemp) got=$(mktemp)
trap 'rm -f "$want" "$got"' EXIT
seq -f 'record-%.0f' "$records" >"$want"
kcat -b "$brokers" -L -t "$topic" >/dev/null # creates it
kcat -b "$brokers" -P -t "$topic" -z "$codec" -X acks=all <"$want"
kcat -b "$brokers" -G "group-$topic" -X auto.offset.reset=earliest -c "$records" -q "$topic" >"$got" 2>/dev/null
diff <(sort "$want") <(sort "$got") >/dev/null || { echo "records differ: $(wc -l <"$got") of $records"; exit 1; }
# The offsets were committed: the same group reads nothing more.
more=$(timeout 12 kcat -b "$brokers" -G "group-$topic" -X auto.offset.reset=earliest -e -q "$topic" 2>/dev/null | wc -l || true)
[ "$more" -eq 0 ] || { echo "$more records were read again: offsets were not committed"; exit 1; }

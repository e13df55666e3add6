#!/usr/bin/env bash
# Real clients against the broker: each creates a topic, produces and consumes 10,000 records in a group with
# every codec, and commits. Then franz-go's own integration suite.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
. scripts/server.sh
apt_install kcat python3-kafka python3-confluent-kafka python3-snappy python3-lz4 python3-zstandard
if ! have_node; then
	left_out "kafkajs (Node 20.19 or newer is missing)"
fi
server_start --set broker.group.initial_rebalance_delay=100ms --set log.level=warn
RECORDS=${RECORDS:-10000}
# check says how one client fared, and leaves a file behind for those that failed.
check() {
	local name=$1 began=$SECONDS
	local log="$WORK/clients/${name// /-}"
	shift
	if timeout 180 "$@" >"$log" 2>&1; then
		echo "ok    $name ($((SECONDS - began)) s)"
	else
		touch "$log.failed"
		echo "FAIL  $name"$'\n'"$(tail -n 15 "$log")"
	fi
}
# codec has every client use it, one after the other. They mostly wait, so that all codecs run at a time.
codec() {
	check "kcat $1" test/clients/kcat.sh "$KAFKA" "$1" "$RECORDS"
	check "python3-confluent-kafka $1" /usr/bin/python3 test/clients/confluent.py "$KAFKA" "$1" "$RECORDS"
	check "python3-confluent-kafka transactions $1" /usr/bin/python3 test/clients/confluent_txn.py "$KAFKA" "$1" $((RECORDS / 4))
	check "python3-kafka $1" /usr/bin/python3 test/clients/kafka_python.py "$KAFKA" "$1" "$RECORDS"
	check "franz-go $1" "$WORK/franz" -brokers "$KAFKA" -codec "$1" -records "$RECORDS"
	if have_node; then
		check "kafkajs $1" node test/clients/kafkajs.mjs "$KAFKA" "$1" "$RECORDS"
	fi
}
go build -o "$WORK/franz" ./test/clients/franz
if have_node; then
	(cd test/clients && npm ci --no-audit --no-fund >/dev/null 2>&1)
fi
mkdir "$WORK/clients"
running=()
for codec in ${CODECS:-gzip snappy lz4 zstd}; do
	codec "$codec" &
	running+=($!)
done
wait "${running[@]}"
failed=$(find "$WORK/clients" -name '*.failed' | wc -l)
passed=$(($(find "$WORK/clients" -type f | wc -l) - 2 * failed))
if [ -z "${SKIP_SUITE:-}" ]; then
	go test -c -o "$WORK/kgo.test" github.com/twmb/franz-go/pkg/kgo
	began=$SECONDS
	if KGO_SEEDS=$KAFKA KGO_TEST_RF=1 KGO_TEST_RECORDS=${SUITE_RECORDS:-50000} timeout 600 "$WORK/kgo.test" \
		-test.run "${SUITE:-TestTxn|TestGroup|TestIssue|TestPing|TestProduce|TestConsume}" -test.timeout 580s -test.v >"$WORK/suite.log" 2>&1; then
		echo "ok    franz-go's own suite ($((SECONDS - began)) s): $(grep -c -- '--- PASS' "$WORK/suite.log") passed, $(grep -c -- '--- SKIP' "$WORK/suite.log" || true) skipped"
		passed=$((passed + 1))
	else
		echo "FAIL  franz-go's own suite"
		grep -E -- '--- FAIL|panic|^\s+.*_test.go' "$WORK/suite.log" | head -n 40 || tail -n 40 "$WORK/suite.log"
		failed=$((failed + 1))
	fi
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

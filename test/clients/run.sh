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
passed=0 failed=0
check() {
	local name=$1
	shift
	local began=$SECONDS
	if timeout 180 "$@" >"$WORK/client.log" 2>&1; then
		echo "ok    $name ($((SECONDS - began)) s)"
		passed=$((passed + 1))
	else
		echo "FAIL  $name"
		tail -n 15 "$WORK/client.log"
		failed=$((failed + 1))
	fi
}
for codec in ${CODECS:-gzip snappy lz4 zstd}; do
	check "kcat $codec" test/clients/kcat.sh "$KAFKA" "$codec" "$RECORDS"
	check "python3-confluent-kafka $codec" /usr/bin/python3 test/clients/confluent.py "$KAFKA" "$codec" "$RECORDS"
	check "python3-confluent-kafka transactions $codec" /usr/bin/python3 test/clients/confluent_txn.py "$KAFKA" "$codec" $((RECORDS / 4))
	check "python3-kafka $codec" /usr/bin/python3 test/clients/kafka_python.py "$KAFKA" "$codec" "$RECORDS"
	check "franz-go $codec" go run ./test/clients/franz -brokers "$KAFKA" -codec "$codec" -records "$RECORDS"
done
if have_node; then
	(cd test/clients && npm ci --no-audit --no-fund >/dev/null 2>&1)
	for codec in ${CODECS:-gzip snappy lz4 zstd}; do
		check "kafkajs $codec" node test/clients/kafkajs.mjs "$KAFKA" "$codec" "$RECORDS"
	done
fi
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

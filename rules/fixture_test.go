package rules

import (
	"testing"
	"testing/fstest"
)

// fixtureFiles is a small catalog that uses every feature.
func fixtureFiles() fstest.MapFS {
	files := map[string]string{
		"signals/group.yaml": `
entity: group
signals:
  rebalances:
    unit: rebalances
    help: Generations in the window.
    kind: count
    queries:
      streamkeeper: {metric: broker_rebalances_total, by: [cluster, group], zero_when: 'broker_up == 1'}
  lag_seconds:
    unit: seconds
    help: How late the group is.
    queries:
      kafka: {metric: group_lag_seconds}
      streamkeeper: {query: 'max by (cluster, group) (broker_backlog_seconds{$by})', fresh: 'broker_backlog_seconds{$by}'}
  lag_usual:
    unit: seconds
    help: The usual lag.
    window: 30m
    queries:
      kafka: {query: 'quantile_over_time(0.5, group_lag_seconds{$by}[$window:$interval])', fresh: 'group_lag_seconds'}
  record_seconds:
    unit: seconds
    help: Seconds a record.
    queries:
      streamkeeper: {metric: 'broker_record_seconds{kind="median"}'}
  parts:
    unit: messages
    help: A sum over partitions.
    queries:
      kafka: {query: 'sum by (cluster, group) (part_lag{$by})', fresh: part_lag, expect: 'group_partitions{$by}'}
`,
		"signals/topic.yaml": `
entity: topic
signals:
  produce_rate:
    unit: messages per second
    help: What arrives.
    queries:
      kafka: {query: 'deriv(topic_end_offset{$by}[$window])', fresh: 'topic_end_offset{$by}'}
`,
		"symptoms/lag_high.yaml": `
id: lag_high
entity: group
title: The group is late
leak: 0.02
window: 1m
delay: 10s..5m
when: lag_seconds > 10
strength: ramp(lag_seconds, 5, 15)
impact: {kind: lag, text: '{{group}} is {{duration(lag_seconds)}} late'}
say: '{{group}} is {{duration(lag_seconds)}} late'
examples:
  - {name: late, given: {lag_seconds: "0 5 20"}, then: fires at 10s}
  - {name: in time, given: {lag_seconds: "0 5 9"}, then: quiet}
  - {name: no data, given: {lag_seconds: "_ _"}, then: unknown}
`,
		"symptoms/rebalancing.yaml": `
id: rebalancing
entity: group
title: Rebalances
leak: 0.01
window: 5m
delay: 0s..2m
when: rebalances >= 3
masked_by: [quiet_topic]
impact: {kind: rebalance, text: '{{group}} lost {{events("member_left")}} and rebalanced {{rebalances}} times'}
say: '{{rebalances}} in {{window}}'
examples:
  - {name: often, step: 40s, given: {rebalances: "0 1 2 3 4"}, then: fires at 2m}
  - {name: a reset is no storm, step: 40s, given: {rebalances: "0 1 2 2 0"}, then: quiet}
  - {name: no data, step: 40s, given: {rebalances: "_ _ _"}, then: unknown}
`,
		"evidence/quiet_topic.yaml": `
id: quiet_topic
entity: topic
title: Nothing arrives
leak: 0.05
window: 1m
trigger: true
when: produce_rate < 0.1
say: nothing arrives
examples:
  - {name: silent, given: {produce_rate: "0 0"}, then: fires at 0s}
  - {name: busy, given: {produce_rate: "5 5"}, then: quiet}
  - {name: no data, then: unknown}
`,
		"evidence/left_on_timeout.yaml": `
id: left_on_timeout
entity: group
title: A member left on its poll timeout
leak: 0.001
group: leave
applies_when: leave_reasons
decisive: true
when: events("member_left", reason == 'poll timeout') >= 1
say: '{{locus}} left on its poll timeout, its session is {{session_s}} s'
say_not: nobody left on its poll timeout
needs: the event ring
loci: {kind: member, from: member_left, attr: member, filter: "reason == 'poll timeout'"}
examples:
  - {name: one, events: ["10s member_left member=m reason='poll timeout'"], then: fires at 10s}
  - {name: closed, events: ["10s member_left member=m reason=closed"], then: quiet}
  - {name: no ring, then: unknown}
  - {name: librdkafka, facts: [not leave_reasons], events: [], then: not applicable}
`,
		"evidence/slow_records.yaml": `
id: slow_records
entity: group
title: Records take long although much arrives
leak: 0.01
when: record_seconds > 0.1 and topic.produce_rate > 1
say: slow
examples:
  - {name: slow, given: {record_seconds: "1", topic.produce_rate: "5"}, then: fires at 0s}
  - {name: fast, given: {record_seconds: "0.01", topic.produce_rate: "5"}, then: quiet}
  - {name: no data, given: {topic.produce_rate: "5"}, then: unknown}
`,
		"causes/poll_overrun.yaml": `
id: poll_overrun
title: A batch takes too long
summary: 'One member ({{locus}}) takes too long.'
category: client-consumer
entity: group
locus: member
prior: common
requires: poll_limit
effects:
  rebalancing: {chance: usually, after: 0s..30m}
  lag_high: usually
evidence:
  left_on_timeout: {chance: always, applies_when: leave_reasons}
consequence_of: {processing_slow: usually}
scale: forbid
scale_why: more members rebalance more
advice:
  - {do: 'max.poll.records = {{floor(0.5 * poll_seconds / record_seconds)}}', needs: [poll_seconds, record_seconds], formula: 'floor(0.5 × interval ÷ seconds per record)', find: the consumer's configuration, why: too long, risk: low, verify: {clears: rebalancing, within: 8m}}
`,
		"causes/processing_slow.yaml": `
id: processing_slow
title: Processing has slowed
summary: It slowed.
category: client-consumer
entity: group
prior: usual
effects:
  lag_high: {chance: always}
evidence:
  slow_records: always
answer_sets: [{with: [poll_overrun], when: not leave_reasons, part: the event ring}]
`,
		"causes/nothing_to_read.yaml": `
id: nothing_to_read
title: Nothing arrives
summary: 'Nothing arrives.'
category: benign
entity: group
prior: usual x3
benign: true
effects:
  rebalancing: rarely
evidence:
  quiet_topic: by_definition
until: {holds_while: [quiet_topic]}
`,
	}
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text[1:])}
	}
	return out
}

func loadFixture(t testing.TB) *Catalog {
	t.Helper()
	c, err := Load(fixtureFiles())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

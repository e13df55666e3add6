package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/cli/drill"
	"github.com/streamkeeper-io/streamkeeper/collectors/jmx"
	"github.com/streamkeeper-io/streamkeeper/test/kafka"
	"github.com/streamkeeper-io/streamkeeper/test/server"
)

// Timings of tiered storage. Its brokers copy every two seconds, so a minute shows what is usual.
const (
	tierUsualFor = 75 * time.Second
	storeFaulty  = 100 * time.Second
	storeMending = 2 * time.Minute // at most, until nothing is said of the store any more
	scrapeEvery  = 5 * time.Second
)

// tieredName is the topic whose segments go to the object store, and the group that reads its end: it must stay well.
const tieredName = "tiered"

// quotaScenarios run beside the tiered topic.
var quotaScenarios = []scenario{
	{
		name: "quota-throttling-consumer", causes: []string{"quota_throttling"}, partitions: 3, members: 1, library: rdkafka,
		rate: 60, valueSize: slowValue, inject: limitMember, entity: firstMember,
	},
	{name: "quota-throttling-producer", causes: []string{"quota_throttling"}, partitions: 1, inject: limitWriter, entity: writer},
}

// storeFault is what becomes of the road to the object store.
type storeFault struct {
	scenario
	road drill.Behaviour
}

// storeFaults come one after the other: there is one store. A slow one comes first, while nothing but health is known.
var storeFaults = []storeFault{
	{scenario{name: "object-store-slow", entity: store, plain: true}, drill.Behaviour{Store: drill.StoreSlow, StoreMillis: 2000}},
	{scenario{name: "object-store-denied", entity: store, plain: true}, drill.Behaviour{Store: drill.StoreDeny}},
	{scenario{name: "object-store-unavailable", entity: store, plain: true}, drill.Behaviour{Store: drill.StoreRefuse}},
}

func store(*lab, *workload) streamkeeper.Entity {
	return streamkeeper.Entity{Kind: streamkeeper.KindStore, Name: streamkeeper.TieredStorage}
}

func firstMember(_ *lab, w *workload) streamkeeper.Entity {
	return streamkeeper.Entity{Kind: streamkeeper.KindClient, Name: w.name + "-0"}
}

func writer(_ *lab, w *workload) streamkeeper.Entity {
	return streamkeeper.Entity{Kind: streamkeeper.KindClient, Name: w.name + "-writer"}
}

// onceTiered plays the faults of quotas and of the object store on a new broker with tiered storage.
func onceTiered(ctx context.Context, dist *kafka.Dist, o options) (right, of int, err error) {
	quotas, faults := choose(quotaScenarios, o), []storeFault{}
	for _, f := range storeFaults {
		if len(choose([]scenario{f.scenario}, o)) > 0 {
			faults = append(faults, f)
		}
	}
	if of = len(quotas) + len(faults); of == 0 {
		return 0, 0, nil
	}
	l, err := openTiered(ctx, dist, o)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	right, err = l.playTiered(ctx, quotas, faults)
	return right, of + 1, err // and the tiered topic's own group
}

func openTiered(ctx context.Context, dist *kafka.Dist, o options) (*lab, error) {
	tier, err := dist.Tier(ctx, jmx.Rules)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "streamkeeper-tier-")
	if err != nil {
		return nil, err
	}
	s3, err := server.StartRoad(ctx, o.binary, dir, o.s3)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	bucket := kafka.Bucket{Endpoint: "http://" + s3.Front, Name: server.Bucket, AccessKey: server.AccessKey, SecretKey: server.SecretKey}
	brokers := 1
	if o.dark {
		brokers = 3
	}
	l, err := openLab(ctx, dist, o, kafka.Options{Brokers: brokers, Heap: "768m", Set: tier.Config(bucket), Tier: tier})
	if err != nil {
		s3.Close()
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	l.o.brokers, l.store, l.dir = brokers, s3, dir
	return l, nil
}

// playTiered lets all be well for a while, sets the quotas and then breaks the store in one way after the other. What is
// said at the end of each counts; of the group at the tiered topic's end nothing may ever be said.
func (l *lab) playTiered(ctx context.Context, quotas []scenario, faults []storeFault) (right int, err error) {
	s, err := l.scrapingServer()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Stop(), s.Remove()) }()
	defer l.endClients()
	clients, err := l.attend(ctx, s)
	if err != nil {
		return 0, err
	}
	tail := tieredScenario()
	if err := l.raiseAll(clients, append(quotas, tail)); err != nil {
		return 0, err
	}
	l.wg.Go(func() { l.readOldRecords(clients) })
	if !pause(ctx, tierUsualFor) {
		return 0, ctx.Err()
	}
	if err := l.inject(clients, quotas, false); err != nil {
		return 0, err
	}
	tailWell := true
	for i, f := range faults {
		if err := l.store.Behave(f.road); err != nil {
			return right, err
		}
		n, err := l.observe(ctx, s, []scenario{f.scenario}, storeFaulty)
		if err != nil {
			return right, err
		}
		right += n
		tailWell = l.judgeNow(ctx, s, &tail) && tailWell
		if err := l.store.Behave(drill.Behaviour{}); err != nil {
			return right, err
		}
		if i+1 == len(faults) {
			break
		}
		if err := l.untilStoreIsWell(ctx, s); err != nil {
			return right, err
		}
	}
	if len(quotas) > 0 {
		n, err := l.observe(ctx, s, quotas, 6*askEvery+time.Minute*time.Duration(max(0, 2-len(faults))))
		if err != nil {
			return right, err
		}
		right += n
	}
	if tailWell = tailWell && (len(faults) > 0 || l.judgeNow(ctx, s, &tail)); tailWell {
		right++
	}
	return right, l.keep(ctx, s)
}

// tieredScenario is the topic with tiered storage: small segments, which leave the broker's disk at once.
func tieredScenario() scenario {
	configs := map[string]*string{}
	for key, v := range map[string]string{
		"remote.storage.enable": "true", "local.retention.ms": "5000", "segment.ms": "4000", "segment.bytes": "1048576",
	} {
		configs[key] = &v
	}
	return scenario{
		name: tieredName, causes: []string{"healthy"}, partitions: 3, configs: configs, members: 1, rate: 90, valueSize: 1000, recordMillis: 0.1,
	}
}

// scrapingServer is a server, not started yet, that watches the cluster and scrapes its brokers' JMX exporters.
func (l *lab) scrapingServer() (*server.Server, error) {
	s, err := server.New(l.o.binary)
	if err != nil {
		return nil, err
	}
	pages := l.cluster.Metrics()
	if l.o.dark {
		nobody, err := server.FreeAddress()
		if err != nil {
			return nil, errors.Join(err, s.Remove())
		}
		pages[len(pages)-1] = "http://" + nobody + "/metrics"
	}
	metrics := "metrics: " + listed(pages) + ", "
	if l.o.blind {
		metrics = ""
	}
	config := fmt.Sprintf("broker: {enabled: false}\nclusters:\n  - {name: %s, brokers: %s, %sscrape: %s}\n",
		clusterName, listed(l.cluster.Addresses()), metrics, scrapeEvery)
	file := filepath.Join(s.Dir, "config.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	s.Args = append(s.Args, "--config", file)
	return s, nil
}

// listed is a list in YAML.
func listed(all []string) string { return `["` + strings.Join(all, `", "`) + `"]` }

// readOldRecords reads the tiered topic from its beginning, again and again, without a group.
func (l *lab) readOldRecords(ctx context.Context) {
	for pause(ctx, time.Second) {
		client, err := kgo.NewClient(kgo.SeedBrokers(l.cluster.Addresses()...), kgo.ConsumeTopics(tieredName), kgo.ClientID("reader-of-old"),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxPartitionBytes(256<<10))
		if err != nil {
			logf("reader of old records: %v", err)
			return
		}
		bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
		for read := 0; read < 2000 && bounded.Err() == nil; {
			fetched := client.PollFetches(bounded)
			if read += fetched.NumRecords(); fetched.Err() != nil {
				break // it would be tried again a hundred times a second
			}
		}
		cancel()
		client.Close()
	}
}

// judgeNow judges what is said of a scenario at the moment.
func (l *lab) judgeNow(ctx context.Context, s *server.Server, what *scenario) bool {
	report, err := reportOf(ctx, s)
	if err != nil {
		logf("ask for the report: %v", err)
		return false
	}
	return l.judge(what, report)
}

// untilStoreIsWell waits until nothing is said of the store any more.
func (l *lab) untilStoreIsWell(ctx context.Context, s *server.Server) error {
	for mended := time.Now(); time.Since(mended) < storeMending; {
		if !pause(ctx, askEvery) {
			return ctx.Err()
		}
		report, err := reportOf(ctx, s)
		if err != nil {
			continue
		}
		if given, _ := l.answer(&scenario{entity: store}, report); given == nil {
			fmt.Printf("      nothing is said of the store %.0f s after it was mended\n", time.Since(mended).Seconds())
			return nil
		}
	}
	logf("%s after it was mended something is still said of the store", storeMending)
	return nil
}

// limit sets a quota of a client id in bytes a second.
func (l *lab) limit(ctx context.Context, client, key string, bytes float64) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	altered, err := l.admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &client}}, Ops: []kadm.AlterClientQuotaOp{{Key: key, Value: bytes}},
	}})
	for _, a := range altered {
		err = errors.Join(err, a.Err)
	}
	return err
}

// limitMember lets the first member read a quarter of what comes.
func limitMember(ctx context.Context, l *lab, w *workload) error {
	s := l.streams[w.name]
	return l.limit(ctx, w.name+"-0", "consumer_byte_rate", s.Rate*float64(s.ValueSize)/4)
}

// limitWriter lets a producer of its own send a quarter of what it would.
func limitWriter(ctx context.Context, l *lab, w *workload) error {
	name := w.name + "-writer"
	if err := l.limit(ctx, name, "producer_byte_rate", 25_000); err != nil {
		return err
	}
	_, err := l.worker(ctx, drill.Spec{
		Role: drill.RoleProducer, Brokers: l.cluster.Addresses(), ClientID: name,
		Start: drill.Behaviour{Streams: map[string]drill.Stream{w.name: {Partitions: 1, Rate: 50, ValueSize: slowValue}}},
	})
	return err
}

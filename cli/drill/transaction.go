package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// transactionalID is the id of the producer that leaves a transaction open, and of the one that ends it.
const transactionalID = "orders-payments"

// transact opens a transaction, writes one record to each of the first partitions of its topic, and then does nothing
// until ctx ends, when it aborts. A drill kills it before.
func transact(ctx context.Context, spec Spec, count *counters) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(spec.Brokers...),
		kgo.ClientID(spec.ClientID),
		kgo.SoftwareNameAndVersion("streamkeeper-worker", "1.0"),
		kgo.TransactionalID(transactionalID),
		kgo.TransactionTimeout(seconds(spec.TransactionSeconds)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
	if err != nil {
		return fmt.Errorf("open the transactional producer: %w", err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		return fmt.Errorf("begin the transaction: %w", err)
	}
	for part := range spec.TransactionPartitions {
		r, err := client.ProduceSync(ctx, &kgo.Record{Topic: spec.Topics[0], Partition: part, Value: []byte("paid")}).First()
		if err != nil {
			return fmt.Errorf("write in the transaction: %w", err)
		}
		count.reached(r.Topic, r.Partition, r.Offset+1)
	}
	<-ctx.Done()
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return client.EndTransaction(bounded, kgo.TryAbort)
}

func transactionDrills() []Drill {
	return []Drill{{
		ID: "hanging_transaction", Cause: "hanging_transaction",
		Title:    "a producer opens a transaction and is killed; readers of committed records wait for its timeout",
		Baseline: shortBaseline, Hold: 110 * time.Second, Floor: 40 * time.Second,
		Layout: func(r *rand.Rand) Layout {
			l := steady(r)
			l.Committed = true
			return l
		},
		Inject: leaveOpen, Clear: endOpen,
	}}
}

// leaveOpen opens a transaction on one to all partitions and kills its producer.
func leaveOpen(ctx context.Context, s *Stage) error {
	parts := 1 + s.Random.Int32N(s.Layout.Partitions)
	w, err := s.Lab.Work(ctx, Spec{
		Role: RoleTransaction, Brokers: []string{s.Site.Kafka}, Topics: []string{s.Topic}, ClientID: transactionalID,
		TransactionSeconds: float64(600 + 60*s.Random.IntN(6)), TransactionPartitions: parts,
	})
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(30 * time.Second); w.Stats().Records < int64(parts); {
		select {
		case <-w.Done():
			return fmt.Errorf("the transactional producer ended: %s", w.Stats().LastError)
		default:
		}
		if time.Now().After(deadline) {
			return errors.New("the transaction was not open after 30 s")
		}
		if !wait(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
	return w.Kill()
}

// endOpen fences the dead producer, which aborts what it left open.
func endOpen(ctx context.Context, s *Stage) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Site.Kafka), kgo.TransactionalID(transactionalID))
	if err != nil {
		return fmt.Errorf("open a client: %w", err)
	}
	defer client.Close()
	bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, _, err := client.ProducerID(bounded); err != nil {
		return fmt.Errorf("fence the dead producer: %w", err)
	}
	return nil
}

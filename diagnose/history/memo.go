package history

import (
	"context"
	"fmt"
	"time"

	"github.com/streamkeeper-io/streamkeeper/diagnose/history/ent"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history/ent/memo"
)

// SaveMemo writes what must be remembered of a cluster, in place of what was. It is opaque here.
func (s *Store) SaveMemo(ctx context.Context, cluster string, body []byte, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	found, err := s.client.Memo.Update().Where(memo.ID(cluster)).SetAt(now.UTC()).SetBody(body).Save(ctx)
	if err == nil && found == 0 {
		err = s.client.Memo.Create().SetID(cluster).SetAt(now.UTC()).SetBody(body).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("remembering cluster %s: %w", cluster, err)
	}
	return nil
}

// Memo returns what SaveMemo wrote last and when, nil when that is nothing.
func (s *Store) Memo(ctx context.Context, cluster string) (body []byte, at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	row, err := s.client.Memo.Get(ctx, cluster)
	switch {
	case ent.IsNotFound(err):
		return nil, at, nil
	case err != nil:
		return nil, at, fmt.Errorf("reading what was remembered of cluster %s: %w", cluster, err)
	}
	return row.Body, row.At, nil
}

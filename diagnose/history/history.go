// Package history keeps what the diagnosis must not forget: incidents, and what people decided about
// them. It is SQLite by default and PostgreSQL when outgrown.
//
// An incident is stored whole as JSON beside the few columns that are asked by, so that an older server
// can still show what a newer one wrote. Old incidents and entries are pruned by age; an open incident
// never is. The package decides nothing.
//
// Start with Open and Store. The database code is generated: ent/schema is its source.
package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	_ "github.com/jackc/pgx/v5/stdlib" // driver pgx
	_ "modernc.org/sqlite"             // driver sqlite

	"github.com/streamkeeper-io/streamkeeper/diagnose/history/ent"
)

// Store is the records. It is safe for concurrent use. Every call has the deadline of its context, and
// one of its own.
type Store struct {
	client *ent.Client
}

// callLimit bounds every call, so that a database that hangs does not stop the diagnosis.
const callLimit = 5 * time.Second

// ErrURL is returned by Open for a URL that names no database.
var ErrURL = errors.New("want sqlite:///path/to/file.db, sqlite://:memory: or postgres://user@host/database")

// Open connects to sqlite://PATH or postgres://… and brings the tables up to date.
func Open(ctx context.Context, rawURL string) (*Store, error) {
	db, driver, err := connect(rawURL)
	if err != nil {
		return nil, fmt.Errorf("opening history %s: %w", redact(rawURL), err)
	}
	s := &Store{client: ent.NewClient(ent.Driver(entsql.OpenDB(driver, db)))}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := s.client.Schema.Create(ctx); err != nil {
		_ = s.client.Close()
		return nil, fmt.Errorf("opening history %s: bringing its tables up to date: %w", redact(rawURL), err)
	}
	return s, nil
}

// Close ends all connections.
func (s *Store) Close() error { return s.client.Close() }

func connect(rawURL string) (*sql.DB, string, error) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok || rest == "" {
		return nil, "", ErrURL
	}
	switch scheme {
	case "sqlite", "sqlite3":
		db, err := openSQLite(rest)
		return db, dialect.SQLite, err
	case "postgres", "postgresql":
		db, err := sql.Open("pgx", rawURL)
		if err != nil {
			return nil, "", err
		}
		db.SetMaxOpenConns(4)
		db.SetMaxIdleConns(1)
		db.SetConnMaxIdleTime(time.Minute)
		return db, dialect.Postgres, nil
	}
	return nil, "", fmt.Errorf("%w, not %s://", ErrURL, scheme)
}

// openSQLite opens one connection with a small cache: there is one writer, and a second connection would
// only wait for it.
func openSQLite(path string) (*sql.DB, error) {
	if path != ":memory:" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
	}
	pragmas := url.Values{"_pragma": {
		"foreign_keys(1)", "journal_mode(WAL)", "busy_timeout(5000)", "synchronous(NORMAL)", "cache_size(-512)", "auto_vacuum(INCREMENTAL)",
	}}
	db, err := sql.Open("sqlite", "file:"+path+"?"+pragmas.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// redact takes the password out of a URL for messages.
func redact(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "(unreadable URL)"
	}
	return u.Redacted()
}

// Prune forgets resolved incidents that ended before the given time, and entries that ceased to count
// before it, but for feedback. It returns how many of both.
func (s *Store) Prune(ctx context.Context, before time.Time) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	incidents, err := s.pruneIncidents(ctx, before)
	if err != nil {
		return 0, fmt.Errorf("pruning incidents: %w", err)
	}
	entries, err := s.pruneEntries(ctx, before)
	if err != nil {
		return incidents, fmt.Errorf("pruning entries: %w", err)
	}
	return incidents + entries, nil
}

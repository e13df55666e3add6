// Package schema is what the records of the diagnosis look like in a database.
package schema

import (
	"time"

	"entgo.io/ent"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// Incident is one incident: its body as JSON, and the columns that are asked by.
type Incident struct {
	ent.Schema
}

// Fields of the incident. The id is the incident's own; it sorts by opening time.
func (Incident) Fields() []ent.Field {
	return []ent.Field{
		field.String("id").Immutable(),
		field.String("cluster"),
		field.String("state"), // open, updated or resolved
		field.String("cause"),
		field.String("entity"), // kind/name@cluster of the root
		field.String("severity"),
		field.Time("opened_at"),
		field.Time("updated_at"),
		field.Time("resolved_at").Optional().Nillable(),
		field.Bytes("body"),              // the incident, JSON
		field.Bytes("follow").Optional(), // what the diagnosis needs to go on with it after a restart, JSON
	}
}

// Indexes of the incident: lists by cluster and time, and retention.
func (Incident) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("cluster", "opened_at"),
		index.Fields("resolved_at"),
	}
}

// Memo is what the diagnosis must remember of a cluster beside its incidents. The id is the cluster's name.
type Memo struct {
	ent.Schema
}

// Fields of the memo.
func (Memo) Fields() []ent.Field {
	return []ent.Field{
		field.String("id").Immutable(),
		field.Time("at"),
		field.Bytes("body"), // JSON of the diagnosis
	}
}

// Entry is what a person decided, or what became of it: a silence, an acknowledgement, feedback, taken
// advice, its outcome.
type Entry struct {
	ent.Schema
}

// Fields of the entry.
func (Entry) Fields() []ent.Field {
	return []ent.Field{
		field.String("id").Immutable(),
		field.String("kind"),
		field.String("cluster").Default(""), // "" is every cluster
		field.String("incident").Default(""),
		field.String("entity").Default(""),
		field.String("cause").Default(""),
		field.Time("at"),
		field.Time("until").Default(time.Now), // when it ends to count
		field.Bytes("body"),
		field.Bytes("snapshot").Optional(), // of feedback: the incident as it was, JSON
	}
}

// Indexes of the entry: what is in force, and lists by incident.
func (Entry) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("until"),
		index.Fields("incident"),
	}
}

package otlp

import (
	"sync"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// members are who is in which group, as of the newest inventory.
type members struct {
	mu     sync.Mutex
	groups map[string]bool
	byID   map[string]string // client id: its only group, "" when there are several
}

func (m *members) learn(inv streamkeeper.Inventory) {
	groups, byID := make(map[string]bool, len(inv.Groups)), map[string]string{}
	for _, g := range inv.Groups {
		groups[g.Name] = true
		for _, member := range g.Members {
			if other, ok := byID[member.ClientID]; ok && other != g.Name {
				byID[member.ClientID] = ""
			} else if member.ClientID != "" {
				byID[member.ClientID] = g.Name
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups, m.byID = groups, byID
}

func (m *members) has(group string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.groups[group]
}

// groupOf is the group that a client says, else the only one that members of its id are in.
func (m *members) groupOf(said, client string) string {
	if said != "" {
		return said
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byID[client]
}

package kafka

import (
	"sync"

	"github.com/streamkeeper-io/streamkeeper"
)

// sees is something that a cluster may keep from us without being any less watched.
type sees int

const (
	seesTopicConfigs sees = iota
	seesDynamicConfigs
	seesLogDirs
	seesQuorum
)

// permissions is what each needs; docs/permissions.md has the same rows.
var permissions = map[sees]streamkeeper.NotJudged{
	seesTopicConfigs:   {What: "changes of topics' configurations, and what retention deletes", Needs: "the ACL DescribeConfigs on topics"},
	seesDynamicConfigs: {What: "configurations that are changed on running brokers", Needs: "the ACL DescribeConfigs on the cluster"},
	seesLogDirs:        {What: "how full the brokers' disks are, log directories that failed, sizes of partitions", Needs: "the ACL Describe on the cluster (DescribeLogDirs)"},
	seesQuorum:         {What: "the controllers' quorum: its leader, and who is behind", Needs: "the ACL Describe on the cluster (DescribeQuorum)"},
}

// denials is what the cluster does not let us see. It is safe for concurrent use: reports ask between rounds.
type denials struct {
	mu     sync.Mutex
	denied map[sees]bool
}

func (d *denials) set(what sees, denied bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.denied == nil {
		d.denied = map[sees]bool{}
	}
	d.denied[what] = denied
}

// Untold lists what the cluster does not let us see, and the permission that each needs.
func (c *Collector) Untold() []streamkeeper.NotJudged {
	c.denials.mu.Lock()
	defer c.denials.mu.Unlock()
	var out []streamkeeper.NotJudged
	for _, what := range sortedKeys(c.denials.denied) {
		if c.denials.denied[what] {
			out = append(out, permissions[what])
		}
	}
	return out
}

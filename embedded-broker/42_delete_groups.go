package broker

// DeleteGroups, key 42, versions 0–3. Deviations: none.

import (
	"context"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const groupStoreTimeout = 10 * time.Second // a deletion that is not durable by then is answered as failed

func deleteGroupsAPI() api { return api{key: 42, min: 0, max: 3, handle: handleDeleteGroups} }

func handleDeleteGroups(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.DeleteGroupsRequest)
	// Each deletion waits for the disk: not on the connection's reading goroutine.
	b.running.Go(func() {
		resp := kmsg.NewPtrDeleteGroupsResponse()
		for _, name := range req.Groups {
			out := kmsg.NewDeleteGroupsResponseGroup()
			out.Group = name
			code := group.GroupIDNotFound
			if name == "" {
				code = group.InvalidGroupID
			} else if c := b.groups.find(name); c != nil {
				code = b.groups.remove(c)
			}
			if out.ErrorCode = int16(code); code != group.None {
				out.ErrorMessage = textOrNil(code.String())
			}
			resp.Groups = append(resp.Groups, out)
		}
		reply(resp)
	})
}

// remove deletes an empty group with its offsets. Its lock is held until that is durable, so that nobody joins a group that
// the next restart would not know; the engine never waits for that lock.
func (s *groups) remove(c *coordinated) group.Code {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return group.GroupIDNotFound
	}
	if code := c.machine.Deletable(); code != group.None {
		return code
	}
	ctx, cancel := context.WithTimeout(s.b.ctx, groupStoreTimeout)
	defer cancel()
	if err := s.engine.DeleteGroup(ctx, c.name); err != nil {
		s.b.log.Warn("deleting a group failed", "group", c.name, "error", err)
		return storeCode(err)
	}
	now := s.now()
	s.absorb(c, now, c.machine.Kill(now)) // an empty group has nobody to answer
	c.gone = true
	s.mu.Lock()
	delete(s.byName, c.name)
	s.mu.Unlock()
	return group.None
}

package redislog

import (
	"context"
	"errors"
	"fmt"

	"github.com/buffkit/buffkit/eventlog"
)

// Log is an eventlog.Log on Redis.
type Log struct {
	*eventlog.Replica
}

var _ eventlog.Log = (*Log)(nil)

// Open connects to the server, gives the log its epoch if it has none, and follows it. The context is for that alone. A server that can't be reached,
// or refuses the user, is an error. Close ends all of it.
func Open(ctx context.Context, opts *Options) (*Log, error) {
	store, err := OpenStore(ctx, opts)
	if err != nil {
		return nil, err
	}
	o := store.replicaOptions()
	kept := eventlog.Store(store)
	if store.opts.Archive != nil {
		kept = eventlog.NewTier(store, store.opts.Archive, &eventlog.TierOptions{Logger: o.Logger})
	}
	replica, err := eventlog.NewReplica(ctx, kept, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("follow the log %q in Redis: %w", store.opts.Prefix, err), kept.Close())
	}
	return &Log{replica}, nil
}

// replicaOptions lets the memory of a node keep what the store keeps, unless it is told otherwise.
func (s *Store) replicaOptions() *eventlog.ReplicaOptions {
	var o eventlog.ReplicaOptions
	if s.opts.Replica != nil {
		o = *s.opts.Replica
	}
	if o.Memory.Retention == (eventlog.Retention{}) {
		o.Memory.Retention = s.opts.Retention
	}
	if o.Memory.RetentionOf == nil {
		o.Memory.RetentionOf = s.opts.RetentionOf
	}
	return &o
}

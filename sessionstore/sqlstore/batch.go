package sqlstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"maps"
	"slices"

	"github.com/buffkit/buffkit/sessionstore"
)

// batch is some sessions in a transaction: what was read and is locked, and what becomes of it.
type batch struct {
	*tx
	node  []byte // nil for none
	now   int64
	until int64 // the node lives
	rows  map[sessionstore.ID]*row
	users map[string]*user
}

type row struct {
	sessionstore.Record
	id         sessionstore.ID
	stored     bool
	was        sessionstore.Record // as it is stored
	revocation int64               // its number in the feed, 0 for none
	held, had  int                 // connections that the node counts, and those that are stored
}

type user struct {
	key              [sha256.Size]byte // of the name
	stored           bool
	connections, was int64
}

func (u *user) count() int {
	if u == nil {
		return 0 // nobody
	}
	return int(u.connections)
}

// hold counts connections of the node that are in the session's record.
func (b *batch) hold(r *row, connections int) {
	r.held += connections
	if u := b.users[r.User]; u != nil {
		u.connections += int64(connections)
	}
}

// drop takes connections of the node back.
func (b *batch) drop(r *row, connections int) {
	r.Leave(connections, b.now)
	b.hold(r, -connections)
}

// lockNode locks the row of a node, and learns the time. A node that isn't known gets a row that says that it is dead, if it is to be made.
func (b *batch) lockNode(ctx context.Context, option lockOption, create bool) (found bool, err error) {
	for range 2 {
		err = b.store.each(ctx, b.session, b.store.query("SELECT alive_until, ", clock{}, " FROM buffkit_sessions_nodes WHERE node = ", b.node, lock(option)),
			func(rows *sql.Rows) error {
				found = true
				return rows.Scan(&b.until, &b.now)
			})
		if err != nil || found || !create {
			break
		}
		if err = b.exec(ctx, "INSERT INTO buffkit_sessions_nodes (node, alive_until) VALUES (", b.node, ", 0)"); err != nil {
			break
		}
	}
	return found, err
}

func (b *batch) learnTime(ctx context.Context) (err error) {
	b.now, _, err = b.number(ctx, "SELECT ", clock{})
	return err
}

const columns = "id, owner, generation, rotated, used, created, seen, place, connections, state"

// scan reads the columns above, and what comes behind them.
func (r *row) scan(rows *sql.Rows, more ...any) error {
	var id, owner, place []byte
	var generation, state int64
	err := rows.Scan(append([]any{&id, &owner, &generation, &r.Rotated, &r.Used, &r.Created, &r.Seen, &place, &r.Connections, &state}, more...)...)
	if err != nil {
		return err
	}
	copy(r.id[:], id)
	r.User, r.Cursor, r.Generation, r.Revoked = string(owner), string(place), uint32(generation), causes[state]
	r.was, r.stored = r.Record, true
	return nil
}

// load locks sessions, and their users and others, and reads them.
func (b *batch) load(ctx context.Context, ids []sessionstore.ID, users ...string) error {
	b.rows, b.users = map[sessionstore.ID]*row{}, map[string]*user{}
	sorted := sortedKeys(ids)
	if len(sorted) > 0 {
		if err := b.loadRows(ctx, sorted); err != nil {
			return err
		}
	}
	for _, r := range b.rows {
		users = append(users, r.User)
	}
	if err := b.loadUsers(ctx, users); err != nil {
		return err
	}
	if len(b.rows) == 0 || b.node == nil {
		return nil
	}
	return b.loadHeld(ctx, sorted)
}

// sortedKeys returns each key once, in the order in which all transactions lock.
func sortedKeys(ids []sessionstore.ID) keys {
	sorted := make(keys, len(ids))
	for i := range ids {
		sorted[i] = ids[i][:]
	}
	slices.SortFunc(sorted, bytes.Compare)
	return slices.CompactFunc(sorted, bytes.Equal)
}

func (b *batch) loadRows(ctx context.Context, ids keys) error {
	q := b.store.query("SELECT "+columns+", coalesce(revocation, 0) FROM buffkit_sessions WHERE id", ids, " ORDER BY id", lock(wait))
	return b.store.each(ctx, b.session, q, func(rows *sql.Rows) error {
		r := &row{}
		if err := r.scan(rows, &r.revocation); err != nil {
			return err
		}
		b.rows[r.id] = r
		return nil
	})
}

func (b *batch) loadUsers(ctx context.Context, names []string) error {
	byKey := map[[sha256.Size]byte]*user{}
	for _, name := range names {
		if name != "" && b.users[name] == nil {
			u := &user{key: sha256.Sum256([]byte(name))}
			b.users[name], byKey[u.key] = u, u
		}
	}
	if len(byKey) == 0 {
		return nil
	}
	sorted := make(keys, 0, len(byKey))
	for _, u := range byKey {
		sorted = append(sorted, u.key[:])
	}
	slices.SortFunc(sorted, bytes.Compare)
	q := b.store.query("SELECT owner, connections FROM buffkit_sessions_users WHERE owner", sorted, " ORDER BY owner", lock(wait))
	return b.store.each(ctx, b.session, q, func(rows *sql.Rows) error {
		var key []byte
		var connections int64
		if err := rows.Scan(&key, &connections); err != nil {
			return err
		}
		if u := byKey[[sha256.Size]byte(key)]; u != nil {
			u.stored, u.connections, u.was = true, connections, connections
		}
		return nil
	})
}

// loadHeld needs no lock of its own: who changes this has the node's.
func (b *batch) loadHeld(ctx context.Context, ids keys) error {
	q := b.store.query("SELECT session, connections FROM buffkit_sessions_held WHERE node = ", b.node, " AND session", ids)
	return b.store.each(ctx, b.session, q, func(rows *sql.Rows) error {
		var id []byte
		var connections int
		if err := rows.Scan(&id, &connections); err != nil {
			return err
		}
		if r := b.rows[sessionstore.ID(id)]; r != nil {
			r.held, r.had = connections, connections
		}
		return nil
	})
}

// save writes what has changed, in the order of the keys.
func (b *batch) save(ctx context.Context) error {
	all := slices.SortedFunc(maps.Values(b.rows), func(x, y *row) int { return bytes.Compare(x.id[:], y.id[:]) })
	for _, write := range []func(context.Context, []*row) error{b.announce, b.saveRows, b.saveHeld} {
		if err := write(ctx, all); err != nil {
			return err
		}
	}
	return b.saveUsers(ctx)
}

// announce numbers what was revoked just now. The lock of the newest number is kept until all is visible.
func (b *batch) announce(ctx context.Context, all []*row) error {
	var news []*row
	for _, r := range all {
		if r.Revoked != nil && r.was.Revoked == nil {
			news = append(news, r)
		}
	}
	if len(news) == 0 {
		return nil
	}
	if err := b.exec(ctx, "UPDATE buffkit_sessions_feed SET newest = newest + ", int64(len(news)), " WHERE id = 1"); err != nil {
		return err
	}
	newest, _, err := b.number(ctx, "SELECT newest FROM buffkit_sessions_feed WHERE id = 1")
	for i, r := range news {
		r.revocation = newest - int64(len(news)) + int64(i) + 1
	}
	return err
}

var rest = []string{"owner", "generation", "rotated", "used", "created", "seen", "place", "connections", "state", "abandoned", "revocation"}

func (r *row) values() []any {
	var abandoned, revocation any
	if r.Revoked == nil && r.Connections <= 0 {
		abandoned = r.Seen
	}
	if r.Revoked != nil {
		revocation = r.revocation
	}
	return []any{r.id[:], []byte(r.User), int64(r.Generation), r.Rotated, r.Used, r.Created, r.Seen, []byte(r.Cursor), int64(r.Connections), stateOf(r.Revoked),
		abandoned, revocation}
}

func (b *batch) saveRows(ctx context.Context, all []*row) error {
	var fresh, changed table
	for _, r := range all {
		switch {
		case !r.stored:
			fresh = append(fresh, r.values())
		case r.Record != r.was:
			changed = append(changed, r.values())
		}
	}
	if len(fresh) > 0 { // another transaction may be making them too: then one of both is tried again
		if err := b.exec(ctx, "INSERT INTO buffkit_sessions ("+columns+", abandoned, revocation)", fresh); err != nil {
			return err
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return b.run(ctx, b.store.upsert("buffkit_sessions", []string{"id"}, rest, changed))
}

func (b *batch) saveHeld(ctx context.Context, all []*row) error {
	var changed table
	var ended keys
	for _, r := range all {
		switch {
		case r.held == r.had:
		case r.held <= 0:
			ended = append(ended, r.id[:])
		default:
			changed = append(changed, []any{b.node, r.id[:], int64(r.held)})
		}
	}
	if len(ended) > 0 {
		if err := b.exec(ctx, "DELETE FROM buffkit_sessions_held WHERE node = ", b.node, " AND session", ended); err != nil {
			return err
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return b.run(ctx, b.store.upsert("buffkit_sessions_held", []string{"node", "session"}, []string{"connections"}, changed))
}

func (b *batch) saveUsers(ctx context.Context) error {
	var fresh, changed table
	var ended keys
	all := slices.SortedFunc(maps.Values(b.users), func(x, y *user) int { return bytes.Compare(x.key[:], y.key[:]) })
	for _, u := range all {
		values := []any{u.key[:], u.connections}
		switch {
		case u.connections == u.was:
		case u.connections <= 0:
			ended = append(ended, u.key[:])
		case u.stored:
			changed = append(changed, values)
		default:
			fresh = append(fresh, values)
		}
	}
	if len(ended) > 0 {
		if err := b.exec(ctx, "DELETE FROM buffkit_sessions_users WHERE owner", ended); err != nil {
			return err
		}
	}
	if len(fresh) > 0 {
		if err := b.exec(ctx, "INSERT INTO buffkit_sessions_users (owner, connections)", fresh); err != nil {
			return err
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return b.run(ctx, b.store.upsert("buffkit_sessions_users", []string{"owner"}, []string{"connections"}, changed))
}

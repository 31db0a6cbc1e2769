package migrate

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// leaseTime is how long a lease is good without being renewed. It is renewed three times as often, and in each transaction of the run.
const leaseTime = 30 * time.Second

// lease is a lock that is a row. Every transaction of its owner checks that the row is still his, so that a runner which was
// stopped for longer than the lease can't do harm when it wakes up.
type lease struct {
	m       *Migrator
	l       *ledger
	token   string
	running sync.WaitGroup
	end     context.CancelFunc

	seen  string    // another's lease, as it was at the last look
	since time.Time // and how long it hasn't been renewed
}

// process tells this process from an earlier one of the same number: that of a container that was restarted is 1 each time.
var process = rand.Text()[:10]

func newLease(m *Migrator, l *ledger) *lease {
	return &lease{m: m, l: l, token: process + "-" + rand.Text()}
}

func (s *lease) create(ctx context.Context, q querier) error {
	t := s.l.types()
	ddl := "CREATE TABLE IF NOT EXISTS " + s.l.lease + " (\n  id INTEGER NOT NULL PRIMARY KEY,\n  token " + t.text(64) + " NOT NULL,\n  runner " +
		t.text(255) + " NOT NULL,\n  since_us BIGINT NOT NULL,\n  until_us BIGINT NOT NULL\n)" + t.options
	return s.m.patiently(ctx, func() error {
		exists, err := s.exists(ctx, q)
		if err != nil {
			return fmt.Errorf("migrate: look for the lease: %w", err)
		}
		if exists {
			return nil
		}
		_, err = q.ExecContext(ctx, ddl)
		switch sqlState(err) {
		case "23505", "42710", "42P07": // unique_violation, duplicate_object, duplicate_table
			return nil // PostgreSQL: another runner made it at the same moment
		}
		if err != nil {
			return fmt.Errorf("migrate: create the lock table: %w", err)
		}
		return nil
	})
}

// stale tells whether another's lease wasn't renewed for as long as it lasts, by this runner's watch: in SQLite its end was written by the clock of
// another machine, which may be hours ahead.
func (s *lease) stale(token string, until int64) bool {
	if seen := fmt.Sprint(token, " ", until); seen != s.seen {
		s.seen, s.since = seen, time.Now()
	}
	return time.Since(s.since) >= leaseTime
}

// good tells whether a lease keeps others out: until it is over, or if it is of a process of this machine that is gone.
func (s *lease) good(token, runner string, until, left int64) bool {
	return left > 0 && !s.stale(token, until) && !gone(token, runner, s.m.runner)
}

// exists tells whether there is a table for leases.
func (s *lease) exists(ctx context.Context, q querier) (bool, error) {
	columns, err := s.l.columns(ctx, q, s.l.schema, s.l.plain+"_lock")
	return len(columns) > 0, err
}

// isFree tells whether no runner has the lease. One that is over it takes away: its owner may be suspended, or in a long transaction, and must not renew
// it while another works.
func (s *lease) isFree(ctx context.Context, q querier) (bool, error) {
	if exists, err := s.exists(ctx, q); err != nil || !exists {
		return err == nil, err
	}
	var token, runner string
	var until, left int64
	err := q.QueryRowContext(ctx, "SELECT token, runner, until_us, until_us - "+s.l.clock()+" FROM "+s.l.lease+" WHERE id = 1").Scan(&token, &runner, &until, &left)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return true, nil
	case err != nil || s.good(token, runner, until, left):
		return false, err
	}
	n, err := s.l.exec(ctx, q, "DELETE FROM "+s.l.lease+" WHERE id = 1 AND token = ? AND until_us = ?", token, until)
	if err != nil && s.m.server.judge(err).busy {
		return false, nil // its owner has renewed it in a transaction that is open
	}
	return n == 1, err
}

// try takes the lease if it is free, over, or of a process of this machine that is gone.
func (s *lease) try(ctx context.Context, q querier) (bool, error) {
	taken := false
	err := s.m.atomically(ctx, q, func() error {
		taken = false
		var token, runner string
		var until, left int64
		err := q.QueryRowContext(ctx, "SELECT token, runner, until_us, until_us - "+s.l.clock()+" FROM "+s.l.lease+" WHERE id = 1"+s.forUpdate()).
			Scan(&token, &runner, &until, &left)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			_, err = s.l.exec(ctx, q, "INSERT INTO "+s.l.lease+" (id, token, runner, since_us, until_us) VALUES (1, ?, ?, "+s.l.clock()+", "+s.until()+")",
				s.token, s.m.runner)
		case err != nil:
			return err
		case s.good(token, runner, until, left):
			return nil
		default:
			_, err = s.l.exec(ctx, q, "UPDATE "+s.l.lease+" SET token = ?, runner = ?, since_us = "+s.l.clock()+", until_us = "+s.until()+" WHERE id = 1",
				s.token, s.m.runner)
		}
		taken = err == nil
		return err
	})
	if err != nil && (s.m.server.judge(err).busy || sqlState(err) == "23505") {
		return false, nil
	}
	return taken && err == nil, err
}

func (s *lease) forUpdate() string {
	if s.m.server.cancels() { // SQLite has one writer at a time anyway
		return " FOR UPDATE"
	}
	return ""
}

func (s *lease) until() string {
	return s.l.clock() + " + " + strconv.FormatInt(leaseTime.Microseconds(), 10)
}

// renew is called in each transaction of the run. Without the row the transaction must not commit.
func (s *lease) renew(ctx context.Context, q querier) error {
	if fresh, err := s.fresh(ctx, q); fresh || err != nil {
		return err
	}
	n, err := s.l.exec(ctx, q, "UPDATE "+s.l.lease+" SET until_us = "+s.until()+" WHERE id = 1 AND token = ?", s.token)
	if err == nil && n != 1 {
		return fmt.Errorf("%w: its lease was over, and another runner has it", ErrLockLost)
	}
	return err
}

// fresh tells whether the lease was renewed a short while ago. In SQLite nobody can take it while a transaction writes, so it's enough to look,
// and a commit writes a page less. Elsewhere the write keeps others from the row.
func (s *lease) fresh(ctx context.Context, q querier) (bool, error) {
	if s.m.server.cancels() {
		return false, nil
	}
	var one int
	err := q.QueryRowContext(ctx, "SELECT 1 FROM "+s.l.lease+" WHERE "+s.isFresh(), s.token).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil // renew says why
	}
	return err == nil, err
}

// isFresh is the condition of a lease that has the token ?, and was renewed a short while ago. One that lasts for longer than it can is from before
// the clock was set back.
func (s *lease) isFresh() string {
	return fmt.Sprintf("id = 1 AND token = ? AND until_us - %s BETWEEN %d AND %d", s.l.clock(), (leaseTime*2/3).Microseconds()+1, leaseTime.Microseconds())
}

// keep renews the lease in the background.
func (s *lease) keep(k *lock) {
	ctx, cancel := context.WithCancel(context.Background())
	s.end = cancel
	s.running.Go(func() {
		tick := time.NewTicker(leaseTime / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := k.use(func(querier) error { return s.renewAnyhow(ctx, k.conn) }); err != nil && ctx.Err() == nil {
				s.m.log.WarnContext(ctx, "migrate: the lease couldn't be renewed", "err", err)
			}
		}
	})
}

// renewAnyhow renews it on another connection if this one fails, as it does from then on when its driver has closed it because a renewal took too long.
func (s *lease) renewAnyhow(ctx context.Context, conn *connection) error {
	err := s.renewSoon(ctx, conn)
	if err == nil || ctx.Err() != nil {
		return err
	}
	discard(conn) // the pool may have no room for another
	return s.renewSoon(ctx, s.m.db)
}

// renewSoon doesn't wait for a dead network for longer than it is to the next time.
func (s *lease) renewSoon(ctx context.Context, q querier) error {
	bounded, cancel := context.WithTimeout(ctx, leaseTime/3)
	defer cancel()
	return s.renew(bounded, q)
}

func (s *lease) stop() {
	if s.end != nil {
		s.end()
	}
	s.running.Wait()
}

// releaseTime is how long a connection has to give the lease back. Behind it the next runner waits until the lease is over.
const releaseTime = 5 * time.Second

// release gives the lease back, on any connection if this one is broken, as some are when a context has ended.
func (s *lease) release(ctx context.Context, q querier) error {
	err := s.remove(ctx, q)
	if err != nil && s.m.server.cancels() { // else there may be one connection alone
		err = s.remove(ctx, s.m.db)
	}
	return err
}

func (s *lease) remove(ctx context.Context, q querier) error {
	bounded, cancel := context.WithTimeout(ctx, releaseTime)
	defer cancel()
	return s.m.patiently(bounded, func() error {
		_, err := s.l.exec(bounded, q, "DELETE FROM "+s.l.lease+" WHERE id = 1 AND token = ?", s.token)
		return err
	})
}

func (s *lease) holder(ctx context.Context, q querier) (*Holder, error) {
	var h Holder
	var since int64
	err := q.QueryRowContext(ctx, "SELECT runner, "+s.l.clock()+" - since_us FROM "+s.l.lease+" WHERE id = 1").Scan(&h.Runner, &since)
	if errors.Is(err, sql.ErrNoRows) || err != nil && s.m.server.judge(err).busy {
		return nil, nil
	}
	h.For = time.Duration(since) * time.Microsecond
	return &h, err
}

// gone tells whether a runner is a process of this machine that has ended. One of another machine, or one whose number another
// process has by now, isn't known to be gone: its lease must run out.
func gone(token, runner, me string) bool {
	host, number, _ := cutLast(runner, ":")
	here, own, _ := cutLast(me, ":")
	pid, err := strconv.Atoi(number)
	if err != nil || pid <= 0 || host != here {
		return false
	}
	if number == own {
		return !strings.HasPrefix(token, process)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return true // Windows says it here
	}
	return errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

func cutLast(text, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}

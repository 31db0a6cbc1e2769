package demo

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
	"github.com/buffkit/buffkit/push"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// topicItems has the list as data, for the demo that goes on with it. Nobody may read it.
const topicItems = "items"

// The files of Options.Folder.
const (
	logFile  = "log.db"
	lockFile = "lock.db"
)

const readAtOnce = 200 // events, of which one that tells the load has some kilobytes

// retentionOf keeps of the load as long a time as of the pulses, and of the list for the next demo what it is now.
func (r rhythm) retentionOf(topic string) eventlog.Retention {
	switch topic {
	case topicPulse:
		return eventlog.Retention{Count: r.retention}
	case topicMachine:
		return eventlog.Retention{Count: max(1, r.retention*int(r.pulse)/int(r.sample))}
	case topicItems:
		return eventlog.Retention{Count: 1}
	}
	return eventlog.Retention{}
}

// openLog opens the log of the folder, or one in memory if there is none, or another demo has it: two that number the same topics prove nothing.
func openLog(ctx context.Context, opts Options, r rhythm) (eventlog.Log, error) {
	memory := eventlog.MemoryOptions{RetentionOf: r.retentionOf}
	if opts.Folder == "" {
		return eventlog.NewMemory(&memory), nil
	}
	unlock, err := lock(ctx, filepath.Join(opts.Folder, lockFile))
	if errors.Is(err, errTaken) {
		opts.Logger.Warn("another demo keeps its events in the folder: these are in memory", "folder", opts.Folder)
		return eventlog.NewMemory(&memory), nil
	}
	if err != nil {
		return nil, fmt.Errorf("demo: lock the folder %s: %w", opts.Folder, err)
	}
	log, err := sqlitelog.Open(ctx, filepath.Join(opts.Folder, logFile), &sqlitelog.Options{
		Retention:   eventlog.Retention{Age: -1}, // the newest, with its number, is kept for ever
		RetentionOf: r.retentionOf,
		Replica:     eventlog.ReplicaOptions{Memory: memory, Logger: opts.Logger},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("demo: %w", err), unlock())
	}
	return &locked{log, unlock}, nil
}

// locked is a log that this demo alone has open.
type locked struct {
	eventlog.Log
	unlock func() error
}

func (l *locked) Close() error { return errors.Join(l.Log.Close(), l.unlock()) }

var errTaken = errors.New("another process has it")

// lock takes a lock that ends with the process: that of a SQLite file, since systems agree on no other.
func lock(ctx context.Context, path string) (unlock func() error, err error) {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(0)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err == nil {
		_, err = conn.ExecContext(ctx, "BEGIN EXCLUSIVE")
	}
	if err == nil {
		return func() error { return errors.Join(conn.Close(), db.Close()) }, nil
	}
	var failed *sqlite.Error
	if errors.As(err, &failed) && failed.Code()&0xff == sqlite3.SQLITE_BUSY {
		err = errTaken
	}
	if conn != nil {
		conn.Close()
	}
	db.Close()
	return nil, err
}

// listState is the data of an event on topicItems.
type listState struct {
	N     uint64 `json:"n"` // the number of the list's event
	Items []item `json:"items"`
}

func itemsEvent(s *state) push.Event {
	data, err := json.Marshal(listState{s.list, s.items})
	if err != nil {
		panic(err) // numbers, texts and bools
	}
	return push.Event{Topic: topicItems, Data: data}
}

// goOn returns the state that the log tells of. The curves of the load begin anew.
func goOn(ctx context.Context, log eventlog.Log) (*state, error) {
	s := &state{items: firstItems()}
	for at := (eventlog.Cursor{}); ; {
		batch, err := log.Read(ctx, []string{topicPulse, topicMachine, topicItems}, at, readAtOnce)
		if err != nil {
			return nil, fmt.Errorf("demo: read the log: %w", err)
		}
		for _, entry := range batch.Entries {
			if err := s.take(entry); err != nil {
				return nil, fmt.Errorf("demo: an event on %q isn't a demo's; name another folder: %w", entry.Topic, err)
			}
		}
		switch at = batch.Next; {
		case len(batch.Gaps) > 0: // something was trimmed meanwhile
			at = eventlog.Cursor{}
		case len(batch.Entries) == 0:
			return s, nil
		}
	}
}

var machineNumber = regexp.MustCompile(`data-topic="` + topicMachine + `" data-n="(\d+)"`)

// take takes from an event what it says of the state.
func (s *state) take(entry eventlog.Entry) (err error) {
	data := entry.Event().Data
	switch entry.Topic {
	case topicPulse:
		var p pulse
		err = json.Unmarshal(data, &p)
		s.pulse = p.N
	case topicMachine:
		match := machineNumber.FindSubmatch(data)
		if match == nil {
			return errors.New("it has no number")
		}
		s.machine, err = strconv.ParseUint(string(match[1]), 10, 64)
	case topicItems:
		var l listState
		err = json.Unmarshal(data, &l)
		s.list, s.items = l.N, l.Items
	}
	return err
}

package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/push"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// nodeVar makes the test binary a node instead: a nodeConfig as JSON.
const nodeVar = "BUFFKIT_TEST_ORACLE_NODE"

// nodeConfig is what one node is told.
type nodeConfig struct {
	Listen   string
	Redis    string // the server's address, "" without
	Postgres string // the database's URL, "" without
	Topics   []string
	Behind   time.Duration // its wall clock is behind that of the others; whole seconds
	Drops    int           // of the first events, so many, it loses every tenth on the way to the streams, to see that the judge notices
}

const (
	nodeHeartbeat = 2 * time.Second        // a node that hangs is left after twice as long
	nodeRetry     = 200 * time.Millisecond // a thousand returns a minute and client
	drainWindow   = 500 * time.Millisecond
	publishWithin = 12 * time.Second // Append waits 10 s until its events are visible
	openAgain     = 100 * time.Millisecond
)

// keeps is how many events of a topic are kept. Those of the first three topics are trimmed under the clients' eyes.
func keeps(topic string) int {
	if topic < "topic-03" {
		return 25
	}
	return 20_000
}

func retentionOf(topic string) eventlog.Retention {
	return eventlog.Retention{Count: keeps(topic), Bytes: 64 << 20, Age: 24 * time.Hour}
}

// node is one process of the fleet.
type node struct {
	config nodeConfig
	logger *slog.Logger
	log    eventlog.Log
	health func() error
	pg     *pglog.Log // nil without PostgreSQL
	pool   *pgxpool.Pool
	broker *push.Broker
}

// runNode serves until it is told to stop, killed, or its parent has gone.
func runNode(config string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(2)
	}()
	n := &node{logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if err := json.Unmarshal([]byte(config), &n.config); err != nil {
		panic(err)
	}
	if n.config.Behind != 0 {
		if err := setClock(n.config.Behind); err != nil {
			n.logger.Error("the clock can't be set", "error", err)
			return 1
		}
	}
	if err := n.serve(ctx); err != nil && ctx.Err() == nil {
		n.logger.Error("the node ends", "error", err)
		return 1
	}
	return 0
}

// setClock puts the clock behind by the seconds of a request.
func (n *node) setClock(w http.ResponseWriter, r *http.Request) {
	behind, err := time.ParseDuration(r.FormValue("behind"))
	if err == nil {
		err = setClock(behind)
	}
	n.logger.Info("the clock jumps", "behind", behind, "error", err)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (n *node) serve(ctx context.Context) error {
	if err := n.open(ctx); err != nil { // before anybody can come
		return err
	}
	listener, err := listen(ctx, n.config.Listen)
	if err != nil {
		return err
	}
	n.broker, err = push.New(push.Public(n.config.Topics...), &push.Options{
		Log: n.leaky(), Logger: n.logger, Heartbeat: nodeHeartbeat, Retry: nodeRetry, DrainWindow: drainWindow,
		Keys: []push.Key{{ID: "fleet", Secret: []byte("a secret that all nodes of a fleet share")}},
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /events", n.broker)
	mux.HandleFunc("POST /publish", n.publish)
	mux.HandleFunc("GET /healthz", n.healthz)
	mux.HandleFunc("POST /clock", n.setClock)
	server := &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(n.logger.Handler(), slog.LevelInfo)}
	go func() { _ = server.Serve(listener) }()
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(n.broker.Drain(last), server.Shutdown(last), n.broker.Close(), n.log.Close())
}

// leaky is the log, or one that loses events.
func (n *node) leaky() eventlog.Log {
	if n.config.Drops == 0 {
		return n.log
	}
	return &leakyLog{n.log, n.config.Drops}
}

type leakyLog struct {
	eventlog.Log
	drops int
}

// Read implements eventlog.Log.
func (l *leakyLog) Read(ctx context.Context, topics []string, after eventlog.Cursor, most int) (eventlog.Batch, error) {
	b, err := l.Log.Read(ctx, topics, after, most)
	b.Entries = slices.DeleteFunc(b.Entries, func(e eventlog.Entry) bool {
		number, _ := numberOf(e.Event().Data)
		return number < l.drops && number%10 == 0
	})
	return b, err
}

// listen waits for its port: the process before this one may hold it for a moment longer.
func listen(ctx context.Context, addr string) (listener net.Listener, err error) {
	err = again(ctx, func() error {
		listener, err = net.Listen("tcp", addr)
		return err
	})
	return listener, err
}

// again calls a function until it returns nil. It returns the last error when the context ends.
func again(ctx context.Context, try func() error) error {
	tick := time.NewTicker(openAgain)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// open waits for the server, as one who restarts a node that can't reach it would.
func (n *node) open(ctx context.Context) error {
	return again(ctx, func() (err error) {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if n.config.Redis != "" {
			err = n.openRedis(limited)
		} else {
			err = n.openPostgres(limited)
		}
		if err != nil {
			n.logger.Info("the log can't be opened", "error", err)
		}
		return err
	})
}

func (n *node) openRedis(ctx context.Context) error {
	log, err := redislog.Open(ctx, &redislog.Options{
		Addrs: []string{n.config.Redis}, Timeout: 3 * time.Second, RetentionOf: retentionOf,
		Replica: &eventlog.ReplicaOptions{Logger: n.logger},
	})
	if err != nil {
		return err
	}
	n.log, n.health = log, log.Health
	return nil
}

func (n *node) openPostgres(ctx context.Context) (err error) {
	if n.pool == nil {
		if n.pool, err = pgxpool.New(context.Background(), n.config.Postgres); err != nil { // it connects later
			return err
		}
	}
	log, err := pglog.Open(ctx, n.config.Postgres, &pglog.Options{RetentionOf: retentionOf, Logger: n.logger})
	if err != nil {
		return err
	}
	n.log, n.health, n.pg = log, log.Health, log
	return nil
}

func (n *node) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := n.health(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// order is a request to publish.
type order struct {
	Events []push.Event
	Tx     bool // within a transaction of the node's own
	Commit bool // it
}

// answer is what became of it.
type answer struct {
	Outcome outcome
	Cursors []string
	Error   string
}

func (n *node) publish(w http.ResponseWriter, r *http.Request) {
	var o order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), publishWithin)
	defer cancel()
	var a answer
	if o.Tx {
		a = n.inTransaction(ctx, o)
	} else {
		a = n.append(ctx, o.Events)
	}
	_ = json.NewEncoder(w).Encode(a) // who isn't there any more knows that it has no answer
}

func (n *node) append(ctx context.Context, events []push.Event) (a answer) {
	cursors, err := n.broker.PublishAll(ctx, events...)
	switch {
	case err == nil:
		a.Outcome = acknowledged
	case errors.Is(err, eventlog.ErrNotVisible):
		a.Outcome = stored
	case errors.Is(err, eventlog.ErrUnknownOutcome):
		a.Outcome = unknown
	default:
		a.Outcome = failed
	}
	if err != nil {
		a.Error = err.Error()
	}
	for _, c := range cursors {
		a.Cursors = append(a.Cursors, c.String())
	}
	return a
}

// inTransaction publishes with AppendTx. What is rolled back is so whatever the server says to it; a COMMIT without an answer may have come through.
// pgx.BeginFunc won't do: where COMMIT lost its connection, it returns the error of the ROLLBACK that follows, which was never sent.
func (n *node) inTransaction(ctx context.Context, o order) answer {
	tx, err := n.pool.Begin(ctx)
	if err != nil {
		return answer{Outcome: rolledBack, Error: err.Error()}
	}
	err = n.pg.AppendTx(ctx, tx, o.Events...)
	if err != nil || !o.Commit {
		return answer{Outcome: rolledBack, Error: fmt.Sprint(errors.Join(err, tx.Rollback(ctx)))}
	}
	err = tx.Commit(ctx)
	var refused *pgconn.PgError
	switch {
	case err == nil:
		return answer{Outcome: stored}
	case errors.As(err, &refused) && refused.Severity == "ERROR", errors.Is(err, pgx.ErrTxCommitRollback):
		return answer{Outcome: failed, Error: err.Error()}
	}
	return answer{Outcome: unknown, Error: err.Error()}
}

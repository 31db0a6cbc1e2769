package pushtest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/push/pushtest"
)

// A test of an app's stream: it is cut, comes back after an hour, and has missed nothing.
func ExampleNewServer() {
	var t *testing.T // of TestOrders(t *testing.T)
	synctest.Test(t, func(t *testing.T) {
		broker, err := push.New(push.Public("orders"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer broker.Close()
		server := pushtest.NewServer(t, broker)

		stream, err := server.Open(t.Context(), "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		open, err := stream.Next(t.Context())
		if err != nil || open.Open.State != client.Fresh {
			t.Fatalf("told %+v, %v", open.Open, err)
		}

		server.Cut()
		broker.Publish(t.Context(), push.Event{Topic: "orders", Data: []byte("7 is paid")})
		time.Sleep(time.Hour)

		stream, err = server.Open(t.Context(), "/", &pushtest.StreamOptions{Cursor: open.ID})
		if err != nil {
			t.Fatal(err)
		}
		stream.Next(t.Context()) // resumed, one stored event
		missed, err := stream.Next(t.Context())
		if err != nil || string(missed.Data) != "7 is paid" {
			t.Errorf("got %q, %v", missed.Data, err)
		}
	})
}

// Many clients on a bad network, and nothing is lost silently.
func ExampleOracle() {
	var t *testing.T
	var broker *push.Broker
	var log eventlog.Log // the broker's

	server := pushtest.NewServer(t, broker)
	oracle := pushtest.NewOracle(log)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, name := range []string{"ann", "bob"} {
		subscriber := oracle.Subscriber(name, "orders")
		go subscriber.Follow(ctx, server.URL+"/?topic=orders", &client.Options{HTTP: server.Client()})
	}
	for range 100 {
		oracle.Publish(t.Context(), broker, push.Event{Topic: "orders", Data: []byte("…")})
		server.Cut()
	}
	if err := oracle.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	oracle.Check().Fail(t)
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/buffkit/buffkit/client"
)

// cutting answers with one event for each request, and ends the stream, as a bad network would. At last it asks to stop.
func cutting(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	switch r.Header.Get("Last-Event-ID") {
	case "":
		io.WriteString(w, "retry: 10\nid: k3.1\nevent: order\ndata: pizza\n\n")
	case "k3.1":
		io.WriteString(w, "event: buffkit.open\ndata: {\"state\":\"resumed\",\"replay\":1}\n\nid: k3.2\nevent: order\ndata: pasta\n\n")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func ExampleEvents() {
	server := httptest.NewServer(http.HandlerFunc(cutting))
	defer server.Close()

	for event, err := range client.Events(context.Background(), server.URL, nil) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %s %s\n", event.ID, event.Name, event.Data)
	}
	// Output:
	// k3.1 order pizza
	// k3.2 order pasta
}

func ExampleOptions() {
	server := httptest.NewServer(http.HandlerFunc(cutting))
	defer server.Close()

	opts := &client.Options{
		Header: http.Header{"Authorization": {"Bearer …"}},
		Cursor: "k3.1", // the ID of the last event that was handled, from a database
		OnOpen: func(o client.Open) { fmt.Println(o.State, o.Replay) },
		OnDisconnect: func(err error, retryIn time.Duration) {
			fmt.Println(err, "- soon again:", retryIn <= client.DefaultMinRetry)
		},
	}
	for event, err := range client.Events(context.Background(), server.URL, opts) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s\n", event.Data)
	}
	// Output:
	// resumed 1
	// pasta
	// client: the server ended the stream - soon again: true
}

func ExampleStatusError() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"code":"forbidden","message":"topic user/42 isn't yours"}`)
	}))
	defer server.Close()

	for _, err := range client.Events(context.Background(), server.URL, nil) {
		var refused *client.StatusError
		if errors.As(err, &refused) {
			fmt.Println(refused.Status, refused.Code)
		}
		fmt.Println(err)
	}
	// Output:
	// 403 forbidden
	// client: the server answered 403 Forbidden, forbidden: topic user/42 isn't yours
}

package push_test

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/sessionstore"
)

// A live page: the whole server. What the page's script does is done here by the Go client.
func Example() {
	broker, err := push.New(push.Public("clock"), nil) // everybody may read the topic clock
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	mux := http.NewServeMux()
	mux.Handle("GET /events", broker)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `<h1>…</h1><script>
new EventSource("/events").onmessage = e => document.querySelector("h1").textContent = e.data
</script>`)
	})
	server := httptest.NewServer(mux) // http.ListenAndServe("localhost:8080", mux)
	defer server.Close()

	opts := &client.Options{OnOpen: func(open client.Open) {
		fmt.Println(open.State)
		broker.Publish(context.Background(), push.Event{Topic: "clock", Data: []byte("12:00:00")})
	}}
	for event, err := range client.Events(context.Background(), server.URL+"/events", opts) {
		fmt.Println(string(event.Data), err)
		break
	}
	// Output:
	// fresh
	// 12:00:00 <nil>
}

func ExampleBroker_Publish() {
	broker, err := push.New(push.Public("orders"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	server := httptest.NewServer(broker)
	defer server.Close()

	start, _ := broker.Cursor(context.Background())
	broker.Publish(context.Background(), push.Event{Topic: "orders", Name: "order", Data: []byte("pizza")})
	broker.PublishAll(context.Background(), // all or none
		push.Event{Topic: "orders", Name: "order", Data: []byte("pasta")},
		push.Event{Topic: "orders", Name: "order", Data: []byte("wine\nand water"), IdempotencyKey: "order/3"},
	)
	_, err = broker.Publish(context.Background(), push.Event{Topic: "~all"})
	fmt.Println(err)

	// A client that was away since then.
	n := 0
	for event := range client.Events(context.Background(), server.URL, &client.Options{Cursor: start.String()}) {
		fmt.Printf("%s: %q\n", event.Name, event.Data)
		if n++; n == 3 {
			break
		}
	}
	// Output:
	// publish event 0: push: bad topic name: "~all": names that start with "~" are reserved; use SendAll, SendUser or SendSession
	// order: "pizza"
	// order: "pasta"
	// order: "wine\nand water"
}

// Several nodes share a log, a session store and keys. Here all are in one process; elsewhere the log and the store are at a server.
func ExampleOptions_sessions() {
	log, sessions := eventlog.NewMemory(nil), sessionstore.NewMemory()
	defer log.Close()
	defer sessions.Close()
	opts := push.Options{
		Log: log, Sessions: sessions,
		Keys: []push.Key{{ID: "2026", Secret: []byte("thirty-two random bytes, or more")}},
	}
	var nodes [2]*push.Broker
	for i := range nodes {
		broker, err := push.New(push.Public("news"), &opts)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer broker.Close()
		nodes[i] = broker
	}
	server := httptest.NewServer(nodes[0])
	defer server.Close()

	onOpen := func(open client.Open) { // the other node reaches it
		nodes[1].SendSession(context.Background(), open.Session, push.Event{Data: []byte("for this session alone")})
	}
	for event := range client.Events(context.Background(), server.URL, &client.Options{OnOpen: onOpen}) {
		fmt.Println(string(event.Data))
		break
	}
	for session, err := range nodes[1].FleetSessions(context.Background()) {
		fmt.Println(len(session.ID), err)
	}
	// Output:
	// for this session alone
	// 22 <nil>
}

// To a person rather than a topic: all pages that user has open get it, and those that are away for a moment when they are back.
func ExampleBroker_SendUser() {
	broker, err := push.New(func(r *http.Request) (push.Grant, error) {
		user, _, ok := r.BasicAuth() // or your session
		if !ok {
			return push.Grant{}, push.ErrUnauthorized
		}
		return push.Grant{User: user}, nil
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	server := httptest.NewServer(broker)
	defer server.Close()

	ada := &http.Request{Header: http.Header{}}
	ada.SetBasicAuth("ada", "secret")
	opts := &client.Options{Header: ada.Header, OnOpen: func(client.Open) {
		broker.SendUser(context.Background(), "bob", push.Event{Data: []byte("for Bob alone")})
		broker.SendUser(context.Background(), "ada", push.Event{Data: []byte("your pizza is on its way")})
	}}
	for event := range client.Events(context.Background(), server.URL, opts) {
		fmt.Println(string(event.Data))
		break
	}
	for _, err := range client.Events(context.Background(), server.URL, nil) {
		fmt.Println(err)
	}
	// Output:
	// your pizza is on its way
	// client: the server answered 401 Unauthorized, unauthorized: sign in to read this
}

// When more was published than the log keeps, the client is told, and gets the state of now instead.
func ExampleSnapshotFunc() {
	log := eventlog.NewMemory(&eventlog.MemoryOptions{Retention: eventlog.Retention{Count: 2}})
	defer log.Close()
	stock := 10
	broker, err := push.New(push.Public("stock"), &push.Options{
		Log: log,
		Snapshot: func(ctx context.Context, lost push.Lost) (events []push.Event, err error) {
			for _, topic := range lost.Topics() {
				events = append(events, push.Event{Name: topic, Data: fmt.Append(nil, stock, " left")})
			}
			return events, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	server := httptest.NewServer(broker)
	defer server.Close()

	start, _ := broker.Cursor(context.Background())
	for range 5 {
		stock--
		broker.Publish(context.Background(), push.Event{Topic: "stock", Name: "stock", Data: fmt.Append(nil, stock, " left")})
	}
	opts := &client.Options{Cursor: start.String(), OnOpen: func(open client.Open) { fmt.Println(open.State, open.Gaps) }}
	for event := range client.Events(context.Background(), server.URL, opts) {
		fmt.Println(event.Name+":", string(event.Data))
		break
	}
	// Output:
	// gap [{stock trimmed}]
	// stock: 5 left
}

// The page prints the cursor from before it read its data, so its stream has every change since.
func ExampleBroker_WithCursor() {
	broker, err := push.New(push.Public("chat"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	page := template.Must(template.New("").Parse(
		`<ul hx-ext="sse" sse-connect="/events?cursor={{.Cursor}}">{{range .Messages}}<li>{{.}}{{end}}</ul>`))
	mux := http.NewServeMux()
	mux.Handle("GET /events", broker)
	mux.Handle("GET /", broker.WithCursor(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		messages := []string{"hello"} // from the database
		broker.Publish(r.Context(), push.Event{Topic: "chat", Data: []byte("while the page was rendered")})
		page.Execute(w, map[string]any{"Cursor": push.CursorFrom(r.Context()), "Messages": messages})
	})))
	server := httptest.NewServer(mux)
	defer server.Close()

	resp, err := http.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	html, _ := io.ReadAll(resp.Body)
	_, connect, _ := strings.Cut(string(html), `sse-connect="`)
	path, _, _ := strings.Cut(connect, `"`)
	for event := range client.Events(context.Background(), server.URL+path, nil) {
		fmt.Println(string(event.Data))
		break
	}
	// Output:
	// while the page was rendered
}

// Shutdown waits for open streams, which end only when they are sent away.
func ExampleBroker_Drain() {
	broker, err := push.New(push.Public("news"), &push.Options{DrainWindow: 20 * time.Millisecond}) // for the example; leave it at its default
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &http.Server{Handler: broker}
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()

	ctx, stop := context.WithCancel(context.Background())
	down := make(chan struct{})
	opts := &client.Options{
		OnOpen: func(client.Open) {
			go func() { // when the process gets a SIGTERM
				defer close(down)
				ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
				defer cancel()
				fmt.Println("drained:", broker.Drain(ctx))
				fmt.Println("shut down:", server.Shutdown(ctx))
				fmt.Println("closed:", broker.Close())
			}()
		},
		OnDisconnect: func(err error, retryIn time.Duration) {
			var bye *client.ByeError
			if errors.As(err, &bye) {
				fmt.Println("told:", bye.Code)
			}
			stop()
		},
	}
	for range client.Events(ctx, "http://"+listener.Addr().String(), opts) {
	}
	<-down
	fmt.Println(<-served)
	// Unordered output:
	// told: draining
	// drained: <nil>
	// shut down: <nil>
	// closed: <nil>
	// http: Server closed
}

func ExampleHooks() {
	done := make(chan struct{})
	broker, err := push.New(push.Public("news"), &push.Options{Hooks: push.Hooks{
		Connected:    func(c push.Connection, o push.Opened) { fmt.Println("connected", c.ID, o.State) },
		Published:    func(topic string, bytes int) { fmt.Println("published", topic, bytes) },
		Delivered:    func(c push.Connection, events, bytes int) { fmt.Println("delivered", events) },
		Disconnected: func(c push.Connection, cause error) { fmt.Println("disconnected", c.ID, cause); close(done) },
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	server := httptest.NewServer(broker)
	defer server.Close()

	start, _ := broker.Cursor(context.Background())
	broker.Publish(context.Background(), push.Event{Topic: "news", Data: []byte("hello")})
	for range client.Events(context.Background(), server.URL, &client.Options{Cursor: start.String()}) {
		break
	}
	<-done
	// Output:
	// published news 5
	// connected 1 resumed
	// delivered 1
	// disconnected 1 <nil>
}

// All sessions, connected or not: an admin page, say.
func ExampleBroker_Sessions() {
	broker, err := push.New(func(r *http.Request) (push.Grant, error) {
		return push.Grant{User: r.URL.Query().Get("user"), Topics: []string{"news"}}, nil // your login
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	server := httptest.NewServer(broker)
	defer server.Close()

	ctx, leave := context.WithCancel(context.Background())
	opts := &client.Options{OnOpen: func(open client.Open) {
		for s := range broker.Sessions() {
			fmt.Println(s.User, s.Connections, s.ID == open.Session)
		}
		leave()
	}}
	for range client.Events(ctx, server.URL+"?user=ada", opts) {
	}
	fmt.Println(broker.Stats().Sessions)
	// Output:
	// ada 1 true
	// 1
}

// Command quickstart is the page of the README: a live clock that survives a cut network.
package main

import (
	"context"
	"net/http"
	"time"

	"github.com/buffkit/buffkit/push"
)

const page = `<h1>…</h1><script>
new EventSource("/events").onmessage = e => document.querySelector("h1").textContent = e.data
</script>`

func main() {
	broker, err := push.New(push.Public("clock"), nil) // everybody may read the topic clock
	if err != nil {
		panic(err)
	}
	http.Handle("GET /events", broker)
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(page)) })
	go func() { panic(http.ListenAndServe("localhost:8080", nil)) }()
	for now := range time.Tick(time.Second) {
		broker.Publish(context.Background(), push.Event{Topic: "clock", Data: []byte(now.Format(time.TimeOnly))})
	}
}

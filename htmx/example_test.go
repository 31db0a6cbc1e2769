package htmx_test

import (
	"context"
	"fmt"
	"html/template"
	"io"
	"net/http/httptest"
	"strings"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/htmx"
)

var page = template.Must(template.New("page").Parse(
	`{{define "row"}}<tr id="order-{{.ID}}"><td>{{.Item}}</td></tr>{{end}}`))

type order struct {
	ID   int
	Item string
}

// A page of htmx 2 says <tbody sse-swap="row" hx-swap="beforeend">.
func Example() {
	row := htmx.Template(page, "row", order{7, "tea & cake"})

	event, err := htmx.V2.Event(context.Background(), "orders", "row", row)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(event.Topic, event.Name)
	fmt.Println(string(event.Data))
	// Output:
	// orders row
	// <tr id="order-7"><td>tea &amp; cake</td></tr>
}

// The same call serves both versions. htmx 4 gets an unnamed event that names its target itself.
func ExampleInto() {
	row := htmx.Template(page, "row", order{7, "tea"})

	for _, dialect := range []htmx.Dialect{htmx.V2, htmx.V4} {
		event, err := dialect.Event(context.Background(), "orders", "row", htmx.Into("#orders", htmx.BeforeEnd, row))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %q\n%s\n", dialect, event.Name, event.Data)
	}
	// Output:
	// htmx2 "row"
	// <tbody hx-swap-oob="beforeend:#orders"><tr id="order-7"><td>tea</td></tr></tbody>
	// htmx4 ""
	// <hx-partial hx-target="#orders" hx-swap="beforeend"><tr id="order-7"><td>tea</td></tr></hx-partial>
}

// badge stands for a component that templ generated: it has just this method.
type badge struct{ count int }

func (b badge) Render(_ context.Context, w io.Writer) error {
	_, err := fmt.Fprintf(w, "<b>%d</b>", b.count)
	return err
}

func ExampleFragment() {
	event, _ := htmx.V4.Event(context.Background(), "inbox", "", htmx.Into("#unread", htmx.InnerHTML, badge{3}))
	fmt.Println(string(event.Data))
	// Output: <hx-partial hx-target="#unread" hx-swap="innerHTML"><b>3</b></hx-partial>
}

// One event can bring several parts of a page up to date.
func ExampleDialect_Event() {
	event, _ := htmx.V4.Event(context.Background(), "orders", "",
		htmx.Into("#order-7", htmx.Delete),
		htmx.Into("#total", htmx.InnerHTML, htmx.HTML("3 orders")))
	fmt.Println(strings.ReplaceAll(string(event.Data), "><", ">\n<"))
	// Output:
	// <hx-partial hx-target="#order-7" hx-swap="delete">
	// </hx-partial>
	// <hx-partial hx-target="#total" hx-swap="innerHTML">3 orders</hx-partial>
}

// An app whose pages use both versions has a topic for each, and grants by what the request for the stream shows.
func ExampleDialectOf() {
	request := httptest.NewRequest("GET", "/events", nil)
	request.Header.Set("Accept", "text/event-stream") // an EventSource
	fmt.Println("orders." + htmx.DialectOf(request).String())

	request.Header.Set("Accept", "text/html, text/event-stream") // htmx 4
	request.Header.Set("HX-Request", "true")
	fmt.Println("orders." + htmx.DialectOf(request).String())
	// Output:
	// orders.htmx2
	// orders.htmx4
}

// To end a stream, or to make the page fetch something, no fragment is needed: only a name, the same in both versions.
func Example_close() {
	done := eventlog.Event{Topic: "import", Name: "done"} // sse-close="done", or hx-sse:close="done"
	fmt.Println(done.Name)
	// Output: done
}

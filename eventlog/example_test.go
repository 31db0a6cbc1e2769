package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

func ExampleNewMemory() {
	events := eventlog.NewMemory(&eventlog.MemoryOptions{
		Retention: eventlog.Retention{Count: 1000, Age: 24 * time.Hour},
		RetentionOf: func(topic string) eventlog.Retention {
			if topic == "prices" {
				return eventlog.Retention{Count: 1} // only the newest matters
			}
			return eventlog.Retention{}
		},
		MaxBytes: 64 << 20,
	})
	defer events.Close()

	ctx := context.Background()
	for _, price := range []string{"10.00", "10.50", "10.25"} {
		if _, err := events.Append(ctx, eventlog.Event{Topic: "prices", Data: []byte(price)}); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(events.Stats().Events, "event is kept")
	// Output: 1 event is kept
}

func ExampleSince() {
	events := eventlog.NewMemory(nil)
	defer events.Close()
	ctx := context.Background()

	began := time.Now()
	if _, err := events.Append(ctx, eventlog.Event{Topic: "news", Data: []byte("it works")}); err != nil {
		log.Fatal(err)
	}
	place, err := eventlog.Since(ctx, events, began)
	if err != nil {
		log.Fatal(err)
	}
	page, err := events.Read(ctx, []string{"news"}, place, 100) // the next page begins at page.Next
	if err != nil {
		log.Fatal(err)
	}
	for _, gap := range page.Gaps {
		fmt.Println("not whole:", gap.Topic, gap.Err)
	}
	for _, entry := range page.Entries {
		fmt.Println(string(entry.Event().Data))
	}
	// Output: it works
}

func ExampleMemory_Append() {
	events := eventlog.NewMemory(nil)
	defer events.Close()
	ctx := context.Background()

	order := eventlog.Event{Topic: "orders", Name: "order-changed", Data: []byte("7 is shipped"), IdempotencyKey: "order-7-shipped"}
	first, err := events.Append(ctx, order)
	if err != nil {
		log.Fatal(err)
	}
	again, err := events.Append(ctx, order) // the publisher didn't hear the answer and tries once more
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the same event:", first[0].String() == again[0].String())

	_, err = events.Append(ctx, eventlog.Event{Topic: "orders", Name: "two\nlines"})
	var refused *eventlog.EventError
	if errors.As(err, &refused) && errors.Is(err, eventlog.ErrInvalid) {
		fmt.Println("refused:", refused.Topic)
	}
	// Output:
	// the same event: true
	// refused: orders
}

// A reader takes note that something came, then reads until there is nothing, then waits for the note. Since the note
// is taken before the read, no event falls between.
func ExampleMemory_Watch() {
	events := eventlog.NewMemory(nil)
	defer events.Close()
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	at, err := events.Head(ctx)
	if err != nil {
		log.Fatal(err)
	}

	news := make(chan struct{}, 1) // one note is enough, however many events came
	go events.Watch(ctx, func(topic string) {
		if topic == "orders" || topic == "" {
			select {
			case news <- struct{}{}:
			default:
			}
		}
	})
	go func() {
		for i := range 3 {
			events.Append(ctx, eventlog.Event{Topic: "orders", Data: fmt.Appendf(nil, "order %d", i)})
		}
	}()

	for seen := 0; seen < 3; {
		batch, err := events.Read(ctx, []string{"orders"}, at, 100)
		if err != nil {
			log.Fatal(err)
		}
		for _, entry := range batch.Entries {
			fmt.Printf("%s\n", entry.Event().Data) // a server writes entry.Frame as it is
			seen++
		}
		at = batch.Next
		if len(batch.Entries) == 0 {
			select {
			case <-news:
			case <-ctx.Done():
				log.Fatal(ctx.Err())
			}
		}
	}
	// Output:
	// order 0
	// order 1
	// order 2
}

// A reader that was away for too long is told so for each topic that isn't whole, and gets the others.
func ExampleMemory_Read_gap() {
	events := eventlog.NewMemory(&eventlog.MemoryOptions{Retention: eventlog.Retention{Count: 2}})
	defer events.Close()
	ctx := context.Background()
	at, err := events.Head(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for i := range 5 {
		events.Append(ctx, eventlog.Event{Topic: "busy", Data: fmt.Appendf(nil, "%d", i)})
	}
	events.Append(ctx, eventlog.Event{Topic: "quiet", Data: []byte("still here")})

	batch, err := events.Read(ctx, []string{"busy", "quiet"}, at, 100)
	if err != nil {
		log.Fatal(err)
	}
	for _, gap := range batch.Gaps {
		if errors.Is(gap.Err, eventlog.ErrTrimmed) {
			fmt.Println("render", gap.Topic, "anew: events of it are gone")
		}
	}
	for _, entry := range batch.Entries {
		fmt.Printf("%s: %s\n", entry.Topic, entry.Event().Data)
	}
	at = batch.Next // behind the gap: from here on nothing is missing

	events.Append(ctx, eventlog.Event{Topic: "busy", Data: []byte("5")})
	if batch, err = events.Read(ctx, []string{"busy", "quiet"}, at, 100); err != nil {
		log.Fatal(err)
	}
	fmt.Println("then", len(batch.Entries), "more,", len(batch.Gaps), "gaps")
	// Output:
	// render busy anew: events of it are gone
	// quiet: still here
	// then 1 more, 0 gaps
}

func ExampleParseCursor() {
	// What a browser sends as Last-Event-ID is anything at all.
	for _, text := range []string{"k3j9x2ab.dh2k3j4l5m", "", "'; drop table"} {
		cursor, err := eventlog.ParseCursor(text)
		switch {
		case errors.Is(err, eventlog.ErrBadCursor):
			fmt.Println("not a cursor: tell a gap")
		case cursor.IsZero():
			fmt.Println("no cursor: begin now, at the log's Head")
		default:
			fmt.Println("resume after", cursor)
		}
	}
	// Output:
	// resume after k3j9x2ab.dh2k3j4l5m
	// no cursor: begin now, at the log's Head
	// not a cursor: tell a gap
}

package sse_test

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/buffkit/buffkit/sse"
)

func ExampleAppendEvent() {
	frame, err := sse.AppendEvent(nil, sse.Event{ID: "k3.7", Name: "order-changed", Data: []byte("first line\nsecond line")})
	if err != nil {
		fmt.Println(err)
		return
	}
	os.Stdout.Write(frame)
	// Output:
	// id: k3.7
	// event: order-changed
	// data: first line
	// data: second line
}

// A log encodes the body of an event once, and puts the id before it when it knows the event's place.
func ExampleAppendBody() {
	body, _ := sse.AppendBody(nil, "order-changed", []byte("7"))
	frame, _ := sse.AppendID(nil, "k3.7")
	frame = append(frame, body...)
	os.Stdout.Write(frame)
	// Output:
	// id: k3.7
	// event: order-changed
	// data: 7
}

func ExampleAppendEvent_invalid() {
	_, err := sse.AppendEvent(nil, sse.Event{Name: "order\nid: 99"})
	fmt.Println(err)
	// Output: sse: invalid event: event name has a LF at byte 5: put text of several lines into the data
}

func ExampleAppendRetry() {
	fmt.Print(string(sse.AppendRetry(nil, 2*time.Second)))
	// Output: retry: 2000
}

func ExampleScan() {
	stream := strings.NewReader("id: 1\nevent: greeting\ndata: hello\ndata: world\n\nid: 2\n\n")
	opts := &sse.ScanOptions{OnID: func(id string) { fmt.Println("resume from", id) }}
	for e, err := range sse.Scan(stream, opts) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %q\n", e.Name, e.Data)
	}
	// Output:
	// resume from 1
	// greeting "hello\nworld"
	// resume from 2
}

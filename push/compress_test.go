package push_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/sse"
)

func TestCompressionIsNegotiated(t *testing.T) {
	tests := []struct {
		name             string
		on               bool
		accept, encoding string
		vary             string
	}{
		{"off", false, "gzip", "", ""},
		{"on", true, "gzip, deflate, br, zstd", "gzip", "Accept-Encoding"},
		{"on for who can't", true, "br", "", "Accept-Encoding"},
		{"on for who says nothing", true, "", "", "Accept-Encoding"},
		{"on for who refuses", true, "gzip;q=0", "", "Accept-Encoding"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t, push.Public("a"), push.Options{Compress: test.on})
			client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
			resp := get(t, client, server(t, b, false, nil).URL, "Accept-Encoding", test.accept)
			if got := resp.Header.Get("Content-Encoding"); got != test.encoding {
				t.Errorf("encoding %q", got)
			}
			if got := resp.Header.Get("Vary"); got != test.vary {
				t.Errorf("Vary %q", got)
			}
		})
	}
}

// What others encode isn't encoded twice, nor sent around them.
func TestCompressionLeavesAloneWhatOthersEncode(t *testing.T) {
	t.Parallel()
	b := newBroker(t, push.Public("a"), push.Options{Compress: true})
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "rot13")
		b.ServeHTTP(w, r)
	})
	resp := get(t, http.DefaultClient, server(t, outer, false, nil).URL)
	first := make([]byte, len(": ok\n"))
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != ": ok\n" || b.Stats().Parked > 0 {
		t.Errorf("%q, %v, %d parked", first, err, b.Stats().Parked)
	}
}

// Streams that are in step share blocks which rely on what came before. Whatever befalls one of them, every client reads its own text, whole and in order,
// and what was sent to one stands in no block of another.
func TestEveryCompressedStreamReadsItsOwnText(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		if !compresses(t) {
			t.Skip("it is about compression")
		}
		const streams, rounds = 20, 300
		rng := rand.New(rand.NewPCG(1, 2))
		b := newBroker(t, asUser, push.Options{Heartbeat: time.Minute, WriteTimeout: time.Hour})
		all := make([]*stream, 0, streams)
		want := make([][]string, streams)
		shared, next := 0, 0
		for range rounds {
			if len(all) < streams && rng.IntN(5) == 0 { // they come one after the other
				all = append(all, connect(t, b, "/", "User", fmt.Sprint("user", len(all))))
			}
			if len(all) == 0 {
				continue
			}
			who := rng.IntN(len(all))
			switch rng.IntN(10) {
			case 0:
				secret := fmt.Sprintf("for %d alone: %d", who, next)
				if _, err := b.SendUser(t.Context(), fmt.Sprint("user", who), push.Event{Data: []byte(secret)}); err != nil {
					t.Fatal(err)
				}
				want[who] = append(want[who], secret)
			case 1:
				if parks(t) { // else each waiting write looks for room every millisecond of the hours to come
					all[who].w.stall()
				}
			case 2:
				all[who].w.resume()
			case 3:
				pass(time.Duration(rng.IntN(90)) * time.Second)
			default:
				text := fmt.Sprintf(`<tr id="row-%d"><td class="name">Customer %d</td><td class="price">%d.00 EUR</td></tr>`, next, next*7, next%9)
				publish(t, b, "a:"+text)
				for i := range all {
					want[i] = append(want[i], text)
				}
				shared += len(text)
			}
			next++
		}
		for _, s := range all {
			s.w.resume()
		}
		pass(time.Second)
		sent := 0
		for i, s := range all {
			var got []string
			for _, f := range s.frames() {
				if f.name == "" && f.data != "" {
					got = append(got, f.data)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want[i]) {
				t.Errorf("stream %d of %d: %d events, want %d", i, len(all), len(got), len(want[i]))
			}
			sent += len(s.w.buf)
		}
		t.Logf("%d streams, %d bytes of shared text, %d bytes on the wire a stream", len(all), shared, sent/len(all))
	})
}

// The clients that people have read a compressed stream event by event, over a real connection.
func TestGoClientsReadCompressedStreamsEventByEvent(t *testing.T) {
	t.Parallel()
	for _, parking := range []push.Parking{push.ParkAuto, push.ParkNever} {
		t.Run(fmt.Sprint(parking), func(t *testing.T) {
			t.Parallel()
			b := newBroker(t, push.Public("a"), push.Options{Compress: true, Parking: parking})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			client := &http.Client{Transport: &http.Transport{}} // asks for gzip, and decodes it, by itself
			resp := get(t, client, server(t, b, false, nil).URL)
			if !resp.Uncompressed {
				t.Fatal("it came without compression")
			}
			next := 0
			for e, err := range sse.Scan(bufio.NewReader(resp.Body), nil) {
				if err != nil || ctx.Err() != nil {
					t.Fatal(err, ctx.Err())
				}
				if e.Name == "" {
					if !strings.HasPrefix(string(e.Data), fmt.Sprint(next, " ")) {
						t.Fatalf("event %d: %q", next, e.Data)
					}
					if next++; next == 50 {
						return
					}
				}
				publish(t, b, fmt.Sprintf("a:%d %s", next, strings.Repeat("<p>text</p>", 50))) // only now
			}
		})
	}
}

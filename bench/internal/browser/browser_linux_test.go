package browser_test

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/buffkit/buffkit/bench/internal/browser"
)

// A browser takes a second or two to start.
func TestRead(t *testing.T) {
	t.Parallel()
	switch {
	case testing.Short():
		t.Skip("starts a browser")
	case !browser.There():
		t.Skip("there is no Chromium") // "bench run" leaves the column out
	}
	publish := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Content-Encoding", "gzip")
		rc := http.NewResponseController(w)
		rc.Flush()
		z := gzip.NewWriter(w)
		select {
		case <-publish:
		case <-r.Context().Done():
			return
		}
		for range 3 {
			io.WriteString(z, "data: <article >a</article>\n\n")
			z.Flush()
			rc.Flush()
		}
		<-r.Context().Done()
	}))
	defer server.Close()
	got, err := browser.Read(t.Context(), server.URL, "/events?topic=t0", 3, func(context.Context) error {
		close(publish)
		return nil
	})
	if err != nil || got != 3 {
		t.Errorf("it got %d, %v", got, err)
	}
}

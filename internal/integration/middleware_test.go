package integration

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	gingzip "github.com/gin-contrib/gzip"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	echo4 "github.com/labstack/echo/v4"
	echo4middleware "github.com/labstack/echo/v4/middleware"
	"github.com/labstack/echo/v5"
	echomiddleware "github.com/labstack/echo/v5/middleware"

	"github.com/buffkit/buffkit/push"
)

// frameworks are stacks that people really have around a handler, each with everything on that wraps a ResponseWriter.
var frameworks = []struct {
	name   string
	wrap   func(*push.Broker) http.Handler
	packed bool   // the stream is compressed
	warned string // the wrapper that the broker complains of: streams work, but the server's WriteTimeout would end them
}{
	{"net/http with CrossOriginProtection", func(b *push.Broker) http.Handler {
		return http.NewCrossOriginProtection().Handler(b)
	}, false, ""},
	{"chi", func(b *push.Broker) http.Handler {
		r := chi.NewRouter()
		r.Use(chimiddleware.RequestLogger(&chimiddleware.DefaultLogFormatter{Logger: slog.NewLogLogger(slog.DiscardHandler, 0)}),
			chimiddleware.Recoverer, chimiddleware.Compress(5, "text/event-stream"))
		r.Handle("/events", b)
		return r
	}, true, ""},
	{"gin", func(b *push.Broker) http.Handler {
		g := gin.New()
		g.Use(gin.LoggerWithWriter(io.Discard), gin.RecoveryWithWriter(io.Discard))
		g.GET("/events", gin.WrapH(b))
		return g
	}, false, ""},
	{"gin with gzip", func(b *push.Broker) http.Handler {
		g := gin.New()
		g.Use(gin.LoggerWithWriter(io.Discard), gin.RecoveryWithWriter(io.Discard), gingzip.Gzip(gingzip.DefaultCompression))
		g.GET("/events", gin.WrapH(b))
		return g
	}, true, "*gzip.gzipWriter"},
	{"echo 4", func(b *push.Broker) http.Handler {
		e := echo4.New()
		logger := echo4middleware.RequestLoggerConfig{LogStatus: true, LogValuesFunc: func(echo4.Context, echo4middleware.RequestLoggerValues) error { return nil }}
		e.Use(echo4middleware.RequestLoggerWithConfig(logger), echo4middleware.Recover(), echo4middleware.Gzip())
		e.GET("/events", echo4.WrapHandler(b))
		return e
	}, true, ""},
	{"echo 5", func(b *push.Broker) http.Handler {
		e := echo.New()
		e.Logger = slog.New(slog.DiscardHandler)
		e.Use(echomiddleware.RequestLogger(), echomiddleware.Recover(), echomiddleware.Gzip())
		e.GET("/events", echo.WrapHandler(b))
		return e
	}, true, ""},
}

func TestInsideOfFrameworksEventsArriveAtOnce(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	t.Parallel()
	for i := range 2 * len(frameworks) {
		tt, parking, path := frameworks[i/2], push.ParkNever, "on a goroutine"
		if i%2 == 1 {
			parking, path = push.ParkAuto, "parked"
			tt.packed = tt.packed && tt.warned != "" // whose connection is taken over goes around what compresses
		}
		t.Run(tt.name+" "+path, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.Wrap = tt.wrap
			s.Options.Parking = parking
			if tt.warned == "" {
				s.Timeout = time.Second // lifted only if the broker reaches the connection through all wrappers
			}
			s.Options.Heartbeat = 1500 * time.Millisecond
			var log logbook
			s.Options.Logger = slog.New(slog.NewTextHandler(&log, nil))
			s.start(nil)
			c := startCurl(t, "--compressed", "-H", "Accept: text/event-stream", s.url("/events"))
			first := c.awaitFrames(t, 3)
			if packed := strings.Contains(first[0], "Content-Encoding: gzip"); packed != tt.packed {
				t.Errorf("compressed: %v, want %v:\n%s", packed, tt.packed, first[0])
			}
			if first[1] != ": ok" || field(first[2], "event") != "buffkit.open" {
				t.Fatalf("the stream begins with %q", first[1:])
			}
			for i := range 3 { // each arrives before the next is published
				s.publish(1)
				if frame := c.awaitFrames(t, 4+i)[3+i]; field(frame, "data") != fmt.Sprint(i+1) {
					t.Errorf("got %q, want event %d", frame, i+1)
				}
			}
			c.await(t, "a heartbeat after the server's timeouts", func(frames []string) bool {
				return field(frames[len(frames)-1], "event") == "buffkit.ping"
			})
			s.publish(1)
			c.await(t, "an event after the server's timeouts", func(frames []string) bool {
				return field(frames[len(frames)-1], "data") == "4"
			})
			if got := log.String(); !strings.Contains(got, tt.warned) || tt.warned == "" && got != "" {
				t.Errorf("the log, which should say %q, says %q", tt.warned, got)
			}
		})
	}
}

// logbook is a place to log to.
type logbook struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// opaque is the wrapper that many a tutorial shows: it counts bytes, and hides everything else.
type opaque struct {
	http.ResponseWriter
	status int
}

func (w *opaque) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// flushing is one that lets Flush through, but not the deadlines.
type flushing struct{ opaque }

func (w *flushing) Flush() { w.ResponseWriter.(http.Flusher).Flush() }

func TestAWrapperThatHidesTheConnectionIsNamed(t *testing.T) {
	t.Parallel()
	around := func(wrapper func(http.ResponseWriter) http.ResponseWriter) func(*push.Broker) http.Handler {
		return func(b *push.Broker) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.ServeHTTP(wrapper(w), r) })
		}
	}
	tests := []struct {
		name  string
		wrap  func(*push.Broker) http.Handler
		named string
		works bool
	}{
		{"without Flush", around(func(w http.ResponseWriter) http.ResponseWriter { return &opaque{ResponseWriter: w} }), "*integration.opaque", false},
		{"without deadlines", around(func(w http.ResponseWriter) http.ResponseWriter { return &flushing{opaque{ResponseWriter: w}} }), "*integration.flushing", true},
		{"http.TimeoutHandler", func(b *push.Broker) http.Handler { return http.TimeoutHandler(b, time.Minute, "") }, "*http.timeoutWriter", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.Wrap = tt.wrap
			var log logbook
			s.Options.Logger = slog.New(slog.NewTextHandler(&log, nil))
			s.start(nil)
			c := startCurl(t, s.url("/events"))
			frames := c.awaitFrames(t, 2)
			if got := strings.HasPrefix(frames[0], "HTTP/1.1 200 "); got != tt.works {
				t.Errorf("got %q", frames)
			}
			if !strings.Contains(log.String(), tt.named) || strings.Contains(frames[1], tt.named) {
				t.Errorf("want %s named in the log, and only there. The log: %s. The answer: %q", tt.named, &log, frames)
			}
			if tt.works {
				s.publish(1)
				c.awaitFrames(t, 4)
			}
		})
	}
}

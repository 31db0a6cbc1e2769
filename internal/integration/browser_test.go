package integration

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is the one browser of all tests, started by the first that needs it.
var chromium browser

type browser struct {
	once sync.Once
	ctx  context.Context
	err  error
	stop context.CancelFunc
}

func (b *browser) start() error {
	b.once.Do(func() {
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath("chromium"), // not whatever else a machine has
			chromedp.IgnoreCertErrors,
			chromedp.DisableGPU,
			// Without these it looks for its maker's hosts at every start.
			chromedp.Flag("disable-component-update", true),
			chromedp.Flag("disable-quic", true),
		)
		if os.Geteuid() == 0 {
			options = append(options, chromedp.NoSandbox) // its sandbox refuses to run as root
		}
		allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
		b.ctx, _ = chromedp.NewContext(allocator)
		b.stop = stop
		b.err = chromedp.Do(b.ctx)
	})
	return b.err
}

func (b *browser) close() {
	if b.ctx == nil {
		return
	}
	chromedp.Cancel(b.ctx)
	b.stop()
}

// page is a tab. Its cookies are its own, unless it was opened from another.
type page struct {
	events
	ctx   context.Context
	close context.CancelFunc
}

// openPage opens a tab and loads a URL.
func openPage(t *testing.T, url string) *page {
	t.Helper()
	if err := chromium.start(); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return newPage(t, url, chromium.ctx, chromedp.WithNewBrowserContext())
}

// another opens a second tab of the same person.
func (p *page) another(t *testing.T, url string) *page {
	t.Helper()
	return newPage(t, url, p.ctx)
}

func newPage(t *testing.T, url string, parent context.Context, options ...chromedp.ContextOption) *page {
	t.Helper()
	p := &page{}
	p.ctx, p.close = chromedp.NewContext(parent, append(options, chromedp.WithListener(p.hear))...)
	t.Cleanup(p.close)
	if err := chromedp.Do(p.ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	if _, err := chromedp.Call(p.ctx, runtime.AddBinding, runtime.AddBindingParams{Name: "report"}); err != nil {
		t.Fatal(err)
	}
	p.load(t, url)
	return p
}

// hear notes what the page reports. Scripts that fail are reported too: no test waits for that, so it shows in its tape.
func (p *page) hear(event any) {
	switch e := event.(type) {
	case *runtime.EventBindingCalled:
		var n note
		if err := json.Unmarshal([]byte(e.Payload), &n); err != nil {
			n = note{Type: "not JSON", Data: e.Payload}
		}
		p.add(n)
	case *runtime.EventExceptionThrown:
		p.add(note{Type: "exception", Data: e.ExceptionDetails.Text})
	}
}

func (p *page) load(t *testing.T, url string) {
	t.Helper()
	p.do(t, "load "+url, chromedp.Navigate(url))
}

func (p *page) reload(t *testing.T) {
	t.Helper()
	p.do(t, "reload", chromedp.Reload())
}

// run runs a script in the page.
func (p *page) run(t *testing.T, script string) {
	t.Helper()
	p.do(t, script, chromedp.Evaluate[chromedp.Void](script))
}

func (p *page) do(t *testing.T, what string, action chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, action); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// until waits until an expression of JavaScript is true in the page.
func (p *page) until(t *testing.T, condition string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](condition)); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
			t.Fatalf("never true: %s. The page shows:\n%s", condition, text)
		}
		t.Fatalf("%s: %v", condition, err)
	}
}

// following is the address of the test page that follows the paths.
func following(s *site, addr string, paths ...string) string {
	return s.urlAt(addr, "/?"+url.Values{"follow": paths}.Encode())
}

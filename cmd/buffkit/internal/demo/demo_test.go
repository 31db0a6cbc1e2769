package demo_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/demo"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
)

func TestPageGoesOnFromWhereItWasRendered(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.waitForPulse(5)
	status, header, page := s.get("/")
	if status != http.StatusOK || header.Get("Cache-Control") != "no-store" {
		t.Fatalf("status %d, %v", status, header)
	}
	rendered := map[string]uint64{"pulse": number(t, page, `data-pulse="(\d+)"`)}
	for _, match := range numberOf.FindAllStringSubmatch(page, -1) {
		rendered[match[1]] = number(t, match[0], `data-n="(\d+)"`)
	}
	connect := regexp.MustCompile(`hx-sse:connect="([^"]+)"`).FindStringSubmatch(page)
	if connect == nil || len(rendered) != 3 {
		t.Fatalf("no stream, or not three numbers, in\n%s", page)
	}
	target, err := url.Parse(strings.ReplaceAll(connect[1], "&amp;", "&"))
	if err != nil {
		t.Fatal(err)
	}
	cursor, tab := target.Query().Get("cursor"), target.Query().Get("tab")
	if !strings.Contains(page, `data-tab="`+tab+`"`) {
		t.Errorf("the page isn't tab %q", tab)
	}

	s.post("/list", url.Values{"text": {"milk"}}) // so that the list too has an event after the page
	st := s.mustOpen(tab, cursor)
	if o := st.mustOpened(); o.State != "resumed" {
		t.Errorf("open says %+v", o)
	}
	seen := map[string]bool{}
	for len(seen) < 3 {
		e := st.mustRead()
		if !seen[e.topic] && (e.n > rendered[e.topic]+1 || e.n == 0) {
			t.Errorf("%s: the page shows %d, the first event is %d", e.topic, rendered[e.topic], e.n)
		}
		seen[e.topic] = true
	}
}

func number(t *testing.T, text, pattern string) (n uint64) {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("no %s in\n%s", pattern, text)
	}
	for _, digit := range match[1] {
		n = n*10 + uint64(digit-'0')
	}
	return n
}

// The policy forbids scripts, styles and handlers in the page, so that none must be there, nor in what is swapped into it.
func TestPageObeysItsContentPolicy(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.waitForPulse(10) // a sample too
	_, header, page := s.get("/")
	policy := header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %s: %s", want, policy)
		}
	}
	for _, bad := range []string{`<script>`, `<style`, `\sstyle=`, `\son[a-z]+=`, `hx-on`, `javascript:`, `(src|href)="(https?:)?//`} {
		if found := regexp.MustCompile(bad).FindString(page); found != "" {
			t.Errorf("the page has %q", found)
		}
	}
	files := regexp.MustCompile(`(?:src|href)="(/[^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(files) < 5 {
		t.Fatalf("the page names %d files", len(files))
	}
	types := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
	for _, file := range files {
		status, header, body := s.get(file[1])
		want := types[file[1][strings.LastIndex(file[1], "."):]]
		if status != http.StatusOK || header.Get("Content-Type") != want || body == "" {
			t.Errorf("%s: status %d, %q, %d bytes", file[1], status, header.Get("Content-Type"), len(body))
		}
	}
}

// A page whose own name was made to lead here is the same origin to a browser.
func TestForeignNamesAreMisdirected(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for host, want := range map[string]int{
		"localhost": 200, s.addr: 200, "evil.example": 421, "evil.example:8080": 421, "127.0.0.1.evil.example": 421,
	} {
		for method, path := range map[string]string{"GET": "/", "POST": "/list"} {
			r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.addr+path, strings.NewReader("text=x"))
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("HX-Request", "true")
			answer, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != want {
				t.Errorf("%s %s at %s: %s, want %d", method, path, host, answer.Status, want)
			}
		}
	}
}

// Whoever begins a body and never ends it is answered and cut, also where the request is refused unread.
func TestABodyThatStallsIsCut(t *testing.T) {
	t.Parallel()
	d, err := start()
	if err != nil {
		t.Fatal(err)
	}
	d.SetBodyTimeout(50 * time.Millisecond)
	s := serveDemo(t, d)
	for name, head := range map[string]string{
		"a form":      "POST /list HTTP/1.1\r\nHost: localhost\r\nHX-Request: true\r\n",
		"a switch":    "POST /network HTTP/1.1\r\nHost: localhost\r\n",
		"misdirected": "POST /list HTTP/1.1\r\nHost: evil.example\r\n",
		"not found":   "POST /nowhere HTTP/1.1\r\nHost: localhost\r\n",
	} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil { // how long the test waits; nothing is judged by it
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, head+"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ntext=half"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn) // until the server hangs up
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 4") {
			t.Errorf("%s: %.60q, %v", name, answer, err)
		}
	}
	if _, _, page := s.get("/"); strings.Contains(page, "half") {
		t.Error("half a form was taken")
	}
}

// A cut is a reset on the wire, for the open stream and for each attempt, until the switch is turned back; then everything comes
// that was missed, once and in order.
func TestCutStreamIsResetAndResumesWithAnExactReplay(t *testing.T) {
	t.Parallel()
	s := serve(t)
	tab, other := "TAB", "OTHER"
	st, bystander := s.mustOpen(tab, ""), s.mustOpen(other, "")
	if o := st.mustOpened(); o.State != "fresh" {
		t.Fatalf("open says %+v", o)
	}
	bystander.mustOpened()
	got, theirs := newBook(t), newBook(t)
	for range 20 {
		got.enter(st.mustRead())
	}

	s.network(tab, "cut")
	for { // what was on its way
		e, err := st.read()
		if err == nil {
			got.enter(e)
			continue
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("the stream ended with %v, want a reset", err)
		}
		break
	}
	for range 3 {
		if _, err := s.open(tab, got.lastID); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("an attempt during the cut: %v, want a reset", err)
		}
	}
	s.post("/list", url.Values{"text": {"bread"}})
	s.waitForPulse(got.last["pulse"] + 50) // the server goes on, and can be asked how far it is
	if h := s.head(tab); !h.Cut || h.Refused != 3 {
		t.Errorf("during the cut, head is %+v", h)
	}

	s.network(tab, "restored")
	before := s.head(tab)
	st = s.mustOpen(tab, got.lastID)
	o := st.mustOpened()
	if want := before.Pulse - got.last["pulse"]; o.State != "resumed" || uint64(o.Replay) < want || before.Cut {
		t.Errorf("open says %+v, want at least %d replayed", o, want)
	}
	got.last["list"] = 0 // the one edit is the first
	for range o.Replay + 20 {
		got.enter(st.mustRead())
	}
	if got.last["list"] != 1 || got.last["pulse"] < before.Pulse || got.last["machine"] < before.Machine {
		t.Errorf("the replay led to %v, the server was at %+v", got.last, before)
	}
	for theirs.last["pulse"] < before.Pulse { // the cut was not theirs
		theirs.enter(bystander.mustRead())
	}
}

func TestOverflowIsToldAsAGapAndHealed(t *testing.T) {
	t.Parallel()
	for name, folder := range map[string]string{"in memory": "", "in a file": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := demo.StartFast(demo.Options{Logger: quiet, Folder: folder}, testPulse, testSample, testDrain, testRetention)
			if err != nil {
				t.Fatal(err)
			}
			overflow(t, serveDemo(t, d))
		})
	}
}

func overflow(t *testing.T, s *server) {
	t.Helper()
	tab := "TAB"
	if answer := s.post("/overflow", url.Values{"tab": {tab}}); answer.StatusCode != http.StatusConflict {
		t.Errorf("overflow without a cut: %s", answer.Status)
	}
	st := s.mustOpen(tab, "")
	st.mustOpened()
	got := newBook(t)
	for len(got.last) < 2 {
		got.enter(st.mustRead())
	}

	s.network(tab, "cut")
	if answer := s.post("/overflow", url.Values{"tab": {tab}}); answer.StatusCode != http.StatusOK {
		t.Fatalf("overflow: %s", answer.Status)
	}
	s.network(tab, "restored")
	before := s.head(tab)
	st = s.mustOpen(tab, got.lastID)
	o := st.mustOpened()
	if o.State != "gap" || len(o.Gaps) != 1 || o.Gaps[0].Topic != "pulse" || o.Gaps[0].Reason != "trimmed" {
		t.Fatalf("open says %+v", o)
	}
	snapshot := st.mustRead()
	if !snapshot.snapshot || snapshot.topic != "pulse" || snapshot.id != "" || snapshot.n < before.Pulse {
		t.Fatalf("after the gap came %+v, the server was at %+v", snapshot, before)
	}
	// The pulses begin anew, with none between the snapshot and the first of them; the machine's events go on, none missing.
	delete(got.last, "pulse")
	for got.last["pulse"] == 0 || got.last["machine"] < before.Machine {
		e := st.mustRead()
		if e.topic == "pulse" && got.last["pulse"] == 0 && e.n > snapshot.n+1 {
			t.Errorf("the snapshot stands at %d, the first pulse after it is %d", snapshot.n, e.n)
		}
		got.enter(e)
	}
}

// A demo with a folder that is started again has the same list and the next numbers, and a tab that comes back gets what it missed.
func TestADemoThatIsStartedAgainGoesOn(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	start := func() *demo.Demo {
		d, err := demo.StartFast(demo.Options{Logger: quiet, Folder: folder}, testPulse, testSample, testDrain, testRetention)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	d := start()
	go func() { done <- d.Serve(ctx, ln) }()
	old := &server{t, ln.Addr().String(), stop, done}
	st := old.mustOpen("TAB", "")
	st.mustOpened()
	old.post("/list", url.Values{"text": {"milk"}})
	got, run := newBook(t), old.head("").Run
	for got.last["list"] == 0 || got.last["machine"] == 0 || got.last["pulse"] < 20 {
		got.enter(st.mustRead())
	}
	stop()
	if err := errors.Join(<-done, d.Close()); err != nil {
		t.Fatal(err)
	}

	s := serveDemo(t, start())
	st = s.mustOpen("TAB", got.lastID)
	if o := st.mustOpened(); o.State != "resumed" {
		t.Errorf("open says %+v", o)
	}
	s.post("/list", url.Values{"text": {"bread"}})
	before := maps.Clone(got.last)
	for got.last["list"] == before["list"] || got.last["machine"] < before["machine"]+2 || got.last["pulse"] < before["pulse"]+50 {
		got.enter(st.mustRead())
	}
	if _, _, page := s.get("/"); !strings.Contains(page, "milk") || !strings.Contains(page, "bread") || s.head("").Run != run {
		t.Errorf("run %s after %s, with the page\n%s", s.head("").Run, run, page)
	}
}

func TestAFolderOfSomethingElseIsRefused(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	log, err := sqlitelog.Open(t.Context(), filepath.Join(folder, "log.db"), nil)
	if err == nil {
		_, err = log.Append(t.Context(), eventlog.Event{Topic: "pulse", Data: []byte("of a heart")})
	}
	if err == nil {
		err = log.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // it lets go of the folder
		if _, err := demo.New(demo.Options{Logger: quiet, Folder: folder}); err == nil || !strings.Contains(err.Error(), "name another folder") {
			t.Errorf("%v", err)
		}
	}
}

// Without a folder a restart forgets the log. A tab that comes back is told so for every topic, and gets the state of each.
func TestTabOfAnotherRunIsTold(t *testing.T) {
	t.Parallel()
	old := serve(t)
	st := old.mustOpen("TAB", "")
	st.mustOpened()
	got := newBook(t)
	got.enter(st.mustRead())

	s := serve(t)
	if old.head("").Run == s.head("").Run {
		t.Error("two runs have one name")
	}
	st = s.mustOpen("TAB", got.lastID)
	o := st.mustOpened()
	told := map[string]bool{}
	for _, gap := range o.Gaps {
		if gap.Reason != "other_log" {
			t.Errorf("gap %+v", gap)
		}
		told[gap.Topic] = true
	}
	if o.State != "gap" || !told["pulse"] || !told["machine"] || !told["list"] {
		t.Fatalf("open says %+v", o)
	}
	healed := map[string]bool{}
	for range 3 {
		e := st.mustRead()
		if !e.snapshot || e.id != "" {
			t.Errorf("want a snapshot, got %+v", e)
		}
		healed[e.topic] = true
	}
	if len(healed) != 3 {
		t.Errorf("healed %v", healed)
	}
	newBook(t).enter(st.mustRead())
}

func TestSwitchRefusesNonsense(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, form := range []url.Values{
		{"tab": {"TAB"}},
		{"tab": {"TAB"}, "state": {"frayed"}},
		{"state": {"cut"}},
		{"tab": {strings.Repeat("x", 65)}, "state": {"cut"}},
	} {
		if answer := s.post("/network", form); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%v: %s", form, answer.Status)
		}
	}
	s.network("NOBODY", "restored")
	if h := s.head("NOBODY"); h.Cut {
		t.Error("a tab nobody cut is cut")
	}
	if _, err := s.open(strings.Repeat("x", 65), ""); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a stream of no tab: %v", err)
	}
	s.mustOpen("", "").mustOpened() // curl has none
}

// Each tab is cut by its own switch only, and whatever the moment, it goes on where it was.
func TestManyTabsCutAndRestoredAtOnce(t *testing.T) {
	t.Parallel()
	s := serve(t)
	var wait sync.WaitGroup
	for i := range 20 {
		tab := "TAB" + string(rune('A'+i))
		wait.Go(func() {
			got := newBook(t)
			for range 3 {
				st, err := s.open(tab, got.lastID)
				if err != nil {
					t.Errorf("%s: %v", tab, err)
					return
				}
				for {
					e, err := st.read()
					if err != nil {
						t.Errorf("%s: %v", tab, err)
						return
					}
					if e.topic == "" {
						continue
					}
					if last, ok := got.last[e.topic]; ok && e.n != last+1 {
						t.Errorf("%s: %s %d came after %d", tab, e.topic, e.n, last)
						return
					}
					got.last[e.topic], got.lastID = e.n, e.id
					if e.topic == "pulse" && e.n%10 == 0 {
						break
					}
				}
				for _, state := range []string{"cut", "restored"} {
					s.post("/network", url.Values{"tab": {tab}, "state": {state}})
				}
			}
		})
	}
	wait.Wait()
}

func TestListRefusesWhatAnotherSitePosts(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, path := range []string{"/list", "/list/1/toggle", "/list/1/remove", "/network", "/overflow"} {
		answer := s.post(path, url.Values{"text": {"spam"}, "tab": {"TAB"}, "state": {"cut"}}, "Sec-Fetch-Site", "cross-site")
		if answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
	if h := s.head("TAB"); h.Cut || h.List != 0 {
		t.Errorf("it had an effect: %+v", h)
	}
}

func TestRunTakesAFreePortAndSaysGoodbye(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := make(lineWriter, 1)
	ended := make(chan error, 1)
	go func() { ended <- demo.Run(ctx, demo.Options{Addr: taken.Addr().String(), Out: out, Logger: quiet}) }()
	var line string
	select {
	case line = <-out:
	case err := <-ended:
		t.Fatalf("Run: %v", err)
	}
	match := regexp.MustCompile(`^buffkit demo: http://(127\.0\.0\.1:\d+)\n$`).FindStringSubmatch(line)
	if match == nil || match[1] == taken.Addr().String() {
		t.Fatalf("it says %q, and %s is taken", line, taken.Addr())
	}

	s := &server{t: t, addr: match[1]}
	st := s.mustOpen("TAB", "")
	st.mustOpened()
	stop()
	for {
		e, err := st.read()
		if err != nil {
			t.Fatalf("the stream ended without a goodbye: %v", err)
		}
		if e.name == "buffkit.bye" {
			break
		}
	}
	st.conn.Close()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// lineWriter hands on what is written.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

func TestRunSaysWhyItCantListen(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := demo.Run(t.Context(), demo.Options{Addr: "nowhere.invalid:http:8080", Out: &out, Logger: quiet})
	if err == nil || !strings.HasPrefix(err.Error(), "demo: ") || out.Len() > 0 {
		t.Errorf("got %v, and it said %q", err, out.String())
	}
}

// Under a server that isn't the demo's own, everything works but the switch.
func TestHandlerWithoutItsServer(t *testing.T) {
	t.Parallel()
	d, err := start()
	if err != nil {
		t.Fatal(err)
	}
	foreign := httptest.NewServer(d)
	s := &server{t: t, addr: foreign.Listener.Addr().String()}
	t.Cleanup(func() {
		foreign.CloseClientConnections()
		foreign.Close()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	st := s.mustOpen("TAB", "")
	st.mustOpened()
	got := newBook(t)
	got.enter(st.mustRead())
	s.network("TAB", "cut")
	for range 10 {
		got.enter(st.mustRead())
	}
	st.conn.Close()
}

func TestListIsEditedByAll(t *testing.T) {
	t.Parallel()
	s := serve(t)
	st := s.mustOpen("TAB", "")
	st.mustOpened()
	nextList := func() string {
		t.Helper()
		for {
			if e := st.mustRead(); e.topic == "list" {
				return e.data
			}
		}
	}
	edit := func(path, text string) string {
		t.Helper()
		if answer := s.post(path, url.Values{"text": {text}}); answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, answer.Status)
		}
		return nextList()
	}

	html := edit("/list", " <img src=x onerror=alert(1)>\n\"tea\" & \t cake ")
	if strings.Contains(html, "<img") || !strings.Contains(html, `&lt;img src=x onerror=alert(1)&gt; &#34;tea&#34; &amp; cake</button>`) {
		t.Errorf("not escaped, or spaces not joined:\n%s", html)
	}
	if !strings.Contains(html, `<hx-partial hx-target="#list" hx-swap="innerMorph">`) || !strings.Contains(html, "4 of 4 open") {
		t.Errorf("got\n%s", html)
	}
	if html = edit("/list/4/toggle", ""); !strings.Contains(html, `<li id="item-4" data-done>`) || !strings.Contains(html, "3 of 4 open") {
		t.Errorf("not done:\n%s", html)
	}
	if html = edit("/list/4/toggle", ""); strings.Contains(html, "data-done") {
		t.Errorf("still done:\n%s", html)
	}
	if html = edit("/list/2/remove", ""); strings.Contains(html, "item-2") || !strings.Contains(html, "item-3") {
		t.Errorf("not removed:\n%s", html)
	}
	_, _, page := s.get("/")
	if !strings.Contains(page, "&lt;img src=x") {
		t.Error("the page doesn't show the list")
	}
}

func TestListIsBounded(t *testing.T) {
	t.Parallel()
	s := serve(t)
	refused := []struct{ name, path, text, want string }{
		{"nothing", "/list", " \n", "Write something first."},
		{"too long", "/list", strings.Repeat("ä", demo.MaxItemRunes+1), "too long: at most 80"},
		{"not text", "/list", "\xff\xfe", "isn’t text"},
		{"a line that is gone", "/list/99/toggle", "", "Somebody has removed that line."},
		{"a line that is gone, removed", "/list/99/remove", "", "Somebody has removed that line."},
	}
	check := func(name, path, text, want string) {
		t.Helper()
		answer := s.post(path, url.Values{"text": {text}})
		var body bytes.Buffer
		body.ReadFrom(answer.Body)
		if answer.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body.String(), want) {
			t.Errorf("%s: %s %q, want %q", name, answer.Status, body.String(), want)
		}
	}
	for _, r := range refused {
		check(r.name, r.path, r.text, r.want)
	}
	if h := s.head(""); h.List != 0 {
		t.Errorf("refused edits were published: %+v", h)
	}
	for range demo.MaxItems - 3 {
		if answer := s.post("/list", url.Values{"text": {strings.Repeat("ä", demo.MaxItemRunes)}}); answer.StatusCode != http.StatusOK {
			t.Fatal(answer.Status)
		}
	}
	check("one too many", "/list", "x", "The list is full: 30 lines.")
	if answer := s.post("/list/x/toggle", nil); answer.StatusCode != http.StatusNotFound {
		t.Errorf("a line without a number: %s", answer.Status)
	}
	answer := s.post("/list", url.Values{"text": {strings.Repeat("x", 8<<10)}})
	if answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body over the bound: %s", answer.Status)
	}
}

func TestListWithoutScript(t *testing.T) {
	t.Parallel()
	s := serve(t)
	answer := s.post("/list", url.Values{"text": {"by form"}}, "HX-Request", "")
	if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/" {
		t.Errorf("got %s to %q", answer.Status, answer.Header.Get("Location"))
	}
	if _, _, page := s.get("/"); !strings.Contains(page, "by form") {
		t.Error("it isn't in the page")
	}
}

func TestSampleOfThisMachine(t *testing.T) {
	t.Parallel()
	sample := demo.Sampler(t.Context(), quiet)
	for deadline := time.Now().Add(200 * time.Millisecond); time.Now().Before(deadline); { // some work to see
	}
	got := sample(t.Context())
	if len(got.Cores) == 0 || got.CPU < 0 || got.CPU > 100 || slices.Max(got.Cores) > 100 || slices.Min(got.Cores) < 0 {
		t.Errorf("processor: %v of %v", got.CPU, got.Cores)
	}
	if got.CPU == 0 {
		t.Error("the processor did nothing while this test worked")
	}
	if got.MemTotal < 16e6 || got.MemUsed <= 0 || got.MemUsed >= got.MemTotal {
		t.Errorf("memory: %v of %v", got.MemUsed, got.MemTotal)
	}
	if got.DiskTotal < 1e6 || got.DiskUsed <= 0 || got.DiskUsed > got.DiskTotal {
		t.Errorf("disk: %v of %v", got.DiskUsed, got.DiskTotal)
	}
	for name, rate := range map[string]float64{
		"read": got.DiskRead, "write": got.DiskWrite, "in": got.NetIn, "out": got.NetOut, "loopback": got.Loopback,
	} {
		if rate < 0 || rate > 1e12 {
			t.Errorf("%s: %v bytes a second", name, rate)
		}
	}
	if age := time.Since(got.At); age < 0 || age > time.Minute {
		t.Errorf("the sample is %v old", age)
	}
}

func TestMachineEventDrawsTheSamples(t *testing.T) {
	t.Parallel()
	s := serve(t)
	st := s.mustOpen("TAB", "")
	st.mustOpened()
	var html string
	for n := 0; n < 5; {
		if e := st.mustRead(); e.topic == "machine" {
			html, n = e.data, n+1
		}
	}
	if !strings.Contains(html, `<hx-partial hx-target="#machine" hx-swap="innerMorph">`) {
		t.Errorf("no target in\n%.200s", html)
	}
	for _, title := range []string{"Processor", "Memory", "Network", "Disk"} {
		if !strings.Contains(html, "<h2>"+title+"</h2>") {
			t.Errorf("no %s", title)
		}
	}
	lines := regexp.MustCompile(`class="line [ab]" d="M[\d.]+ [\d.]+(L[\d.]+ [\d.]+){3,}"`).FindAllString(html, -1)
	if len(lines) < 6 { // processor, memory, two of network, two of disk, and the cores
		t.Errorf("%d curves of several points in\n%s", len(lines), html)
	}
}

package demo

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"

	"github.com/buffkit/buffkit/push"
)

//go:embed static
var staticFiles embed.FS

// contentPolicy lets the page load and call nothing but the demo itself, and run no script that isn't a file of it.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (d *Demo) routes() http.Handler {
	static, err := fs.Sub(staticFiles, "static")
	if err != nil {
		panic(err) // it is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", d.broker.WithCursor(http.HandlerFunc(d.page)))
	mux.Handle("GET /events", d.network.through(d.broker))
	mux.HandleFunc("GET /head", d.head)
	mux.HandleFunc("POST /network", d.switchNetwork)
	mux.HandleFunc("POST /overflow", d.overflow)
	mux.HandleFunc("POST /list", d.addItem)
	mux.HandleFunc("POST /list/{id}/toggle", d.changeItem(toggleItem))
	mux.HandleFunc("POST /list/{id}/remove", d.changeItem(removeItem))
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(static)))
	return protect(mux)
}

// protect sets the headers of every answer, refuses what another site posts, and bounds what anybody sends.
func protect(next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		r.Body = http.MaxBytesReader(w, r.Body, maxRequestBody)
		next.ServeHTTP(w, r)
	})
}

// page renders the state of now, and tells the tab to go on from before it: WithCursor took the cursor before this reads.
func (d *Demo) page(w http.ResponseWriter, r *http.Request) {
	now := d.publisher.state.Load()
	tab := rand.Text()
	stream := url.URL{Path: "/events", RawQuery: url.Values{
		"tab":    {tab},
		"cursor": {push.CursorFrom(r.Context()).String()},
	}.Encode()}
	d.render(w, http.StatusOK, "page", pageView{
		Host:      d.publisher.host,
		Tab:       tab,
		Stream:    stream.String(),
		Run:       d.run,
		Retention: d.retention,
		Keeps:     keeps(d.retention, d.interval),
		Pulse:     now.pulse,
		MaxItem:   maxItemRunes,
		Machine:   newMachineView(d.publisher.host, now, true),
		List:      newListView(now, true),
	})
}

// head is where the server is. A tab asks while its stream is down; this is not cut, so that the page can show what it misses.
func (d *Demo) head(w http.ResponseWriter, r *http.Request) {
	now := d.publisher.state.Load()
	cut, refused := d.network.status(r.URL.Query().Get("tab"))
	d.json(w, map[string]any{
		"run": d.run, topicPulse: now.pulse, topicMachine: now.machine, topicList: now.list, "cut": cut, "refused": refused,
	})
}

// switchNetwork cuts or restores the network of a tab.
func (d *Demo) switchNetwork(w http.ResponseWriter, r *http.Request) {
	tab := r.PostFormValue("tab")
	switch r.PostFormValue("state") {
	case "cut":
		if err := d.network.cut(tab); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	case "restored":
		d.network.restore(tab)
	default:
		http.Error(w, "state must be cut or restored", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// overflow publishes more pulses at once than the history keeps, while the tab that asks for it can't see them.
func (d *Demo) overflow(w http.ResponseWriter, r *http.Request) {
	if cut, _ := d.network.status(r.PostFormValue("tab")); !cut {
		http.Error(w, "cut the network first", http.StatusConflict)
		return
	}
	n := d.retention + d.retention/10
	if err := ask(r.Context(), d.publisher.bursts, n); err != nil {
		http.Error(w, "the server is going down", http.StatusServiceUnavailable)
		return
	}
	d.json(w, map[string]int{"published": n, "kept": d.retention})
}

func (d *Demo) addItem(w http.ResponseWriter, r *http.Request) {
	d.editList(w, r, addItem(r.PostFormValue("text")))
}

func (d *Demo) changeItem(change func(id uint64) edit) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		d.editList(w, r, change(id))
	}
}

// editList has the publisher edit the list. The new list isn't in the answer: it comes by the stream, as to every other tab.
func (d *Demo) editList(w http.ResponseWriter, r *http.Request, change edit) {
	err := ask(r.Context(), d.publisher.edits, change)
	status, message := http.StatusOK, refusal("") // which clears that of the last attempt
	switch {
	case errors.As(err, &message):
		status = http.StatusUnprocessableEntity
	case err != nil:
		http.Error(w, "the server is going down", http.StatusServiceUnavailable)
		return
	}
	if r.Header.Get("HX-Request") == "" { // a browser without script
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	d.render(w, status, "list-error", message)
}

func (d *Demo) render(w http.ResponseWriter, status int, name string, view any) {
	var page bytes.Buffer
	if err := templates.ExecuteTemplate(&page, name, view); err != nil {
		d.logger.Error("demo: render", "template", name, "err", err)
		http.Error(w, "the page is broken; the log says why", http.StatusInternalServerError)
		return
	}
	d.send(w, status, "text/html; charset=utf-8", page.Bytes())
}

func (d *Demo) json(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // numbers, texts and bools
	}
	d.send(w, http.StatusOK, "application/json", body)
}

func (d *Demo) send(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store") // it is of this moment, and of this tab
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		d.logger.Debug("demo: send", "err", err)
	}
}

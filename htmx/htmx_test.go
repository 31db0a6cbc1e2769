package htmx_test

import (
	"bytes"
	"context"
	"errors"
	"html"
	"html/template"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/htmx"
)

func TestEveryKindOfFragment(t *testing.T) {
	t.Parallel()
	whole := template.Must(template.New("").Parse(`<i>{{.}}</i>`))
	tests := []struct {
		name     string
		fragment htmx.Fragment
		want     string
	}{
		{"a component", badge{5}, `<b>5</b>`},
		{"a function", htmx.FragmentFunc(func(_ context.Context, w io.Writer) error {
			_, err := io.WriteString(w, "<hr>")
			return err
		}), `<hr>`},
		{"a named template escapes", htmx.Template(page, "row", order{1, "<b>"}), `<tr id="order-1"><td>&lt;b&gt;</td></tr>`},
		{"the template itself", htmx.Template(whole, "", "x"), `<i>x</i>`},
		{"a string", htmx.HTML("<u>s</u>"), `<u>s</u>`},
		{"bytes", htmx.HTML([]byte("<u>b</u>")), `<u>b</u>`},
		{"a template.HTML", htmx.HTML(template.HTML("<u>t</u>")), `<u>t</u>`},
		{"a WriterTo", htmx.From(bytes.NewBufferString("<p>w</p>")), `<p>w</p>`},
		{"nothing but lines", htmx.HTML("a\nb\n"), "a\nb\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			event, err := htmx.V2.Event(t.Context(), "topic", "name", test.fragment)
			if err != nil {
				t.Fatal(err)
			}
			if string(event.Data) != test.want || event.Topic != "topic" || event.Name != "name" {
				t.Errorf("got %+v with %q, want %q", event, event.Data, test.want)
			}
		})
	}
}

func TestNameIsTheDialects(t *testing.T) {
	t.Parallel()
	for dialect, want := range map[htmx.Dialect]string{htmx.V2: "row", htmx.V4: ""} {
		event, err := dialect.Event(t.Context(), "orders", "row", htmx.HTML("x"))
		if err != nil || event.Name != want {
			t.Errorf("%v: name %q, %v, want %q", dialect, event.Name, err, want)
		}
	}
}

// What is in a table is dropped by the HTML parser when it meets it in a <div>.
func TestOutOfBandElementFitsItsContent(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"<tr><td>1</td></tr>":             "tbody",
		"\n <TR\nclass=x>":                "tbody",
		"<!-- a -->\n<!-- b --><td>1":     "tr",
		"<th>1":                           "tr",
		"<tbody>":                         "table",
		"<caption>":                       "table",
		"<col/>":                          "colgroup",
		"<li>1</li>":                      "div",
		"text <tr>":                       "div",
		"":                                "div",
		"<":                               "div",
		"<!-- never closed <tr></tr>":     "div",
		"<track>":                         "div",
		"<template><tr></tr></template>x": "div",
	}
	for content, element := range tests {
		event, err := htmx.V2.Event(t.Context(), "t", "n", htmx.Into("#a", htmx.BeforeEnd, htmx.HTML(content)))
		if err != nil {
			t.Fatal(err)
		}
		want := "<" + element + ` hx-swap-oob="beforeend:#a">` + content + "</" + element + ">"
		if string(event.Data) != want {
			t.Errorf("got  %s\nwant %s", event.Data, want)
		}
	}
}

func TestIntoInsideAComponent(t *testing.T) {
	t.Parallel()
	component := htmx.FragmentFunc(func(ctx context.Context, w io.Writer) error {
		return htmx.Into("#a", htmx.AfterBegin, badge{1}).Render(ctx, w)
	})
	event, err := htmx.V4.Event(t.Context(), "t", "", component)
	if want := `<hx-partial hx-target="#a" hx-swap="afterbegin"><b>1</b></hx-partial>`; err != nil || string(event.Data) != want {
		t.Errorf("got %s, %v", event.Data, err)
	}
}

func TestWhatFailsGivesNoEvent(t *testing.T) {
	t.Parallel()
	errBroken := errors.New("database is away")
	broken := htmx.FragmentFunc(func(_ context.Context, w io.Writer) error {
		io.WriteString(w, "<p>half a ")
		return errBroken
	})
	tests := []struct {
		name      string
		dialect   htmx.Dialect
		fragments []htmx.Fragment
		want      string
	}{
		{"a component", htmx.V2, []htmx.Fragment{badge{1}, broken}, `htmx: event for topic "orders": fragment 2: database is away`},
		{"a component for a target", htmx.V4, []htmx.Fragment{htmx.Into("#a", htmx.InnerHTML, broken)},
			`htmx: event for topic "orders": fragment 1: into "#a": fragment 1: database is away`},
		{"a template that isn't there", htmx.V4, []htmx.Fragment{htmx.Template(page, "nope", nil)}, `"nope"`},
		{"nil", htmx.V4, []htmx.Fragment{nil}, `fragment 1 is nil`},
		{"no fragment", htmx.V4, nil, `publish an event with a name alone`},
		{"no target", htmx.V4, []htmx.Fragment{htmx.Into(" ", htmx.InnerHTML)}, `give a CSS selector`},
		{"no swap", htmx.V4, []htmx.Fragment{htmx.Into("#a", "")}, `into "#a": no swap`},
		{"a swap that htmx 2 hasn't", htmx.V2, []htmx.Fragment{htmx.Into("#a", htmx.OuterHTML)}, `htmx 2 can't swap "outerHTML" out of band`},
		{"a modifier in htmx 2", htmx.V2, []htmx.Fragment{htmx.Into("#a", "beforeend scroll:bottom")}, `htmx 2 can't swap`},
		{"no dialect", htmx.Dialect(0), []htmx.Fragment{badge{1}}, `unknown dialect 0; use V2 or V4`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			event, err := test.dialect.Event(t.Context(), "orders", "row", test.fragments...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if event.Topic != "" || event.Data != nil {
				t.Errorf("got the event %+v", event)
			}
			if strings.Contains(test.want, errBroken.Error()) && !errors.Is(err, errBroken) {
				t.Errorf("%v doesn't wrap the component's error", err)
			}
		})
	}
	if err := htmx.Into("#a", htmx.InnerHTML).Render(t.Context(), io.Discard); err == nil {
		t.Error("Into without a dialect rendered")
	}
}

// The headers are those that the two libraries send: htmx 4.0.1 by fetch, and an EventSource, which can't set any.
func TestDialectOf(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		headers map[string]string
		want    htmx.Dialect
	}{
		{"htmx 4", map[string]string{"Accept": "text/html, text/event-stream", "HX-Request": "true"}, htmx.V4},
		{"an EventSource", map[string]string{"Accept": "text/event-stream"}, htmx.V2},
		{"curl", map[string]string{"Accept": "*/*"}, htmx.V2},
		{"nothing", nil, htmx.V2},
	}
	for _, test := range tests {
		r := httptest.NewRequest("GET", "/events", nil)
		for name, value := range test.headers {
			r.Header.Set(name, value)
		}
		if got := htmx.DialectOf(r); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// What a target and a swap hold must not leave their attributes.
func FuzzInto(f *testing.F) {
	f.Add("#a", "beforeend")
	f.Add(`li[data-x="1"] > a`, "innerHTML")
	f.Add(`"><script>alert(1)</script>`, `" onload="`)
	f.Add("'&amp;\n", "x:y")
	f.Fuzz(func(t *testing.T, target, swap string) {
		if event, err := htmx.V4.Event(t.Context(), "t", "", htmx.Into(target, htmx.Swap(swap))); err == nil {
			checkAttributes(t, string(event.Data), "hx-partial", [][2]string{{"hx-target", target}, {"hx-swap", swap}})
		}
		if event, err := htmx.V2.Event(t.Context(), "t", "", htmx.Into(target, htmx.BeforeEnd)); err == nil {
			checkAttributes(t, string(event.Data), "div", [][2]string{{"hx-swap-oob", "beforeend:" + target}})
		}
	})
}

// checkAttributes wants an empty element with just these attributes, each the one text that reads as its value.
func checkAttributes(t *testing.T, got, element string, attributes [][2]string) {
	t.Helper()
	rest, ok := strings.CutPrefix(got, "<"+element)
	for _, attribute := range attributes {
		var value string
		rest, _ = strings.CutPrefix(rest, " "+attribute[0]+`="`)
		value, rest, _ = strings.Cut(rest, `"`)
		ok = ok && !strings.ContainsAny(value, "<>'") && html.UnescapeString(value) == attribute[1]
	}
	if !ok || rest != "></"+element+">" {
		t.Errorf("got %s for %q", got, attributes)
	}
}

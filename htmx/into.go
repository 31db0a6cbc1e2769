package htmx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"strings"
)

// Swap says how a fragment goes into its target: an hx-swap value.
type Swap string

// The swaps of both versions. V4 takes any other value too, modifiers included, such as "beforeend scroll:bottom".
const (
	InnerHTML   Swap = "innerHTML"   // replaces what is in the target
	BeforeBegin Swap = "beforebegin" // before the target
	AfterBegin  Swap = "afterbegin"  // in the target, first
	BeforeEnd   Swap = "beforeend"   // in the target, last
	AfterEnd    Swap = "afterend"    // after the target
	Delete      Swap = "delete"      // removes the target; needs no fragment
)

// The swaps of V4 alone.
const (
	OuterHTML  Swap = "outerHTML"  // replaces the target
	InnerMorph Swap = "innerMorph" // turns what is in the target into the fragment, keeping focus, selection and transitions
	OuterMorph Swap = "outerMorph" // the same, the target included
)

// swapsOfV2 are those that htmx 2 does with the content of an out-of-band element. With outerHTML it would put the
// element itself into the page, wrapper and all, and it doesn't know modifiers there.
var swapsOfV2 = map[Swap]bool{
	InnerHTML: true, BeforeBegin: true, AfterBegin: true, BeforeEnd: true, AfterEnd: true, Delete: true,
}

// Into sends fragments to a target of their own, a CSS selector, whatever element the event arrives at: an <hx-partial> in V4, an
// out-of-band element in V2. Give it to Event, or render it inside a component that was given to Event.
//
// A V2 page needs an element with sse-swap to receive the event, and hx-swap="none" on it if nothing else is to be swapped.
// OuterHTML has no such form in V2: put hx-swap-oob="true" on the fragment's own root, by its id, which works in V4 too.
func Into(target string, swap Swap, fragments ...Fragment) Fragment {
	return FragmentFunc(func(ctx context.Context, w io.Writer) error {
		dialect, ok := ctx.Value(dialectKey{}).(Dialect)
		if !ok {
			return errors.New("Into was rendered outside of Dialect.Event")
		}
		if err := checkInto(dialect, target, swap); err != nil {
			return err
		}
		var content bytes.Buffer
		if err := renderAll(ctx, &content, fragments); err != nil {
			return fmt.Errorf("into %q: %w", target, err)
		}
		element, attributes := "hx-partial", attribute("hx-target", target)+attribute("hx-swap", string(swap))
		if dialect == V2 {
			element, attributes = parentOf(content.Bytes()), attribute("hx-swap-oob", string(swap)+":"+target)
		}
		_, err := fmt.Fprintf(w, "<%s%s>%s</%s>", element, attributes, content.Bytes(), element)
		return err
	})
}

func checkInto(dialect Dialect, target string, swap Swap) error {
	switch {
	case strings.TrimSpace(target) == "":
		return errors.New("Into needs a target: give a CSS selector")
	case strings.TrimSpace(string(swap)) == "":
		return fmt.Errorf("into %q: no swap", target)
	case dialect == V2 && !swapsOfV2[swap]:
		return fmt.Errorf("into %q: htmx 2 can't swap %q out of band; put hx-swap-oob=\"true\" on the fragment's root", target, swap)
	}
	return nil
}

func attribute(name, value string) string {
	return " " + name + `="` + html.EscapeString(value) + `"`
}

// parentOf returns the element that the HTML parser lets stand around the content: it drops a <tr> that it meets in a <div>.
// htmx 4 has no such trouble, its partials become a <template>.
func parentOf(content []byte) string {
	switch firstTag(content) {
	case "caption", "colgroup", "thead", "tbody", "tfoot":
		return "table"
	case "col":
		return "colgroup"
	case "tr":
		return "tbody"
	case "td", "th":
		return "tr"
	}
	return "div"
}

// firstTag returns the name of the first element, in lower case, "" if the content doesn't begin with one.
func firstTag(content []byte) string {
	content = bytes.TrimSpace(content)
	for {
		comment, ok := bytes.CutPrefix(content, []byte("<!--"))
		if !ok {
			break
		}
		_, after, closed := bytes.Cut(comment, []byte("-->"))
		if !closed {
			return ""
		}
		content = bytes.TrimSpace(after)
	}
	tag, ok := bytes.CutPrefix(content, []byte("<"))
	if !ok {
		return ""
	}
	if end := bytes.IndexAny(tag, " \t\r\n\f/>"); end >= 0 {
		tag = tag[:end]
	}
	return strings.ToLower(string(tag))
}

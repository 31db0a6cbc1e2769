package htmx

import (
	"context"
	"fmt"
	"html/template"
	"io"
)

// Fragment is HTML that renders itself. A templ component is one as it is.
type Fragment interface {
	// Render writes the HTML. Event calls it once, in the caller's goroutine, and drops what was written if it returns an error.
	Render(ctx context.Context, w io.Writer) error
}

// FragmentFunc makes a Fragment of a function.
type FragmentFunc func(ctx context.Context, w io.Writer) error

// Render calls f.
func (f FragmentFunc) Render(ctx context.Context, w io.Writer) error { return f(ctx, w) }

// Template is the named template of t, executed with data; "" is t itself.
func Template(t *template.Template, name string, data any) Fragment {
	return FragmentFunc(func(_ context.Context, w io.Writer) error {
		if name == "" {
			return t.Execute(w, data)
		}
		return t.ExecuteTemplate(w, name, data)
	})
}

// HTML is a fragment that is there already, as a string, a []byte or a template.HTML. It is sent as it is: what people typed
// must have been escaped before.
func HTML[T ~string | ~[]byte](html T) Fragment {
	return FragmentFunc(func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, string(html))
		return err
	})
}

// From is what source writes. It can be rendered as often as source can be written.
func From(source io.WriterTo) Fragment {
	return FragmentFunc(func(_ context.Context, w io.Writer) error {
		_, err := source.WriteTo(w)
		return err
	})
}

func renderAll(ctx context.Context, w io.Writer, fragments []Fragment) error {
	for i, fragment := range fragments {
		if fragment == nil {
			return fmt.Errorf("fragment %d is nil", i+1)
		}
		if err := fragment.Render(ctx, w); err != nil {
			return fmt.Errorf("fragment %d: %w", i+1, err)
		}
	}
	return nil
}

package migrate

import (
	"context"
	"fmt"
	"io"

	"github.com/buffkit/buffkit/migrate/schema"
)

// Schema reads what the database has besides its data and the ledger. It changes nothing, and needs no lock.
func (m *Migrator) Schema(ctx context.Context) (*schema.Schema, error) {
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return m.schemaOf(ctx, conn)
}

// schemaOf reads the schema without the ledger and some other tables.
func (m *Migrator) schemaOf(ctx context.Context, conn *connection, without ...string) (*schema.Schema, error) {
	t := m.opts.Table
	opts := &schema.Options{Ignore: append([]string{t, t + "_journal", t + "_lock"}, without...)}
	var s *schema.Schema
	err := m.patiently(ctx, func() (err error) {
		s, err = schema.Read(ctx, conn.Conn, m.dialect, opts)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	return s, nil
}

// Dump writes the schema as SQL that makes an empty database the same; see package migrate/schema. It returns what it had to leave out,
// a line each, which is also in the text.
func (m *Migrator) Dump(ctx context.Context, w io.Writer) (omitted []string, err error) {
	s, err := m.Schema(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.WriteTo(w); err != nil {
		return nil, fmt.Errorf("migrate: write the schema: %w", err)
	}
	return s.Omitted, nil
}

package migratedb

import (
	"bytes"
	"cmp"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The fault matrix: which fault was tried on which server, at how many places. BUFFKIT_TEST_MATRIX names the file that it is written to.
var matrix struct {
	mu       sync.Mutex // guards what follows
	rows     map[string]map[string]string
	versions map[string]string
}

// columns are the servers, in the order of the table.
var columns = []string{"postgres", "mysql", "mariadb", "sqlite"}

// proves adds a test to the matrix; at is how many boundaries the fault was at, 0 if there is one place for it.
func proves(t *testing.T, on target, fault string, at int) {
	t.Helper()
	result := "yes"
	if at > 0 {
		result = strconv.Itoa(at)
	}
	switch {
	case t.Failed():
		result = "FAILED"
	case t.Skipped():
		result = "skipped"
	}
	matrix.mu.Lock()
	defer matrix.mu.Unlock()
	if matrix.rows == nil {
		matrix.rows = map[string]map[string]string{}
	}
	if matrix.rows[fault] == nil {
		matrix.rows[fault] = map[string]string{}
	}
	if old := matrix.rows[fault][on.name]; old != "FAILED" {
		matrix.rows[fault][on.name] = result
	}
}

// provesAtEnd is proves for when the test is over.
func provesAtEnd(t *testing.T, on target, fault string) {
	t.Helper()
	t.Cleanup(func() { proves(t, on, fault, 0) })
}

// asksVersion notes which release of a server the tests ran on.
func asksVersion(t *testing.T, name, driverName, dsn, query string) {
	t.Helper()
	db, err := sql.Open(driverName, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var version string
	if err := db.QueryRowContext(t.Context(), query).Scan(&version); err != nil {
		t.Fatal(err)
	}
	version, _, _ = strings.Cut(version, " ")
	version, _, _ = strings.Cut(version, "-")
	matrix.mu.Lock()
	defer matrix.mu.Unlock()
	if matrix.versions == nil {
		matrix.versions = map[string]string{}
	}
	matrix.versions[name] = version
}

const matrixHead = `# The fault matrix

What is done to a run of migrations, on which server, and at how many places. A number is that of the boundaries, each in a run of its own:
everything that the runner says to the database is one, or each of twelve statements; *yes* is one place. Behind each, the test checks that what the run said of the state is true, that the next ` + "`up`" + ` finishes, and that nothing was
applied twice. *–* is what can't happen there, or is another row's: SQLite has no server to be cut off from. The tests are in
[internal/migratedb](../internal/migratedb), and start the servers themselves.

This file is written by ` + "`make fault-matrix`" + `. ` + "`make test`" + ` writes the same table to .cache/fault-matrix.md, with
fewer rounds of many runners and fewer places: each statement of a migration and the COMMIT behind it, and some of the rest, others in each run.

`

func writeMatrix() error {
	var text bytes.Buffer
	printMatrix(&text)
	if name := os.Getenv("BUFFKIT_TEST_MATRIX"); name != "" {
		if err := os.WriteFile(name, text.Bytes(), 0o666); err != nil {
			return err
		}
	}
	for _, row := range matrix.rows {
		for _, cell := range row {
			if cell == "skipped" {
				return nil // not the whole
			}
		}
	}
	if flag.Lookup("test.run").Value.String() != "" || testing.Short() {
		return nil
	}
	return compareMatrix()
}

func printMatrix(w io.Writer) {
	fmt.Fprint(w, matrixHead, "| fault |")
	for _, name := range columns {
		fmt.Fprintf(w, " %s %s |", name, matrix.versions[name])
	}
	fmt.Fprintln(w, "\n|---|---|---|---|---|")
	for _, fault := range faults() {
		fmt.Fprintf(w, "| %s |", fault)
		for _, name := range columns {
			fmt.Fprintf(w, " %s |", cmp.Or(matrix.rows[fault][name], "–"))
		}
		fmt.Fprintln(w)
	}
}

func faults() (all []string) {
	for fault := range matrix.rows {
		all = append(all, fault)
	}
	slices.Sort(all)
	return all
}

// compareMatrix finds a fault that the table in docs lacks, or has and nobody tests. Its numbers may differ from run to run.
func compareMatrix() error {
	text, err := os.ReadFile("../../docs/fault-matrix.md")
	if err != nil {
		return err
	}
	var written []string
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, " | "); len(cells) == len(columns)+1 && !strings.HasPrefix(line, "| fault") {
			written = append(written, strings.TrimPrefix(cells[0], "| "))
		}
	}
	if !slices.Equal(written, faults()) {
		return errors.New("docs/fault-matrix.md has other faults than these tests: run make fault-matrix")
	}
	return nil
}

func TestVersionsForTheMatrix(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		driverName, dsn := on.fresh(t)
		query := map[string]string{"postgres": "SHOW server_version", "sqlite": "SELECT sqlite_version()"}[on.name]
		asksVersion(t, on.name, driverName, dsn, cmp.Or(query, "SELECT version()"))
	})
}

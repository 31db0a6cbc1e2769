package migratedb

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"text/tabwriter"
)

// The fault matrix: which fault was tried on which server, at how many places. BUFFKIT_TEST_MATRIX names the file that it is written to.
var matrix struct {
	mu   sync.Mutex // guards what follows
	rows map[string]map[string]string
}

// proves adds a test to the matrix; at is how many boundaries the fault was at, 0 if there is one place for it.
func proves(t *testing.T, on target, fault string, at int) {
	t.Helper()
	result := "yes"
	if at > 0 {
		result = strconv.Itoa(at)
	}
	if t.Failed() {
		result = "FAILED"
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

func writeMatrix() error {
	name := os.Getenv("BUFFKIT_TEST_MATRIX")
	if name == "" {
		return nil
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	w := tabwriter.NewWriter(file, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "FAULT\tSQLITE\tPOSTGRES\tMARIADB\tMYSQL")
	var faults []string
	for fault := range matrix.rows {
		faults = append(faults, fault)
	}
	slices.Sort(faults)
	for _, fault := range faults {
		row := matrix.rows[fault]
		cell := func(server string) string { return cmp.Or(row[server], "-") }
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", fault, cell("sqlite"), cell("postgres"), cell("mariadb"), cell("mysql"))
	}
	return w.Flush()
}

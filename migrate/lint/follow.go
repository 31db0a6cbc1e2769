package lint

import (
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// follow takes note of what a statement does to the script's session and transaction.
func (c *checker) follow(s *stmt) {
	switch s.verb {
	case begin:
		c.script.ownTx, c.script.inTx = s, true
	case commit, rollback:
		c.script.ownTx, c.script.inTx = nil, false
		c.script.strong = nil
		clear(c.script.enums)
		clear(c.script.notValid)
	case set:
		c.followSet(s)
	case selectFrom:
		for i, t := range s.tokens {
			if t.Is("set_config") && unquote(s.tokens.get(i+2)) == "lock_timeout" {
				c.script.timeout = !isOff(s.tokens[min(i+4, len(s.tokens)):])
			}
		}
	case pragma:
		if s.setting == "foreign_keys" && len(s.value) > 0 {
			c.followForeignKeys(s, isOff(s.value))
		}
	case alterOther:
		if s.object == "type" && len(s.names) > 0 {
			if value, ok := addedValue(s); ok {
				c.script.enums[value] = s
			}
		}
	case drop:
		for _, n := range s.names {
			if s.object == "index" {
				c.script.dropped[n.key()] = true
			}
		}
	}
	c.followTables(s)
	c.followRebuild(s)
	if c.dialect == dialect.Postgres && c.script.inTx {
		for _, n := range locked(s) {
			if c.busy(n) {
				c.script.strong = append(c.script.strong, heldLock{n, s})
			}
		}
	}
}

func (c *checker) followTables(s *stmt) {
	switch s.verb {
	case createTable:
		if !s.temporary && !s.partitionOf { // a partition goes with its table
			c.script.created = append(c.script.created, s.table)
		}
	case alterTable, renameTable:
		for i := range s.actions {
			a := &s.actions[i]
			switch {
			case a.kind == "rename table" && s.verb == renameTable:
				c.script.renamed[a.to.key()] = a.column.key()
			case a.kind == "rename table":
				c.script.renamed[a.to.key()] = s.table.key()
			case a.kind == "add constraint" && a.constraint.notValid:
				c.script.notValid[a.constraint.name.key()] = true
			}
		}
		if s.verb == alterTable && c.script.altered[s.table.key()] == nil {
			c.script.altered[s.table.key()] = s
		}
	}
	if s.verb.ddl() && !s.temporary && c.script.ddl == nil {
		c.script.ddl = s
	}
	if s.verb.ddl() || s.verb.dml() {
		c.script.changes = true
	}
	if s.verb.dml() && c.script.dml == nil && c.busy(s.table) {
		c.script.dml = s
	}
}

func (c *checker) followSet(s *stmt) {
	switch s.setting {
	case "lock_timeout", "lock_wait_timeout":
		c.script.timeout = !isOff(s.value)
	case "foreign_key_checks":
		c.followForeignKeys(s, isOff(s.value))
	case "session_replication_role":
		c.followForeignKeys(s, strings.EqualFold(unquote(s.value.get(0)), "replica"))
	}
}

func (c *checker) followForeignKeys(s *stmt, off bool) {
	if c.script.fkOff = nil; off {
		c.script.fkOff = s
		c.script.fkWasOff = true
	}
}

// isOff reads 0, off, false, no and default.
func isOff(value tokens) bool {
	switch strings.ToLower(unquote(value.get(0))) {
	case "0", "off", "false", "no", "default", "0s", "0ms":
		return true
	}
	return false
}

// addedValue returns the value that ALTER TYPE … ADD VALUE adds, with its quotes.
func addedValue(s *stmt) (value string, ok bool) {
	c := &cursor{tokens: s.options}
	if !c.word("add", "value") {
		return "", false
	}
	c.word("if", "not", "exists")
	return c.peek().Text, true
}

// weak are the clauses of ALTER TABLE that let others read and write meanwhile. PostgreSQL.
var weak = map[string]bool{"validate": true, "attach partition": true, "other": true, "option": true}

// locked returns the tables that a statement locks so that others can't write, or not even read. PostgreSQL.
func locked(s *stmt) (names []name) {
	switch s.verb {
	case alterTable:
		for i := range s.actions {
			a := &s.actions[i]
			if !weak[a.kind] && !(a.kind == "detach partition" && a.concurrent) {
				names = append(names, s.table)
			}
			for _, n := range []name{a.constraint.references, a.def.references} {
				if len(n.parts) > 0 {
					names = append(names, n)
				}
			}
		}
	case createTable:
		for i := range s.columns {
			names = append(names, s.columns[i].references)
		}
		for i := range s.constraints {
			names = append(names, s.constraints[i].references)
		}
	case createIndex:
		if !s.concurrently {
			names = append(names, s.table)
		}
	case drop:
		if s.object == "table" {
			names = append(names, s.names...)
		}
	case truncate:
		names = append(names, s.names...)
	case lockTable, cluster:
		names = append(names, s.table)
	case refresh:
		if !s.concurrently {
			names = append(names, s.table)
		}
	case createOther:
		if s.object == "trigger" {
			names = append(names, s.table)
		}
	}
	return names
}

package source_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
	"github.com/buffkit/buffkit/migrate/source"
)

// folder makes files of their names and texts.
func folder(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// load returns the files that each version takes, as "version name: up down".
func load(t *testing.T, fsys fs.FS, d dialect.Dialect) (all []source.Migration, text string) {
	t.Helper()
	all, err := source.Load(fsys, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		text += fmt.Sprintf("%s %s: %s", m.Version, m.Name, m.Up.Path)
		if m.Down != nil {
			text += " " + m.Down.Path
		}
		text += "\n"
	}
	return all, text
}

func TestFilesMakeMigrations(t *testing.T) {
	t.Parallel()
	fsys := folder(map[string]string{
		"2_b.up.sql": "", "0010_c.up.sql": "", "0010_c.down.sql": "", "1_a.sql": "-- migrate:up\n-- migrate:down\n",
		"20191100000001000004_long.up.sql": "", "3_naïve-name_x.up.sql": "",
		"README.md": "", "4_x.go": "", ".5_hidden.up.sql": "", "sub/6_x.up.sql": "", "schema.txt": "",
	})
	_, got := load(t, fsys, dialect.SQLite)
	const want = "1 a: 1_a.sql 1_a.sql\n2 b: 2_b.up.sql\n3 naïve-name_x: 3_naïve-name_x.up.sql\n" +
		"0010 c: 0010_c.up.sql 0010_c.down.sql\n20191100000001000004 long: 20191100000001000004_long.up.sql\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestADialectsFileGoesFirst(t *testing.T) {
	t.Parallel()
	fsys := folder(map[string]string{
		"1_a.up.sql": "", "1_a.postgres.up.sql": "", "1_a.down.sql": "",
		"2_b.mysql.up.sql": "", "2_b.sqlite3.up.sql": "", "2_b.postgresql.up.sql": "",
		"3_c.mysql.up.sql": "", "3_c.mariadb.up.sql": "",
	})
	for d, want := range map[dialect.Dialect]string{
		dialect.Postgres: "1 a: 1_a.postgres.up.sql 1_a.down.sql\n2 b: 2_b.postgresql.up.sql\n",
		dialect.MySQL:    "1 a: 1_a.up.sql 1_a.down.sql\n2 b: 2_b.mysql.up.sql\n3 c: 3_c.mysql.up.sql\n",
		dialect.MariaDB:  "1 a: 1_a.up.sql 1_a.down.sql\n2 b: 2_b.mysql.up.sql\n3 c: 3_c.mariadb.up.sql\n",
		dialect.SQLite:   "1 a: 1_a.up.sql 1_a.down.sql\n2 b: 2_b.sqlite3.up.sql\n",
	} {
		if _, got := load(t, fsys, d); got != want {
			t.Errorf("%v: got\n%s\nwant\n%s", d, got, want)
		}
	}
}

func TestAMisnamedFileIsToldItsName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"0188.up.sql":                   "0188_NAME.up.sql",
		"0001-users.up.sql":             "0001_users.up.sql",
		"20060102150405-name.sql":       "20060102150405_name.sql",
		"V0001.Name.up.sql":             "0001_Name.up.sql",
		"V2__add_users.sql":             "2_add_users.sql",
		"U2__add_users.sql":             "2_add_users.down.sql",
		"users.sql":                     "VERSION_users.sql",
		"up.sql":                        "VERSION_NAME.up.sql",
		"0001_a.oracle.up.sql":          "0001_a_oracle.up.sql",
		"0001_a.tx.up.sql":              "0001_a_tx.up.sql",
		"0001_a.autocommit.up.sql":      "0001_a_autocommit.up.sql",
		"0001_a b.c.postgresql.up.sql":  "0001_a_b_c.postgres.up.sql",
		"0001_a.up.SQL":                 "0001_a.up.sql",
		"0001_.up.sql":                  "0001_NAME.up.sql",
		"0001__a.up.sql":                "0001_a.up.sql",
		"0001_a..up.sql":                "0001_a.up.sql",
		"1.2_a.sql":                     "1_2_a.sql",
		"0001_create_users.up.down.sql": "0001_create_users_up.down.sql",
	} {
		_, err := source.Load(folder(map[string]string{name: "-- migrate:up\n"}), dialect.Postgres, nil)
		var e *source.FileError
		if !errors.As(err, &e) || e.Path != name || e.Hint != "rename it to "+want {
			t.Errorf("%s: %v, want %s", name, err, want)
			continue
		}
		if good := strings.NewReplacer("VERSION", "1").Replace(want); good != "" {
			files := map[string]string{good: "-- migrate:up\n"}
			if strings.Contains(good, ".down.") {
				files[strings.Replace(good, ".down.", ".up.", 1)] = ""
			}
			if _, err := source.Load(folder(files), dialect.Postgres, nil); err != nil {
				t.Errorf("%s: the name it was given isn't good: %v", name, err)
			}
		}
	}
}

func TestEveryBadFileIsNamed(t *testing.T) {
	t.Parallel()
	fsys := folder(map[string]string{
		"a.sql": "", "b.sql": "",
		"1_a.up.sql": "", "01_b.up.sql": "", // one number
		"2_a.postgres.up.sql": "", "2_a.pg.up.sql": "", // one database
		"3_a.down.sql": "",
		"4_a.sql":      "-- migrate:up\n", "4_a.up.sql": "",
		"5_a.sql": "SELECT 1;",
		"6_a.sql": "-- nothing\n",
		"7_a.sql": "-- migrate:up\nSELECT 1;\n-- migrate:up\n",
		"8_a.sql": "-- migrate:sideways\n",
		"9_a.sql": "-- migrate:up\nSELECT 'a\n", "10_a.sql": "-- migrate:up transaction:maybe\n",
	})
	all, err := source.Load(fsys, dialect.Postgres, nil)
	if err == nil || all != nil {
		t.Fatal(all, err)
	}
	for _, want := range []string{
		"a.sql: ", "b.sql: ", "1_a.up.sql: its version is also that of 01_b.up.sql",
		"2_a.postgres.up.sql: another file is for the same version",
		"3_a.down.sql: there is no file to go up; add 3_a.up.sql",
		"4_a.sql: there is also 4_a.up.sql",
		"5_a.sql:1:1: this stands above the first section\n    SELECT\n    ^\nbegin the file with -- migrate:up, or rename it to 5_a.up.sql",
		"6_a.sql: there is no line -- migrate:up in it; add one, or rename it to 6_a.up.sql",
		"7_a.sql:3:1: this is the second section up", "8_a.sql:1:1: there is no section sideways",
		"9_a.sql:2:8: this string is never closed", "10_a.sql:1:1: this section's line has an option that nobody knows: transaction:maybe",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q isn't said in\n%v", want, err)
		}
	}
}

func statements(t *testing.T, s *source.Script) (text string) {
	t.Helper()
	for statement, err := range s.Statements(nil) {
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("%d:%d %s\n", statement.Pos.Line, statement.Pos.Column, statement.SQL[strings.LastIndexByte(statement.SQL, '\n')+1:])
	}
	return text
}

func TestSectionsAreScripts(t *testing.T) {
	t.Parallel()
	const file = "\ufeff-- depends: 7\r\n-- migrate:up transaction:false\r\n-- env: test\r\nSELECT '\r\n-- migrate:down\r\n';\r\nSELECT 2\r\n--migrate:down\r\n" +
		"-- lint:allow x y\r\nSELECT 3;\r\nSELECT 4"
	all, _ := load(t, folder(map[string]string{"1_a.sql": file}), dialect.Postgres)
	m := all[0]
	if got, want := statements(t, m.Up), "4:1 ';\n7:1 SELECT 2\n"; got != want && got != "4:1 '\n7:1 SELECT 2\n" {
		t.Errorf("up: got\n%s\nwant\n%s", got, want)
	}
	if got, want := statements(t, m.Down), "10:1 SELECT 3\n11:1 SELECT 4\n"; got != want {
		t.Errorf("down: got\n%s\nwant\n%s", got, want)
	}
	seven := []source.Ref{{Version: "7"}}
	if h := m.Up.Header; !h.NoTransaction || !reflect.DeepEqual(h.Env, []string{"test"}) || !reflect.DeepEqual(h.Depends, seven) || h.Allow != nil {
		t.Errorf("up: %+v", h)
	}
	if h := m.Down.Header; h.NoTransaction || h.Env != nil || !reflect.DeepEqual(h.Depends, seven) || len(h.Allow) != 1 || h.Allow[0].Pos.Line != 9 {
		t.Errorf("down: %+v", h)
	}
	if m.Up.Checksum == m.Down.Checksum || m.Up.Size+m.Down.Size != int64(len(file)-len("\ufeff-- depends: 7\r\n-- migrate:up transaction:false--migrate:down")) {
		t.Errorf("up %d %s, down %d %s", m.Up.Size, m.Up.Checksum, m.Down.Size, m.Down.Checksum)
	}
}

// A statement without its semicolon doesn't swallow the next section.
func TestASectionEndsAStatement(t *testing.T) {
	t.Parallel()
	all, _ := load(t, folder(map[string]string{"1_a.sql": "-- migrate:up\nCREATE TABLE a (b int)\n-- migrate:down\nDROP TABLE a"}), dialect.SQLite)
	if up, down := statements(t, all[0].Up), statements(t, all[0].Down); up != "2:1 CREATE TABLE a (b int)\n" || down != "4:1 DROP TABLE a\n" {
		t.Errorf("up %q, down %q", up, down)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	const file = "/* a licence */\n-- depends: auth:0003, kit/push:12 7\n-- No-Transaction\n--lint:allow drop-column it is unused\n-- env: production,staging\n\n" +
		"-- about: this is no header\n-- depends on what the app does\n-- env vars\n-- repeated\n-- dependent: b\n-- requires-app restart\nDROP TABLE a;\n"
	all, _ := load(t, folder(map[string]string{"1_a.up.sql": file}), dialect.Postgres)
	h := all[0].Up.Header
	if got := fmt.Sprint(h.Depends, h.NoTransaction, h.Env); got != "[auth:0003 kit/push:12 7] true [production staging]" {
		t.Error(got)
	}
	if len(h.Allow) != 1 || h.Allow[0].Rule != "drop-column" || h.Allow[0].Reason != "it is unused" || h.Allow[0].Pos.String() != "1_a.up.sql:4:1" {
		t.Errorf("%+v", h.Allow)
	}
}

func TestABadHeaderIsShown(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"-- depends:":              "1_a.up.sql:1:1: depends: names nothing",
		"-- depends: auth:x":       "depends: auth:x names no migration",
		"-- depends: a b:1":        "depends: a names no migration",
		"-- lint:allow drop-table": "lint:allow needs a rule and a reason",
		"-- env:":                  "env: names nothing",
		"-- no transaction":        "write it as -- no-transaction",
		"-- depends-on: 7":         "write it as -- depends: …",
		"-- environment: test":     "write it as -- env: …",
		"-- enviroment: test":      "write it as -- env: …",
		"-- env production":        "write it as -- env: …",
		"-- depnds: billing:3":     "write it as -- depends: …",
		"-- depends billing:3":     "write it as -- depends: …",
		"-- requires-app 1.4.0":    "write it as -- requires-app: …",
		"-- require-apps: 1.4.0":   "write it as -- requires-app: …",
		"-- repeatble":             "write it as -- repeatable",
		"-- no-transation":         "write it as -- no-transaction",
	} {
		_, err := source.Load(folder(map[string]string{"1_a.up.sql": header + "\nSELECT 1;"}), dialect.MySQL, nil)
		var e *lexer.Error
		if !errors.As(err, &e) || !errors.Is(err, source.ErrHeader) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", header, err, want)
		}
	}
}

func TestALateHeaderIsAnError(t *testing.T) {
	t.Parallel()
	for text, late := range map[string]string{
		"SELECT 1;\n-- env: test\nSELECT 2;":            "1_a.up.sql:2:1: this header stands below the first statement",
		"CREATE TABLE a (\n-- no-transaction\nb int);":  "1_a.up.sql:2:1: this header",
		"SELECT 1;\n-- depends: x\nSELECT 2;":           "1_a.up.sql:2:1: this header",
		"-- env: test\nSELECT 1; -- env: behind\n":      "",
		"SELECT 1;\n  -- env: indented\nSELECT 2;":      "",
		"SELECT 1;\n-- lint:allow x why\nSELECT 2;":     "",
		"SELECT '\n-- env: test\n';":                    "",
		"SELECT 1;\n-- environment variables\nSELECT 2": "",
	} {
		all, _ := load(t, folder(map[string]string{"1_a.up.sql": text}), dialect.Postgres)
		var got error
		for _, err := range all[0].Up.Statements(nil) {
			got = err
		}
		if late == "" && got != nil || late != "" && (!errors.Is(got, source.ErrHeader) || !strings.Contains(got.Error(), late)) {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestAChecksumIsThatOfTheText(t *testing.T) {
	t.Parallel()
	sum := func(text string) string {
		all, _ := load(t, folder(map[string]string{"1_a.up.sql": text}), dialect.Postgres)
		return all[0].Up.Checksum
	}
	const text = "SELECT 1;\n\n-- x\nSELECT 2;"
	for _, same := range []string{text + "\n", text + "\n\n", "\ufeff" + text, strings.ReplaceAll(text, "\n", "\r\n"), strings.ReplaceAll(text, "\n", "\r\n") + "\r\n"} {
		if sum(same) != sum(text) {
			t.Errorf("%q has another checksum", same)
		}
	}
	for _, other := range []string{"", text + " ", " " + text, strings.Replace(text, "\n\n", "\n", 1), strings.Replace(text, "\n", "\r", 1), text + "\r", text + "\ufeff"} {
		if sum(other) == sum(text) {
			t.Errorf("%q has the same checksum", other)
		}
	}
	if sum("") != sum("\n") || !strings.HasPrefix(sum(""), "sha256:e3b0c442") {
		t.Error(sum(""))
	}
	for _, size := range []int{4095, 4096, 4097, 65535, 65536, 65537, 200_000} { // around the buffers
		long := strings.Repeat("\n", size) + "a" + strings.Repeat("b\n", size)
		if sum(long) != sum("\ufeff"+strings.ReplaceAll(long, "\n", "\r\n")) {
			t.Errorf("%d lines with CRLF have another checksum", size)
		}
	}
}

func TestVersionsAreNumbersOfAnyLength(t *testing.T) {
	t.Parallel()
	if source.Version("18446744073709551616").Compare("9") != 1 || source.Version("007").Compare("7") != 0 || source.Version("0").Compare("00") != 0 {
		t.Error("compared as something else")
	}
	for _, bad := range []string{"", "-1", "1a", " 1", "١"} {
		if _, err := source.ParseVersion(bad); err == nil {
			t.Errorf("%q is a version", bad)
		}
	}
	for _, bad := range []string{"", ":1", "a:", "a b:1", "a:1:2", "ä:1"} {
		if ref, err := source.ParseRef(bad); err == nil {
			t.Errorf("%q is %v", bad, ref)
		}
	}
}

type failing struct{ fs.FS }

func (f failing) Open(name string) (fs.File, error) {
	if name == "." {
		return f.FS.Open(name)
	}
	return nil, fs.ErrPermission
}

// To open a pipe would wait for ever.
func TestWhatIsNoFileIsAnErrorAndIsntOpened(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{"1_a.up.sql": {Mode: fs.ModeNamedPipe}, "2_b.up.sql": {Mode: fs.ModeSymlink, Data: []byte("1_a.up.sql")}}
	_, err := source.Load(neverOpens{fsys}, dialect.SQLite, nil)
	for name := range fsys {
		if err == nil || !strings.Contains(err.Error(), name+": it isn't a file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type neverOpens struct{ fstest.MapFS }

func (f neverOpens) Open(name string) (fs.File, error) {
	if name == "." {
		return f.MapFS.Open(name)
	}
	panic("it was opened: " + name)
}

func TestAFileThatCantBeReadIsAnError(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"1_a.up.sql", "1_a.sql"} {
		_, err := source.Load(failing{folder(map[string]string{name: "-- migrate:up\n"})}, dialect.Postgres, nil)
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v", err)
		}
	}
	if _, err := source.Load(failing{fstest.MapFS{}}, dialect.Postgres, nil); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestAScriptsTextIsTheFile(t *testing.T) {
	t.Parallel()
	all, _ := load(t, folder(map[string]string{"1_a.up.sql": "\ufeffSELECT 1;\r\n"}), dialect.Postgres)
	r, err := all[0].Up.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if text, err := io.ReadAll(r); err != nil || string(text) != "\ufeffSELECT 1;\r\n" {
		t.Errorf("%q, %v", text, err)
	}
}

func FuzzVersion(f *testing.F) {
	f.Add("1", "01")
	f.Add("18446744073709551616", "9")
	f.Fuzz(func(t *testing.T, a, b string) {
		va, errA := source.ParseVersion(a)
		vb, errB := source.ParseVersion(b)
		if errA != nil || errB != nil {
			return
		}
		na, okA := new(big.Int).SetString(a, 10)
		nb, okB := new(big.Int).SetString(b, 10)
		if !okA || !okB || va.Compare(vb) != na.Cmp(nb) || vb.Compare(va) != -va.Compare(vb) {
			t.Errorf("%s against %s: %d", a, b, va.Compare(vb))
		}
	})
}

// Whatever a file is named, it is a migration, or the name that it's told to take makes it one.
func FuzzFilename(f *testing.F) {
	for _, name := range []string{"1_a.up.sql", "V1__b.sql", "1_a.pg.sql", "up.sql", "1_a..sql", "U1_.x.SQL", "1_ä b.down.sql"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		name += ".sql"
		if !fs.ValidPath(name) || strings.ContainsAny(name, "/\\") || name[0] == '.' {
			return
		}
		load := func(name string) error {
			files := map[string]string{name: ""}
			if up := strings.Replace(name, ".down.sql", ".up.sql", 1); up != name {
				files[up] = ""
			}
			_, err := source.Load(folder(files), dialect.Postgres, nil)
			return err
		}
		err := load(name)
		var e *source.FileError
		if err == nil || !errors.As(err, &e) {
			return
		}
		better, ok := strings.CutPrefix(e.Hint, "rename it to ")
		if !ok {
			return
		}
		if err := load(strings.Replace(better, "VERSION", "1", 1)); err != nil {
			t.Errorf("%q is told %q, which is told %v", name, better, err)
		}
	})
}

// A file with sections loses nothing: each script is its part of the file, at its place, and between them are only the lines that
// name the sections.
func FuzzSections(f *testing.F) {
	f.Add("-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n", uint8(0))
	f.Add("-- env: a\n-- migrate:up\nSELECT '\n-- migrate:down\n'", uint8(1))
	f.Add("\ufeff-- migrate:down\r\n--migrate:up\r\n", uint8(2))
	f.Add("/* -- migrate:up\n*/-- migrate:up\nx\n-- migrate:up transaction:false", uint8(3))
	f.Fuzz(func(t *testing.T, text string, n uint8) {
		all, err := source.Load(folder(map[string]string{"1_a.sql": text}), dialect.All()[n%4], nil)
		if err != nil || len(all) == 0 || text == "" {
			return
		}
		if strings.Contains(text, "\x01") {
			return
		}
		rest := []byte(text) // what is no script's, with the scripts blanked
		for _, s := range []*source.Script{all[0].Up, all[0].Down} {
			if s == nil {
				continue
			}
			r, err := s.Open()
			if err != nil {
				t.Fatal(err)
			}
			whole, err := io.ReadAll(r)
			from := len(whole) - int(s.Size)
			if err != nil || from < 0 || len(whole) > len(text) || string(whole[from:]) != text[from:len(whole)] || strings.TrimSpace(string(whole[:from])) != "" {
				t.Fatalf("%q of %q: %v", whole, text, err)
			}
			for i := from; i < len(whole); i++ {
				if rest[i] == 0x01 {
					t.Fatalf("%q: both scripts hold byte %d", text, i)
				}
				rest[i] = 0x01
			}
		}
		first := strings.IndexByte(string(rest), 0x01)
		if first < 0 {
			return
		}
		for _, line := range strings.FieldsFunc(string(rest[first:]), func(r rune) bool { return r == 0x01 }) {
			if !strings.HasPrefix(line, "--") || !strings.Contains(line, "migrate:") || strings.Contains(line, "\n") {
				t.Fatalf("%q of %q is no script's", line, text)
			}
		}
	})
}

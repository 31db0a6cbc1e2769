package migrate

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// mysql is MySQL and MariaDB.
type mysql struct {
	dialect     dialect.Dialect
	lockTimeout time.Duration
	leased      bool // perhaps behind a proxy that shares connections
}

func (*mysql) quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
func (*mysql) bind(query string) string { return query }

func (*mysql) types() columnTypes {
	return columnTypes{
		long:    "MEDIUMTEXT",
		options: " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
		key:     func(n int) string { return fmt.Sprintf("VARCHAR(%d) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", n) },
		text:    func(n int) string { return fmt.Sprintf("VARCHAR(%d)", n) },
	}
}

func (*mysql) rollsBackDDL() bool { return false }
func (*mysql) begin() string      { return "START TRANSACTION" }
func (*mysql) cancels() bool      { return true }

func (*mysql) clock() string { return "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)" }

func (*mysql) schema(ctx context.Context, q querier) (string, error) {
	var name sql.NullString
	if err := q.QueryRowContext(ctx, "SELECT DATABASE()").Scan(&name); err != nil {
		return "", fmt.Errorf("migrate: ask for the database: %w", err)
	}
	if !name.Valid {
		return "", errors.New("migrate: the connection has no database: name one in the connection string")
	}
	return name.String, nil
}

func (*mysql) columns(ctx context.Context, q querier, schema, table string) ([]string, error) {
	return texts(ctx, q, "SELECT column_name FROM information_schema.columns WHERE table_schema = ? AND table_name = ?", schema, table)
}

func (*mysql) others(context.Context, querier, string) ([]string, error) { return nil, nil }

// looseEngines have tables whose rows are changed for good at once.
const looseEngines = "'MyISAM', 'Aria', 'MEMORY', 'CSV', 'ARCHIVE', 'MRG_MyISAM', 'BLACKHOLE', 'FEDERATED', 'S3'"

func (*mysql) loose(ctx context.Context, q querier, schema string) ([]string, error) {
	return texts(ctx, q, "SELECT CONCAT(table_name, ' (', engine, ')') FROM information_schema.tables WHERE table_schema = ? AND engine IN ("+looseEngines+")"+
		" UNION ALL SELECT CONCAT('new tables (', @@default_storage_engine, ')') WHERE @@default_storage_engine IN ("+looseEngines+")", schema)
}

// makesLoose tells whether a statement names one of those engines, in CREATE or ALTER TABLE … ENGINE = MyISAM.
func makesLoose(st lexer.Statement) bool {
	engine := false
	for t := range st.Tokens() {
		switch {
		case t.Kind.Trivia(), t.Kind == lexer.Operator && t.Text == "=":
		case engine && strings.Contains(strings.ToLower(looseEngines), "'"+strings.ToLower(strings.Trim(t.Text, "'\"`"))+"'"):
			return true
		default:
			engine = t.Is("engine")
		}
	}
	return false
}

func (*mysql) prepare(context.Context, querier) (string, error) { return "", nil }

func (s *mysql) open(ctx context.Context, q querier, _ string) (id int64, err error) {
	if err := q.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		return 0, err
	}
	return id, s.waitForLocks(ctx, q, false)
}

func (*mysql) reset() string {
	return "SET SESSION lock_wait_timeout = DEFAULT, innodb_lock_wait_timeout = DEFAULT"
}

// waitForLocks bounds the waits for rows and for the metadata of tables; the second is a year by default.
func (s *mysql) waitForLocks(ctx context.Context, q querier, _ bool) error {
	if s.lockTimeout < 0 || s.leased {
		return nil
	}
	seconds := max(1, int64(s.lockTimeout.Round(time.Second)/time.Second))
	_, err := q.ExecContext(ctx, fmt.Sprintf("SET SESSION lock_wait_timeout = %d, innodb_lock_wait_timeout = %[1]d", seconds))
	return err
}

func (*mysql) cancel(ctx context.Context, q querier, id int64) error {
	_, err := q.ExecContext(ctx, "KILL QUERY "+strconv.FormatInt(id, 10))
	return err
}

// blockers lists who has a transaction open: the server doesn't tell who has a table's metadata locked, unless it was set up to.
func (*mysql) blockers(ctx context.Context, q querier, id int64) ([]string, error) {
	return texts(ctx, q, "SELECT CONCAT('connection ', p.id, ' of ', p.user, '@', p.host, ', transaction open since ', t.trx_started,"+
		" COALESCE(CONCAT(': ', LEFT(p.info, 120)), ', idle')) FROM information_schema.innodb_trx t"+
		" JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id WHERE p.id <> ? ORDER BY t.trx_started", id)
}

// text is at most 64 bytes long, the limit of GET_LOCK. Such locks are the server's, not a database's; the name holds the database.
func (n lockName) text() string {
	return fmt.Sprintf("buffkit-%s-%x", n.part, sha256.Sum256([]byte(n.ledger)))[:60]
}

func (*mysql) tryLock(ctx context.Context, q querier, name lockName) (bool, error) {
	var got sql.NullInt64
	err := q.QueryRowContext(ctx, "SELECT GET_LOCK(?, 0)", name.text()).Scan(&got)
	return got.Int64 == 1, err
}

func (*mysql) unlock(ctx context.Context, q querier, name lockName) error {
	var released sql.NullInt64
	err := q.QueryRowContext(ctx, "SELECT RELEASE_LOCK(?)", name.text()).Scan(&released)
	if err == nil && released.Int64 != 1 {
		return fmt.Errorf("%w: the connection didn't hold it; behind a proxy that shares connections use Options.Lock: LeaseLock (--lock lease)", ErrLockLost)
	}
	return err
}

func (*mysql) holder(ctx context.Context, q querier, name lockName) (*Holder, error) {
	var id sql.NullInt64
	if err := q.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?)", name.text()).Scan(&id); err != nil || !id.Valid {
		return nil, err
	}
	h := &Holder{Session: strconv.FormatInt(id.Int64, 10)}
	var seconds int64
	var info sql.NullString
	err := q.QueryRowContext(ctx, "SELECT CONCAT(user, '@', host), COALESCE(time, 0), LEFT(info, 200) FROM information_schema.processlist WHERE id = ?",
		id.Int64).Scan(&h.Who, &seconds, &info)
	if errors.Is(err, sql.ErrNoRows) { // the right PROCESS is missing, or it has just ended
		return h, nil
	}
	if h.Statement = strings.Join(strings.Fields(info.String), " "); h.Statement != "" {
		h.Running = time.Duration(seconds) * time.Second
	}
	return h, err
}

// absent are the errors of SHOW CREATE … for what isn't there.
var absent = []int{
	1049, // ER_BAD_DB_ERROR
	1146, // ER_NO_SUCH_TABLE
	1305, // ER_SP_DOES_NOT_EXIST
	1360, // ER_TRG_DOES_NOT_EXIST
	1539, // ER_EVENT_DOES_NOT_EXIST
	4091, // ER_UNKNOWN_SEQUENCES, of MariaDB
	1347, // ER_WRONG_OBJECT: of that name there is something else
	4089, // ER_NOT_SEQUENCE, of MariaDB
}

// counter is in the definition of a table, and changes with its rows.
var counter = regexp.MustCompile(` AUTO_INCREMENT=\d+`)

// probe takes the definition of each object as the server prints it: a DDL statement is atomic, so it has changed or it hasn't.
func (s *mysql) probe(ctx context.Context, q querier, objects []object) (string, error) {
	var text strings.Builder
	for _, o := range objects {
		definition, err := s.definition(ctx, q, o)
		if err != nil {
			return "", err
		}
		text.WriteString(probed(o, definition))
	}
	return text.String(), nil
}

func (s *mysql) definition(ctx context.Context, q querier, o object) ([]string, error) {
	rows, err := q.QueryContext(ctx, "SHOW CREATE "+strings.ToUpper(o.Kind)+" "+quoted(o, s.quote))
	if err != nil {
		n := number(err, "Number")
		for _, code := range absent {
			if n == code {
				return nil, nil
			}
		}
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	for rows.Next() {
		values, targets := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		for _, v := range values {
			h.Write([]byte(counter.ReplaceAllString(v.String, "")))
			h.Write([]byte{0})
		}
	}
	return []string{fmt.Sprintf("%x", h.Sum(nil)[:16])}, rows.Err()
}

func (*mysql) judge(err error) fault {
	var f fault
	switch number(err, "Number") {
	case 1205, 1213: // ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK
		f.busy = true
	case 1142, 1044, 1227:
		f.hint = "the database user may not do this: give it the right, or run with another user"
	case 3, 1021, 1026, 1114, 3675: // a file that can't be written, ER_DISK_FULL, ER_ERROR_ON_WRITE, ER_RECORD_FILE_FULL, ER_DISK_FULL_NOWAIT
		f.hint = "the server's disk, or the table, is full: make room and run it again"
	case 1290, 1792, 1836:
		f.hint = "the server is read-only: run on the primary"
	}
	return f
}

func (*mysql) hopeless(err error) bool {
	switch number(err, "Number") {
	case 1044, 1045, 1049, 1698: // access denied, unknown database
		return true
	}
	return false
}

// progress isn't told, unless the performance schema was set up to.
func (*mysql) progress(context.Context, querier, int64) (string, float64, error) { return "", -1, nil }

// size is what the server estimates. MySQL keeps the estimate for a day unless it is told otherwise; MariaDB knows no such setting.
func (s *mysql) size(ctx context.Context, q querier, name string) (bytes int64, err error) {
	if s.dialect == dialect.MySQL {
		if _, err := q.ExecContext(ctx, "SET SESSION information_schema_stats_expiry = 0"); err != nil {
			return 0, err
		}
	}
	schema, table, ok := strings.Cut(name, "`.`")
	if !ok {
		schema, table = "", name
	}
	table, schema = strings.ReplaceAll(strings.Trim(table, "`"), "``", "`"), strings.ReplaceAll(strings.Trim(schema, "`"), "``", "`")
	err = q.QueryRowContext(ctx, "SELECT COALESCE(MAX(data_length + index_length), -1) FROM information_schema.tables"+
		" WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?", schema, table).Scan(&bytes)
	return bytes, err
}

// locks of the metadata aren't told, unless the performance schema was set up to.
func (*mysql) locks(context.Context, querier) ([]string, error) { return nil, nil }

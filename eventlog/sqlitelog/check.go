package sqlitelog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/buffkit/buffkit/eventlog"
)

// Check looks at a log's file and its folder, path as Open takes it: what may lose events, and what stops the log. It reads the whole file, and leaves
// everything as it was. A file that isn't there yet is no fault. The error is the context's.
func Check(ctx context.Context, path string) ([]eventlog.Finding, error) {
	return checkPath(ctx, path, func(ctx context.Context, conn *sql.Conn) []eventlog.Finding {
		return []eventlog.Finding{ofFormat(ctx, conn), ofJournal(ctx, conn), ofPacks(ctx, conn)}
	})
}

// CheckFile is Check without what is about the log alone: for a database that an app has of its own.
func CheckFile(ctx context.Context, path string) ([]eventlog.Finding, error) {
	return checkPath(ctx, path, func(context.Context, *sql.Conn) []eventlog.Finding { return nil })
}

const checkPatience = 2000 // milliseconds, for who has the file locked

func checkPath(ctx context.Context, path string, more func(context.Context, *sql.Conn) []eventlog.Finding) ([]eventlog.Finding, error) {
	folder := filepath.Dir(path)
	found := []eventlog.Finding{ofFolder(folder)}
	if found[0].Level == eventlog.LevelError {
		return found, ctx.Err()
	}
	size, file := ofFile(path)
	found = append(append(found, ofDisk(folder, size)...), file)
	if size == 0 || file.Level == eventlog.LevelError {
		return found, ctx.Err()
	}
	found = append(found, ofContent(ctx, path, more)...)
	return found, ctx.Err()
}

// ofFolder makes a file, to see whether SQLite can, and removes it.
func ofFolder(folder string) eventlog.Finding {
	file, err := os.CreateTemp(folder, ".buffkit-check-*")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return eventlog.FoundError(fmt.Sprintf("the folder %s isn't there", folder), "make it, or name another")
	case err != nil:
		return eventlog.FoundError(fmt.Sprintf("no file can be made in the folder %s: %v", folder, err), "let this user write there, or name another folder: SQLite makes files beside its own")
	}
	defer os.Remove(file.Name())
	if err := file.Close(); err != nil {
		return eventlog.FoundError(fmt.Sprintf("no file can be made in the folder %s: %v", folder, err), "look after its disk")
	}
	return eventlog.FoundOK(fmt.Sprintf("the folder %s takes files", folder))
}

// ofFile also returns the size, 0 if the file isn't there.
func ofFile(path string) (size int64, found eventlog.Finding) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, eventlog.FoundOK("there is no file yet")
	}
	var info fs.FileInfo
	if err == nil {
		defer file.Close()
		info, err = file.Stat()
	}
	if err != nil {
		return 0, eventlog.FoundError(fmt.Sprintf("the file can't be opened to write: %v", err), "let this user write to it, and to those of the same name with -wal and -shm")
	}
	return info.Size(), eventlog.FoundOK("the file takes writes")
}

const (
	spaceError   = 64 << 20                // of the write-ahead log, and of what is sorted
	spaceWarning = DefaultMaxBytes / 4 * 5 // as DefaultMaxBytes says
)

// ofDisk is about where a file of so many bytes is, as far as the system tells.
func ofDisk(folder string, size int64) []eventlog.Finding {
	disk, err := statDisk(folder)
	if err != nil {
		return nil
	}
	found := []eventlog.Finding{ofKind(disk.kind)}
	what := fmt.Sprintf("%d MiB are free on its disk", disk.free>>20)
	switch {
	case disk.free < spaceError:
		found = append(found, eventlog.FoundError(what+": appends return ErrFull soon", "make room: what retention deletes is used again, but the file doesn't shrink"))
	case disk.free+size < spaceWarning:
		found = append(found, eventlog.FoundWarning(what+": a log may grow to more by default", "make room, or keep less: Options.MaxBytes, buffkit serve --budget"))
	default:
		found = append(found, eventlog.FoundOK(what))
	}
	return found
}

// disk is what a folder is on.
type disk struct {
	kind uint32 // of its file system, as Linux numbers them
	free int64  // bytes, for this user
}

// Numbers of file systems, from Linux's include/uapi/linux/magic.h and statfs(2).
const (
	tmpfs   = 0x01021994
	ramfs   = 0x858458f6
	overlay = 0x794c7630
	fuse    = 0x65735546
)

var networks = map[uint32]string{
	0x6969: "NFS", 0x517b: "SMB", 0xff534d42: "CIFS", 0xfe534d42: "SMB", 0x01021997: "9P", 0x00c36400: "Ceph", 0x5346414f: "AFS", 0x0bd00bd0: "Lustre",
}

func ofKind(kind uint32) eventlog.Finding {
	const do = "choose a folder on a disk of this machine"
	switch name := networks[kind]; {
	case name != "":
		return eventlog.FoundError("the file system is "+name+", over a network: SQLite's locks and its shared memory don't work there, and the file gets damaged", do+", or keep the events in Redis or PostgreSQL")
	case kind == tmpfs || kind == ramfs:
		return eventlog.FoundError("the file system is in memory: a restart of the machine, or of its container, loses all events", do)
	case kind == overlay:
		return eventlog.FoundWarning("the file system is a container's own layer: it is gone with the container", "mount a volume there")
	case kind == fuse:
		return eventlog.FoundWarning("the file system is one of FUSE: some of those don't lock, or sync", do+", if you aren't sure")
	}
	return eventlog.FoundOK("the file system is a local one")
}

func ofContent(ctx context.Context, path string, more func(context.Context, *sql.Conn) []eventlog.Finding) []eventlog.Finding {
	unread := func(err error) []eventlog.Finding {
		return []eventlog.Finding{eventlog.FoundError(fmt.Sprintf("the file can't be read: %v", err), adviceFor(err))}
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return unread(err)
	}
	values := url.Values{"mode": {"rw"}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", checkPatience), "query_only(1)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: full}).EscapedPath(), RawQuery: values.Encode()}).String())
	if err != nil {
		return unread(err)
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return unread(err)
	}
	defer conn.Close()
	var says string
	if err := conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&says); err != nil {
		return unread(err)
	}
	if says != "ok" {
		return []eventlog.Finding{eventlog.FoundError("the file is damaged: "+says, restore)}
	}
	return append([]eventlog.Finding{eventlog.FoundOK("the file is whole")}, more(ctx, conn)...)
}

func adviceFor(err error) string {
	switch codeOf(err) & 0xff {
	case sqlite3.SQLITE_NOTADB:
		return "it is no SQLite database: name another file"
	case sqlite3.SQLITE_CORRUPT:
		return restore
	case sqlite3.SQLITE_BUSY:
		return "another process has locked it: look which, and for how long"
	}
	return "look after its disk, and who may read it"
}

func ofFormat(ctx context.Context, conn *sql.Conn) eventlog.Finding {
	var tables, format int
	err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = 'buffkit_log'").Scan(&tables)
	if err == nil && tables == 0 {
		return eventlog.FoundOK("there is no log in the file yet")
	}
	if err == nil {
		err = conn.QueryRowContext(ctx, "SELECT format FROM buffkit_log").Scan(&format)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return eventlog.FoundOK("there is no log in the file yet")
	case err != nil:
		return eventlog.FoundError(fmt.Sprintf("the log's tables can't be read: %v", err), adviceFor(err))
	case format > formatVersion:
		return eventlog.FoundError(fmt.Sprintf("its log has the format %d, and this version reads %d", format, formatVersion), "use a newer version")
	case format < formatVersion:
		return eventlog.FoundError(fmt.Sprintf("its log has the format %d, and this version reads %d", format, formatVersion), "begin with an empty file, or go on with the version that wrote it")
	}
	return eventlog.FoundOK(fmt.Sprintf("its log has the format %d", format))
}

// ofPacks reads all events. A file without any, or of another format, is no fault here.
func ofPacks(ctx context.Context, conn *sql.Conn) eventlog.Finding {
	var tables int
	if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = 'buffkit_packs'").Scan(&tables); err == nil && tables == 0 {
		return eventlog.FoundOK("there are no events yet")
	}
	var found lost
	err := snapshot(ctx, conn, func() error {
		now, err := readState(ctx, plain{conn})
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return eachPack(ctx, conn, "SELECT "+packColumns+" FROM buffkit_packs ORDER BY position", nil, func(p *pack) (bool, error) {
			if _, err := p.unpack(); err != nil {
				found.add(p, p.bounded(err, now.head))
			}
			return true, nil
		})
	})
	if err != nil {
		return eventlog.FoundError(fmt.Sprintf("the events can't be read: %v", err), adviceFor(err))
	}
	return found.finding()
}

// lost is what damaged packs held.
type lost struct {
	packs, events  int
	first          string // pack
	unbounded      int    // packs that may have held others than their rows say
	firstUnbounded string
}

func (l *lost) add(p *pack, bounded bool) {
	where := fmt.Sprintf("%q, from offset %d on", p.topic, p.first)
	if bounded {
		l.packs, l.events, l.first = l.packs+1, l.events+p.count, cmp.Or(l.first, where)
	} else {
		l.unbounded, l.firstUnbounded = l.unbounded+1, cmp.Or(l.firstUnbounded, where)
	}
}

func (l *lost) finding() eventlog.Finding {
	switch {
	case l.unbounded > 0:
		return eventlog.FoundError(fmt.Sprintf("events are damaged, in %d packs, and how many are lost isn't known in %d, the first of topic %s: readers who come there get an error",
			l.packs+l.unbounded, l.unbounded, l.firstUnbounded), restore)
	case l.packs > 0:
		return eventlog.FoundError(fmt.Sprintf("%d events are damaged and lost, in %d packs, the first of topic %s: readers who lack them are told a gap", l.events, l.packs, l.first),
			"nothing, if that is enough: they are deleted with what is over the retention. Else stop every process that uses the file, and put a backup in its place")
	}
	return eventlog.FoundOK("all events are as they were stored")
}

func ofJournal(ctx context.Context, conn *sql.Conn) eventlog.Finding {
	var mode string
	if err := conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return eventlog.FoundError(fmt.Sprintf("journal_mode can't be read: %v", err), adviceFor(err))
	}
	if mode != "wal" {
		return eventlog.FoundWarning("journal_mode is "+mode+": readers and writers hold each other up", "nothing, if the log was never opened: Open sets wal. Else find out which program sets it back, and that the disk is this machine's own")
	}
	return eventlog.FoundOK("journal_mode is wal")
}

package sqlitelog

import "syscall"

func statDisk(folder string) (disk, error) {
	var s syscall.Statfs_t
	err := syscall.Statfs(folder, &s)
	return disk{kind: uint32(s.Type), free: int64(s.Bavail) * int64(s.Bsize)}, err
}
